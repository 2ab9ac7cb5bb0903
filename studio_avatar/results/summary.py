"""How much of a result was seen by the phone, in numbers and in words."""

import numpy as np

from studio_avatar.capture.reporting.report import REGIONS, SEEN_AT
from studio_avatar.head.layout import region_mask

SIDES_SEEN = 0.75  # share of the face; a photo from the front shows less


def seen_by_region(head, provenance: np.ndarray) -> dict[str, float]:
    """Share of each skin region that the phone saw, in [0, 1].

    Args:
        head: `HeadModel`. provenance: (H, W) in [0, 1], 1 = seen by the phone.
    """
    seen = np.asarray(provenance) > SEEN_AT
    shares = {}
    for name, regions in REGIONS.items():
        shares[name] = round(float(seen[region_mask(head, len(seen), *regions)].mean()), 4)
    return shares


def what_was_invented(shares: dict[str, float]) -> str:
    """Two or three sentences for the person in the picture.

    Args:
        shares: from `seen_by_region`.
    """
    filmed = ", ".join(f"{share:.0%} of the {name}" for name, share in shares.items())
    guess = " The sides of the face were never seen: they are a guess." if shares["face"] < SIDES_SEEN else ""
    invented = [f"{_amount(share)} the {name}" for name, share in shares.items() if share < 0.95]
    filled = f"The model filled in {_listed(invented)} with plausible skin. " if invented else ""
    return (
        f"The phone saw {filmed}.{guess} {filled}Eyeballs, teeth and tongue are painted, the irises in the captured color; "
        "hair is the most similar of fifteen styles, or none."
    )


def _amount(seen: float) -> str:
    return (
        "a little of"
        if seen >= 0.8
        else "part of"
        if seen >= 0.4
        else "most of"
        if seen >= 0.05
        else "all of"
    )


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
