"""Photos as frames: upright by EXIF, in sRGB by their colour profile, told from clips by content."""

from pathlib import Path

import numpy as np

from studio_avatar.errors import (
    InvalidInputError,
    MediaNotFoundError,
    MissingDependencyError,
    UnreadableMediaError,
)

from .frame import Frame, check_side

MAX_PHOTO_SIDE_PX = 2048

# Pillow's names. Of what else it reads nothing is a photo, and for some (EPS) it starts other programs.
PHOTO_FORMATS = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "AVIF", "HEIF", "TIFF", "BMP", "JPEG2000", "PPM")
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"heim", b"heis")


def is_photo(path: Path) -> bool:
    """Tell photos from everything else by content, never by the file's name; an animated GIF is a clip."""
    from PIL import Image, UnidentifiedImageError

    _check_file(path)
    _register_heif(path)
    try:
        with _opened(path) as image:
            return not (image.format == "GIF" and image.is_animated)
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
        from pi_heif import register_heif_opener
    except ImportError as error:
        raise MissingDependencyError(
            f"{path.name} is a HEIC photo: please run `pip install pi-heif` to read it, or give a JPEG."
        ) from error
    register_heif_opener()


def _opened(path: Path):
    """A PIL image of one of `PHOTO_FORMATS`, not yet decoded."""
    from PIL import Image

    Image.init()
    return Image.open(path, formats=[name for name in PHOTO_FORMATS if name in Image.OPEN])


def read_photo(source) -> np.ndarray:
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
    if not is_photo(path):
        raise UnreadableMediaError(
            f"{path.name} is not a photo that can be read: please give a JPEG, PNG or HEIC."
        )
    with _opened(path) as image:
        return _upright_rgb(image, path.name)


def _upright_rgb(image, name: str) -> np.ndarray:
    from PIL import Image, ImageOps

    check_side(*image.size, name)
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


def on_one_canvas(photos: list[np.ndarray]) -> list[Frame]:
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
