"""One picture of a capture: what decoding hands to everything after it."""

from dataclasses import dataclass, replace

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


def centered(frame: Frame, side: int) -> Frame:
    """The frame in the middle of a black square that is no smaller; side in pixels."""
    h, w = frame.rgb.shape[:2]
    left, top = (side - w) // 2, (side - h) // 2
    canvas = np.zeros((side, side, 3), np.uint8)
    canvas[top : top + h, left : left + w] = frame.rgb
    picture = tuple(np.add(frame.picture, (left, top, left, top)).tolist())
    return replace(frame, rgb=canvas, picture=picture)


def check_side(width: int, height: int, name: str) -> None:
    """Raise `FaceTooSmallError` when a picture called `name` is too small for any face."""
    if min(width, height) < MIN_SIDE_PX:
        raise FaceTooSmallError(
            f"{name} is only {width} × {height} pixels: please give a picture of at least "
            f"{MIN_SIDE_PX} pixels each way, better 720 or more."
        )
