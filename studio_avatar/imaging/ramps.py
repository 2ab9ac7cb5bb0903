"""Smooth steps between two values, and towards them."""


def smoothstep(value, low, high):
    """0 below `low`, 1 above `high`, smooth between; the other way round where `low` is the larger one.

    value: NumPy's or torch's; low, high: numbers, or arrays that fit it.
    """
    share = ((value - low) / (high - low)).clip(0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def steeper(encoded, amount):
    """Encoded values in [0, 1], NumPy's or torch's, nearer to their smoothstep by `amount`; below 0 they get flatter."""
    ramp = encoded * encoded * (3 - 2 * encoded)
    return encoded + amount * (ramp - encoded)
