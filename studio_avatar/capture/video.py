"""Pictures out of clips and photos, upright and in sRGB, one at a time.

Clips are decoded with PyAV in constant memory: only sampled frames are converted, already scaled down.
Photos come through Pillow, with EXIF orientation and colour profile applied.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from studio_avatar.errors import (
    FaceTooSmallError,
    InvalidInputError,
    MediaNotFoundError,
    MissingDependencyError,
    UnreadableMediaError,
)

MIN_SIDE_PX = 64  # smaller pictures hold no face worth unwrapping
MAX_VIDEO_SIDE_PX = 1280
MAX_PHOTO_SIDE_PX = 2048
MAX_SAMPLES_PER_SECOND = 10.0
MAX_SECONDS = 60.0
MAX_SAMPLES = 60  # one landmark detection each; more would not add poses

HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"heim", b"heis")


@dataclass(frozen=True)
class Frame:
    """One upright picture of a capture.

    rgb: (H, W, 3) uint8, sRGB.
    time: seconds since the first frame of a clip; the number of the photo in a list of photos.
    picture: (left, top, right, bottom) pixels of `rgb` that hold the picture; the rest is padding, which only
        photos of different sizes get, so that they share one camera.
    """

    rgb: np.ndarray
    time: float
    picture: tuple[int, int, int, int]


def read_frames(source) -> Iterator[Frame]:
    """Yield the frames of a capture, in order, at most about `MAX_SAMPLES` of a clip.

    source: path of a clip or photo, a PIL image, a uint8 array (H, W, 3) sRGB, or a list of photos as these.
    Raises `MediaNotFoundError`, `UnreadableMediaError`, `FaceTooSmallError` (a side below 64 px),
    `MissingDependencyError` (HEIC without pillow-heif) or `InvalidInputError` (an unsupported type).
    """
    if isinstance(source, Sequence) and not isinstance(source, str | bytes):
        if len(source) == 0:
            raise InvalidInputError("The list of photos is empty: give at least one photo or a video.")
        if len(source) > 1:
            yield from _on_one_canvas([_photo(item) for item in source])
            return
        source = source[0]
    if isinstance(source, str | Path) and not _is_photo(Path(source)):
        yield from _video_frames(Path(source))
    else:
        yield from _on_one_canvas([_photo(source)])


# ------------------------------------------------------------------------------------------------------------
# Photos


def _is_photo(path: Path) -> bool:
    """Tell photos from everything else by content, never by the file's name."""
    from PIL import Image, UnidentifiedImageError

    _check_file(path)
    _register_heif(path)
    try:
        with Image.open(path):
            return True
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        return False


def _check_file(path: Path) -> None:
    if not path.exists():
        raise MediaNotFoundError(f"There is no file {str(path)!r}: please check the path.")
    if path.is_dir():
        raise UnreadableMediaError(
            f"{str(path)!r} is a folder: please give a video file or a list of photos."
        )
    if path.stat().st_size == 0:
        raise UnreadableMediaError(f"{path.name} is empty (0 bytes): please record or copy it again.")


def _register_heif(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] != b"ftyp" or head[8:12] not in HEIF_BRANDS:
        return
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise MissingDependencyError(
            f"{path.name} is a HEIC photo: please run `pip install pillow-heif` to read it, or give a JPEG."
        ) from error
    register_heif_opener()


def _photo(source) -> np.ndarray:
    """One photo as (H, W, 3) uint8 sRGB, upright, its long side at most `MAX_PHOTO_SIDE_PX`."""
    from PIL import Image

    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3:
            raise InvalidInputError(
                "A photo given as an array must be uint8 of shape (height, width, 3) in sRGB."
            )
        return _upright_rgb(Image.fromarray(source), "The photo")
    if isinstance(source, Image.Image):
        return _upright_rgb(source.copy(), "The photo")
    if not isinstance(source, str | Path):
        raise InvalidInputError(
            f"A photo is given as a path, PIL image or uint8 array, not as {type(source).__name__}."
        )
    path = Path(source)
    if not _is_photo(path):
        raise UnreadableMediaError(
            f"{path.name} is not a photo that can be read: please give a JPEG, PNG or HEIC."
        )
    with Image.open(path) as image:
        return _upright_rgb(image, path.name)


def _upright_rgb(image, name: str) -> np.ndarray:
    from PIL import Image, ImageOps

    _check_side(*image.size, name)
    try:
        image.thumbnail((MAX_PHOTO_SIDE_PX, MAX_PHOTO_SIDE_PX), Image.Resampling.LANCZOS, reducing_gap=3.0)
        image = ImageOps.exif_transpose(image)
        return np.array(_to_srgb(image))
    except (OSError, SyntaxError, ValueError) as error:
        raise UnreadableMediaError(
            f"{name} is damaged or breaks off: please copy or upload it again."
        ) from error


def _to_srgb(image):
    """Apply the embedded colour profile (iPhones write Display P3), then drop alpha and palette."""
    import io

    from PIL import ImageCms

    profile = image.info.get("icc_profile")
    if profile and image.mode == "RGB":
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"))
        except ImageCms.PyCMSError:
            pass  # an unusable profile is common in edited photos; sRGB is what browsers assume then
    return image.convert("RGB")


def _on_one_canvas(photos: list[np.ndarray]) -> list[Frame]:
    """Centre photos of different sizes on one square canvas, long sides equal: one focal length for all."""
    height, width = photos[0].shape[:2]
    if any(photo.shape[:2] != (height, width) for photo in photos):
        import cv2

        side = max(max(photo.shape[:2]) for photo in photos)
        height = width = side
        scales = [side / max(photo.shape[:2]) for photo in photos]
        photos = [
            cv2.resize(photo, None, fx=s, fy=s, interpolation=cv2.INTER_CUBIC) if s > 1.0 else photo
            for photo, s in zip(photos, scales, strict=True)
        ]
    frames = []
    for number, photo in enumerate(photos):
        h, w = photo.shape[:2]
        top, left = (height - h) // 2, (width - w) // 2
        canvas = np.zeros((height, width, 3), np.uint8)
        canvas[top : top + h, left : left + w] = photo
        frames.append(Frame(canvas, float(number), (left, top, left + w, top + h)))
    return frames


# ------------------------------------------------------------------------------------------------------------
# Clips


def _video_frames(path: Path) -> Iterator[Frame]:
    import av

    try:
        with av.open(str(path)) as container:
            stream = _picture_stream(container, path.name)
            # Browsers' recorders write no duration; counting it reads the file but decodes nothing.
            duration = _declared_duration(container, stream)
        with av.open(str(path)) as container:
            yield from _sampled(
                container, _picture_stream(container, path.name), duration or _counted(path), path.name
            )
    except av.error.FFmpegError as error:
        raise UnreadableMediaError(
            f"{path.name} is no video or photo, or it breaks off: please copy or record it again."
        ) from error


def _picture_stream(container, name: str):
    from av.stream import Disposition

    # The cover picture of a song is a "video" stream too.
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise UnreadableMediaError(
            f"{name} has no pictures, only sound or text: please give a video of the face."
        )
    stream = streams[0]
    _check_side(stream.codec_context.width, stream.codec_context.height, name)
    stream.thread_type = "AUTO"
    return stream


def _check_side(width: int, height: int, name: str) -> None:
    if min(width, height) < MIN_SIDE_PX:
        raise FaceTooSmallError(
            f"{name} is only {width} × {height} pixels: please give a picture of at least "
            f"{MIN_SIDE_PX} pixels each way, better 720 or more."
        )


def _declared_duration(container, stream) -> float:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration else 0.0


def _counted(path: Path) -> float:
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = [packet.pts for packet in container.demux(stream) if packet.pts is not None]
        return float((max(times) - min(times)) * stream.time_base) if times else 0.0


def _sampled(container, stream, duration: float, name: str) -> Iterator[Frame]:
    step = max(1.0 / MAX_SAMPLES_PER_SECOND, min(duration, MAX_SECONDS) / MAX_SAMPLES)
    start, due, last, count = None, 0.0, 0.0, 0
    try:
        for picture in container.decode(stream):
            start = picture.time if start is None else start
            last = picture.time - start if picture.time is not None else last + 1.0 / 30.0
            if last > MAX_SECONDS:
                return
            if last + 1e-3 < due or picture.is_corrupt:
                continue
            due = max(due + step, last + 0.5 * step)
            rgb = _upright_picture(picture, stream)
            count += 1
            yield Frame(rgb, last, (0, 0, rgb.shape[1], rgb.shape[0]))
    except _decoding_error() as error:
        raise _breaks_off(name, last, duration) from error
    if count == 0:
        raise UnreadableMediaError(
            f"{name} has no picture that can be decoded: please copy or record it again."
        )
    if last < 0.75 * duration - 0.5:
        raise _breaks_off(name, last, duration)


def _decoding_error():
    import av

    return av.error.FFmpegError


def _breaks_off(name: str, last: float, duration: float) -> UnreadableMediaError:
    return UnreadableMediaError(
        f"{name} breaks off after {last:.1f} of {duration:.1f} seconds: please copy or upload it again."
    )


def _upright_picture(picture, stream) -> np.ndarray:
    from av.video.reformatter import Colorspace, Interpolation

    aspect = float(stream.sample_aspect_ratio or 1)
    width, height = picture.width * aspect, picture.height
    scale = min(1.0, MAX_VIDEO_SIDE_PX / max(width, height))
    # Streams without a colour tag: every player takes HD for BT.709 and SD for BT.601.
    untagged = picture.colorspace == 2
    rgb = picture.reformat(
        width=round(width * scale),
        height=round(height * scale),
        format="rgb24",
        src_colorspace=(Colorspace.ITU709 if min(width, height) >= 720 else Colorspace.ITU601)
        if untagged
        else None,
        interpolation=Interpolation.AREA if scale < 1.0 else Interpolation.BICUBIC,
    ).to_ndarray()
    return np.ascontiguousarray(np.rot90(rgb, round(picture.rotation / 90)))
