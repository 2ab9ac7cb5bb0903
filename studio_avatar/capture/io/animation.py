"""Animated WebP, PNG and AVIF pictures as clips; FFmpeg reads animated GIFs, and of these not all."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from studio_avatar.errors import UnreadableMediaError

from .clip_plan import MAX_FRAME_PIXELS, MAX_SAMPLES, MAX_SAMPLES_PER_SECOND, MAX_SECONDS
from .frame import Frame, check_side
from .photos import READING_ERRORS, check_file, is_photo, open_picture, to_srgb

ANIMATED_FORMATS = ("WEBP", "PNG", "AVIF")
MAX_PICTURES = 3600  # a minute at 60 a second; each has to be decoded, because it is built on those before it
USUAL_SECONDS = 0.1  # of a picture that does not say how long it is shown


def is_animation(path: Path) -> bool:
    """Whether a file is one of `ANIMATED_FORMATS` with several pictures, by its content."""
    from PIL import Image

    check_file(path)
    try:
        with open_picture(path) as image:
            return image.format in ANIMATED_FORMATS and getattr(image, "is_animated", False)
    except (*READING_ERRORS, Image.DecompressionBombError):
        return False  # whatever it is: `is_photo` says what is wrong with it


def is_still(path: Path) -> bool:
    """Whether a file is one photo, by its content; everything else may be a clip.

    Raises:
        CaptureError: it is no file, empty, or a camera's raw data.
    """
    return not is_animation(path) and is_photo(path)


def animation_frames(path: Path, longest_side_px: int) -> Iterator[Frame]:
    """At most about `MAX_SAMPLES` upright sRGB frames of the first `MAX_SECONDS`, scaled to `longest_side_px`."""
    with open_picture(path) as image:
        check_side(*image.size, path.name)
        if image.width * image.height > MAX_FRAME_PIXELS:
            raise UnreadableMediaError(
                f"{path.name} claims pictures of {image.width} × {image.height} pixels: please give 4K or less."
            )
        count = min(image.n_frames, MAX_PICTURES)
        step = max(1.0 / MAX_SAMPLES_PER_SECOND, min(_seconds(image, count), MAX_SECONDS) / MAX_SAMPLES)
        time, due = 0.0, 0.0
        for number in range(count):
            try:
                image.seek(number)
                image.load()
            except READING_ERRORS as error:
                raise UnreadableMediaError(
                    f"{path.name} breaks off after {number} of {count} pictures: please copy or upload it again."
                ) from error
            if time + 1e-3 >= due and time <= MAX_SECONDS:
                due = max(due + step, time + 0.5 * step)
                rgb = _small_rgb(image, longest_side_px)
                yield Frame(rgb, time, (0, 0, rgb.shape[1], rgb.shape[0]), of_clip=True)
            time += _shown_seconds(image)


def _shown_seconds(image) -> float:
    return float(image.info.get("duration") or 1000 * USUAL_SECONDS) / 1000


def _seconds(image, count: int) -> float:
    """About how long an animation is; only its first picture has been looked at."""
    return count * _shown_seconds(image)


def _small_rgb(image, longest_side_px: int) -> np.ndarray:
    from PIL import Image

    picture = to_srgb(image)
    picture.thumbnail((longest_side_px, longest_side_px), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return np.array(picture)
