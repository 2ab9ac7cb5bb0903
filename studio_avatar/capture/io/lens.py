"""The focal length that a photo or a clip tells about itself: without it the shape of a face seen from one side is a guess.

Cameras write it as that of a lens with the same angle of view on 35 mm film, across the diagonal (CIPA DC-008, EXIF 2.32,
tag 0xA405); iPhones write the same into QuickTime metadata.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

FILM_MM = (36.0, 24.0)
EXIF_IFD, WIDTH_TAG, HEIGHT_TAG, FOCAL_35MM_TAG = 0x8769, 0xA002, 0xA003, 0xA405
QUICKTIME_KEY = "com.apple.quicktime.camera.focal_length.35mm_equivalent"
SENSOR = 4 / 3  # sides of phones' sensors; clips and wide photos are cut out of them
WHOLE_PICTURES = (4 / 3, 3 / 2, 16 / 9)  # sides of pictures that are no later cut-out
SAME_SHAPE = 0.015
PLAUSIBLE = (0.4, 3.5)  # over the long side
SIGMA_PHOTO, SIGMA_CLIP = 0.08, 0.15  # log: rounded to millimeters; clips lose a margin to the stabilizer
ALIKE = 1.25  # photos of one capture are fitted with one focal length: front and back camera cannot be


@dataclass(frozen=True)
class Lens:
    """focal: length over the picture's long side. sigma: standard deviation of its logarithm."""

    focal: float
    sigma: float


def lens_of_photo(image) -> Lens | None:
    """What EXIF says of a PIL image that was not scaled yet; None where it says nothing, or the photo was cut out later."""
    tags = image.getexif().get_ifd(EXIF_IFD)
    shape = _shape(*image.size)
    written = tags.get(WIDTH_TAG), tags.get(HEIGHT_TAG)
    shapes = [_shape(*written)] if all(_is_length(side) for side in written) else WHOLE_PICTURES
    if not any(abs(shape / whole - 1) < SAME_SHAPE for whole in shapes):
        return None
    return _lens(tags.get(FOCAL_35MM_TAG), shape, SIGMA_PHOTO)


def lens_of_clip(*metadata: Mapping[str, str]) -> Lens | None:
    """What the metadata of a clip and its track say."""
    said = next((one[QUICKTIME_KEY] for one in metadata if QUICKTIME_KEY in one), None)
    try:
        return _lens(float(said), 16 / 9, SIGMA_CLIP) if said else None
    except ValueError:
        return None


def common_lens(lenses: Sequence[Lens | None]) -> Lens | None:
    """One lens for the pictures of a capture; None where theirs are unknown or differ."""
    known = [lens for lens in lenses if lens is not None]
    focal = [lens.focal for lens in known]
    if not known or max(focal) > ALIKE * min(focal):
        return None
    return Lens(float(np.median(focal)), max(lens.sigma for lens in known))


def _lens(focal_mm, shape: float, sigma: float) -> Lens | None:
    if not _is_length(focal_mm):
        return None
    # Of a sensor of 3:2 the whole picture; pictures wider than a phone's sensor keep its width.
    sensor = shape if 1.4 <= shape <= 1.6 else min(shape, SENSOR)
    focal = float(focal_mm) / math.hypot(*FILM_MM) * math.hypot(1.0, 1.0 / sensor)
    return Lens(focal, sigma) if PLAUSIBLE[0] <= focal <= PLAUSIBLE[1] else None


def _is_length(value) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value > 0


def _shape(width: float, height: float) -> float:
    return max(width, height) / min(width, height)
