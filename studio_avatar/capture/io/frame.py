"""One picture of a capture: what decoding hands to everything after it."""

from dataclasses import dataclass

import numpy as np

from studio_avatar.errors import FaceTooSmallError

from .lens import Lens

MIN_SIDE_PX = 64  # smaller pictures hold no face worth unwrapping


@dataclass(frozen=True)
class Frame:
    """One upright picture of a capture.

    rgb: (H, W, 3) uint8, sRGB.
    time: seconds since the first frame of a clip; the number of the photo in a list of photos.
    picture: (left, top, right, bottom) pixels of `rgb` that hold the picture; the rest is padding, which only
        photos of different sizes get, so that they share one camera.
    of_clip: whether frames follow each other in time.
    lens: what the file tells of it.
    """

    rgb: np.ndarray
    time: float
    picture: tuple[int, int, int, int]
    of_clip: bool = False
    lens: Lens | None = None


def check_side(width: int, height: int, name: str) -> None:
    """Raise `FaceTooSmallError` when a picture called `name` is too small for any face."""
    if min(width, height) < MIN_SIDE_PX:
        raise FaceTooSmallError(
            f"{name} is only {width} × {height} pixels: please give a picture of at least "
            f"{MIN_SIDE_PX} pixels each way, better 720 or more."
        )
