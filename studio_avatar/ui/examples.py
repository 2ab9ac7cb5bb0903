"""The captures offered on the page, buttons that look like them, and heads that are there before anything was made."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

THUMBNAIL_PX = 144


@dataclass(frozen=True)
class Examples:
    """Captures offered on the page; None where there is none.

    good, weak: videos. people: photos of one person each. heads: finished ones, a folder each, with what
    tools/make_example_head.py writes.
    """

    good: Path | None = None
    weak: Path | None = None
    people: tuple[Path, ...] = ()
    heads: tuple[Path, ...] = ()

    @classmethod
    def in_folder(cls, folder: Path) -> "Examples":
        """`selfie.mp4`, `weak_selfie.mp4`, `person_*.jpg` and `heads/*/`, as far as they are there."""
        found = (folder / "selfie.mp4", folder / "weak_selfie.mp4")
        people, heads = (tuple(sorted(folder.glob(name))) for name in ("person_*.jpg", "heads/*/"))
        return cls(*(path if path.is_file() else None for path in found), people, heads)

    def named(self) -> dict[str, Path]:
        """Name → file of those that are there: "good", "person-1" and so on, "weak"."""
        people = {f"person-{number}": path for number, path in enumerate(self.people, 1)}
        named = {"good": self.good, **people, "weak": self.weak}
        return {name: path for name, path in named.items() if path is not None}

    def served(self) -> list[Path]:
        """Files and folders that the page fetches from where they are; they are no session's."""
        return [*self.named().values(), *self.heads]


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
