"""Smooth steps between two values, and towards them."""

import numpy as np


def smoothstep(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between; the other way round where `low` is the larger one."""
    share = np.clip((value - low) / (high - low), 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def steeper(encoded, amount):
    """Encoded values in [0, 1], NumPy's or torch's, nearer to their smoothstep by `amount`; below 0 they get flatter."""
    ramp = encoded * encoded * (3 - 2 * encoded)
    return encoded + amount * (ramp - encoded)
