"""The captures offered on the page, and buttons that look like them."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

THUMBNAIL_PX = 144


@dataclass(frozen=True)
class Examples:
    """Captures offered on the page; None where there is none."""

    good: Path | None = None
    weak: Path | None = None

    @classmethod
    def in_folder(cls, folder: Path) -> "Examples":
        """`selfie.mp4` and `weak_selfie.mp4`, as far as they are there."""
        found = (folder / "selfie.mp4", folder / "weak_selfie.mp4")
        return cls(*(path if path.is_file() else None for path in found))

    def named(self) -> dict[str, Path]:
        """Name → file of those that are there."""
        return {name: path for name, path in vars(self).items() if path is not None}


def thumbnail_css(examples: Examples) -> str:
    """Style rules that put each capture's first picture onto the button `#example-NAME`."""
    return "\n".join(
        f'#example-{name}::before {{ background-image: url("data:image/jpeg;base64,{_thumbnail(path)}"); }}'
        for name, path in examples.named().items()
    )


def _thumbnail(path: Path) -> str:
    """The middle of the first picture as a JPEG in base64."""
    from PIL import Image, ImageOps

    from studio_avatar.capture.io.video import read_frames

    picture = Image.fromarray(next(iter(read_frames(path))).rgb)
    buffer = io.BytesIO()
    ImageOps.fit(picture, (THUMBNAIL_PX, THUMBNAIL_PX), centering=(0.5, 0.4)).save(buffer, "JPEG", quality=85)
    return base64.b64encode(buffer.getvalue()).decode()
