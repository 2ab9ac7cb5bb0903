"""What a result is made of, in numbers and in words: how much of the skin was seen, and the skin's tone before and after."""

from dataclasses import dataclass

import numpy as np

from .capture.report import REGIONS, SEEN_AT, skin_tone_ita
from .head.layout import region_mask

TONE_CLASSES = (  # Chardon 1991: above this angle [degrees]
    (55.0, "very light"), (41.0, "light"), (28.0, "intermediate"), (10.0, "tan"), (-30.0, "brown"),
)  # fmt: skip
DARKEST = "dark"


@dataclass(frozen=True)
class SkinTone:
    """rgb: median colour of the skin, sRGB 0 to 255. ita: individual typology angle [degrees]; see `skin_tone_ita`."""

    rgb: tuple[int, int, int]
    ita: float

    @property
    def name(self) -> str:
        """Chardon's class of the angle."""
        return next((name for above, name in TONE_CLASSES if self.ita > above), DARKEST)


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


def skin_tones(output) -> dict[str, SkinTone]:
    """ "phone" and "studio" → tone of the facial skin that the phone saw, in both textures.

    Args:
        output: `StudioTextureOutput` of a capture.
    """
    seen = np.asarray(output.provenance)
    skin = region_mask(output.avatar.head, len(seen), "face") & (seen > SEEN_AT)
    pictures = {"phone": np.asarray(output.phone_texture), "studio": output.avatar.texture}
    return {name: _tone(picture[skin]) for name, picture in pictures.items()}


def what_was_invented(shares: dict[str, float]) -> str:
    """Two or three sentences for the person in the picture.

    Args:
        shares: from `seen_by_region`.
    """
    filmed = ", ".join(f"{share:.0%} of the {name}" for name, share in shares.items())
    invented = [f"{_amount(share)} the {name}" for name, share in shares.items() if share < 0.95]
    filled = f"The model filled in {_listed(invented)} with plausible skin. " if invented else ""
    return (
        f"The phone saw {filmed}. {filled}Eyeballs, teeth and tongue are painted, the irises in the captured colour; "
        "the back of the head has no hair of its own."
    )


def _tone(skin: np.ndarray) -> SkinTone:
    """skin (N, 3) uint8 sRGB."""
    rgb = np.median(skin, axis=0)
    return SkinTone(tuple(int(round(channel)) for channel in rgb), round(skin_tone_ita(skin / 255.0), 2))


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
