"""Photos as frames: upright by EXIF, in sRGB by their color profile, told from clips by content."""

import warnings
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from studio_avatar.errors import (
    InvalidInputError,
    MediaNotFoundError,
    MissingDependencyError,
    StudioAvatarError,
    UnreadableMediaError,
)

from .frame import Frame, centered, check_side
from .lens import lens_of_photo

MAX_PHOTO_SIDE_PX = 2048
MAX_PHOTO_PIXELS = 300_000_000  # phones have up to 200 million; JPEG is scaled down while it is decoded
MAX_WHOLE_PIXELS = 120_000_000  # of what has to be decoded as it is

# Pillow's names. Of what else it reads nothing is a photo, and for some (EPS) it starts other programs.
PHOTO_FORMATS = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "AVIF", "HEIF", "TIFF", "BMP", "JPEG2000", "PPM")
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"heim", b"heis")
PLAIN_MODES = ("RGB", "L", "CMYK", "YCbCr")
RAW_SUFFIXES = {".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw"}
RAW_TAGS = {50706, 50740}  # DNGVersion, DNGPrivateData
# How pictures begin that Pillow does not read, or not every kind of: TIFF, BigTIFF, JPEG XL, Photoshop, OpenEXR.
OTHER_PICTURES = (
    b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\xff\x0a", b"\0\0\0\x0cJXL ", b"8BPS", b"v/1\1",
)  # fmt: skip
# What Pillow's readers raise at damaged files; RuntimeError is AVIF's.
READING_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError, IndexError, OverflowError, RuntimeError,
)  # fmt: skip


def is_photo(path: Path) -> bool:
    """Tell photos from everything else by content, never by the file's name; an animated GIF is a clip."""
    from PIL import Image

    check_file(path)
    try:
        with open_picture(path) as image:
            return not (image.format == "GIF" and image.is_animated)
    except StudioAvatarError:
        raise
    except (*READING_ERRORS, Image.DecompressionBombError):
        return False


def is_other_picture(path: Path) -> bool:
    """Whether a file that `is_photo` denies begins as one of `OTHER_PICTURES`, to say so."""
    with path.open("rb") as file:
        return file.read(8).startswith(OTHER_PICTURES)


def check_file(path: Path) -> None:
    """Refuse what is no file, is empty, or is a camera's raw data, in which Pillow sees the small preview only."""
    if not path.exists():
        raise MediaNotFoundError(f"There is no file {str(path)!r}: please check the path.")
    if path.is_dir():
        raise UnreadableMediaError(
            f"{str(path)!r} is a folder: please give a video file or a list of photos."
        )
    if path.stat().st_size == 0:
        raise UnreadableMediaError(f"{path.name} is empty (0 bytes): please record or copy it again.")
    if path.suffix.lower() in RAW_SUFFIXES:
        raise UnreadableMediaError(
            f"{path.name} is a raw photo, which is not supported: please export a JPEG of it."
        )


@contextmanager
def open_picture(path: Path):
    """A PIL image of one of `PHOTO_FORMATS`, not yet decoded, closed at the end of the block.

    Pillow's own limit of pixels is not asked: sizes are looked at in the header, by those who decode. Its warnings (of
    damaged EXIF, say) are for programmers, and stay away.
    """
    from PIL import Image

    _register_heif(path)
    Image.init()
    formats = [name for name in PHOTO_FORMATS if name in Image.OPEN]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        with _file_of_any_size(path, formats) as image:
            yield image


def _file_of_any_size(path: Path, formats: list[str]):
    """`Image.open`, which asks a limit of the whole module."""
    from PIL import Image

    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PHOTO_PIXELS
    try:
        return Image.open(path, formats=formats)
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _register_heif(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] != b"ftyp" or head[8:12] not in HEIF_BRANDS:
        return
    try:
        from pi_heif import register_heif_opener
    except ImportError as error:
        raise MissingDependencyError(
            f"{path.name} is a HEIC photo: please run `pip install pi-heif` to read it, or give a JPEG."
        ) from error
    register_heif_opener()


def read_photo(source) -> Frame:
    """One photo, upright, its long side at most `MAX_PHOTO_SIDE_PX`."""
    from PIL import Image

    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3:
            raise InvalidInputError(
                "A photo given as an array must be uint8 of shape (height, width, 3) in sRGB."
            )
        return _upright(Image.fromarray(source), "The photo")
    if isinstance(source, Image.Image):
        return _upright(source.copy(), "The photo")
    if not isinstance(source, str | Path):
        raise InvalidInputError(
            f"A photo is given as a path, PIL image or uint8 array, not as {type(source).__name__}."
        )
    path = Path(source)
    if not is_photo(path):
        raise UnreadableMediaError(
            f"{path.name} is not a photo that can be read: please give a JPEG, PNG or HEIC."
        )
    with open_picture(path) as image:
        if image.format == "TIFF" and RAW_TAGS & set(image.tag_v2):
            raise UnreadableMediaError(
                f"{path.name} is a raw photo, which is not supported: please export a JPEG of it."
            )
        return _upright(image, path.name)


def _upright(image, name: str) -> Frame:
    from PIL import Image, ImageOps

    check_side(*image.size, name)
    side = (MAX_PHOTO_SIDE_PX, MAX_PHOTO_SIDE_PX)
    # A JPEG is decoded at an eighth to the whole of its size.
    image.draft(None, (2 * side[0], 2 * side[1]))
    if image.width * image.height > MAX_WHOLE_PIXELS:
        raise UnreadableMediaError(
            f"{name} has {image.width} × {image.height} pixels: please give a JPEG of it, or a smaller one."
        )
    try:
        lens = lens_of_photo(image)
        # Palettes, deep gray and hidden colors cannot be scaled as they are.
        if image.mode not in PLAIN_MODES:
            image = to_srgb(image)
        image.thumbnail(side, Image.Resampling.LANCZOS, reducing_gap=3.0)
        rgb = np.array(to_srgb(ImageOps.exif_transpose(image)))
        return Frame(rgb, 0.0, (0, 0, rgb.shape[1], rgb.shape[0]), lens=lens)
    except READING_ERRORS as error:
        raise UnreadableMediaError(
            f"{name} is damaged or breaks off: please copy or upload it again."
        ) from error


def to_srgb(image):
    """An RGB image in sRGB, without a profile; EXIF stays with it.

    Apply the embedded color profile (iPhones write Display P3), whatever the pixels are; drop alpha and palette.

    Gray of more than 8 bits is scaled. Transparent pixels keep their color: what a cut-out hides is nobody's skin.
    """
    from PIL import Image

    info = dict(image.info)
    profile = info.pop("icc_profile", None)
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    elif image.mode in ("LA", "La"):
        image = image.convert("LA").getchannel("L")
    elif image.mode not in PLAIN_MODES:
        image = image.convert("RGBA").convert("RGB")
    image = (_by_profile(image, profile) if profile else None) or image.convert("RGB")
    image.info = info
    return image


def _by_profile(image, profile: bytes):
    """An RGB, gray or CMYK image brought to sRGB by its profile; None for a profile that is not for such pixels.

    Unusable profiles are common in edited photos; sRGB is what browsers assume then.
    """
    import io

    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _eight_bits(gray: np.ndarray) -> np.ndarray:
    """Gray of integers (16 bits in all files that have more than 8) or floats (0 to 1) as uint8."""
    if gray.dtype.kind == "f":
        return (np.clip(np.nan_to_num(gray), 0.0, 1.0) * 255 + 0.5).astype(np.uint8)
    if gray.size and gray.max() <= 255:
        return gray.astype(np.uint8)
    return (np.clip(gray, 0, 65535) / 257 + 0.5).astype(np.uint8)


def on_one_canvas(frames: list[Frame]) -> list[Frame]:
    """Center photos of different sizes on one square canvas, long sides equal: one focal length for all."""
    frames = [replace(frame, time=float(number)) for number, frame in enumerate(frames)]
    if len({frame.rgb.shape for frame in frames}) == 1:
        return frames
    side = max(max(frame.rgb.shape[:2]) for frame in frames)
    return [centered(_enlarged(frame, side), side) for frame in frames]


def _enlarged(frame: Frame, side: int) -> Frame:
    """A whole photo whose long side has `side` pixels."""
    import cv2

    scale = side / max(frame.rgb.shape[:2])
    if scale <= 1.0:
        return frame
    rgb = cv2.resize(frame.rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return replace(frame, rgb=rgb, picture=(0, 0, rgb.shape[1], rgb.shape[0]))
