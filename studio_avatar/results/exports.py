"""What goes into a result folder beside the textures: the avatar's files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from studio_avatar.errors import InvalidInputError, first_line

LOGGER = logging.getLogger(__name__)
FORMATS = ("obj", "folder", "vrm")  # beside GLB, which is always there
GLB, LIGHT_GLB, VRM, PREVIEW, TURNTABLE, OBJ_FOLDER, PLAIN_FOLDER = (
    "avatar.glb", "avatar_light.glb", "avatar.vrm", "preview.png", "turntable.mp4", "avatar_obj", "avatar_plain",
)  # fmt: skip
EXTRA_NAMES = frozenset({LIGHT_GLB, VRM, PREVIEW, TURNTABLE, OBJ_FOLDER, PLAIN_FOLDER})


@dataclass(frozen=True)
class ExportSettings:
    """Which files of an avatar are written."""

    also: tuple[str, ...] = ()  # of FORMATS
    light: bool = False  # the light level of detail as a second GLB
    animation: bool = False  # the capture's expressions and head pose as an animation in the GLBs
    preview: bool = True  # the avatar under three lights
    turntable: bool = False  # a looping video, about 15 s on one core

    def __post_init__(self):
        unknown = [name for name in self.also if name not in FORMATS]
        if unknown:
            raise InvalidInputError(f"There is no format '{unknown[0]}': use {', '.join(FORMATS)}.")

    @property
    def draws(self) -> bool:
        """Whether there are pictures among them, which need the renderer."""
        return self.preview or self.turntable


GLB_ONLY = ExportSettings(preview=False)


def write_exports(avatar, folder: Path, settings: ExportSettings, prefix: str = "") -> None:
    """Write the avatar's files into an existing folder, their names beginning with `prefix`.

    A capture with one keyframe has no animation; its GLB is written without. Pictures that cannot be made, whatever the
    reason, are left out, and a warning says so.
    Raises:
        OSError: a file cannot be written.
    """
    with pictures_meanwhile(avatar, folder, settings, prefix):
        write_models(avatar, folder, settings, prefix)


@contextmanager
def pictures_meanwhile(avatar, folder: Path, settings: ExportSettings, prefix: str = "") -> Iterator[None]:
    """Draw the pictures of `write_exports` on a second thread while the block runs: rays are cast outside of Python's lock.

    The block has ended, and all pictures are there, when the `with` statement ends.
    """
    if not settings.draws:
        yield
        return
    _ = avatar.full_mesh  # made now, before two threads ask for it
    with ThreadPoolExecutor(1) as second:
        drawing = second.submit(_write_pictures, avatar, folder, settings, prefix)
        yield
        drawing.result()


def write_models(avatar, folder: Path, settings: ExportSettings, prefix: str = "") -> None:
    """The part of `write_exports` that is no picture."""
    animated = settings.animation and avatar.motion is not None
    avatar.export(folder / f"{prefix}{GLB}", animation=animated)
    if settings.light:
        avatar.export(folder / f"{prefix}{LIGHT_GLB}", "light", animated)
    if "vrm" in settings.also:
        avatar.export(folder / f"{prefix}{VRM}", animation=animated)
    if "obj" in settings.also:
        avatar.export(folder / f"{prefix}{OBJ_FOLDER}.obj")
    if "folder" in settings.also:
        avatar.export(folder / f"{prefix}{PLAIN_FOLDER}")


def _write_pictures(avatar, folder: Path, settings: ExportSettings, prefix: str) -> None:
    if settings.preview:
        _optional(avatar.preview, folder / f"{prefix}{PREVIEW}")
    if settings.turntable:
        _optional(avatar.turntable, folder / f"{prefix}{TURNTABLE}")


def _optional(write: Callable[[Path], object], path: Path) -> None:
    """Write a picture of the avatar, or say why it is left out: it is not worth the minute of work before it.

    Warp, which draws it, compiles its kernels into a cache folder; compiler, disk or a full memory may say no.
    """
    try:
        write(path)
    except Exception as error:
        path.unlink(missing_ok=True)
        LOGGER.warning("%s was left out: %s", path.name, first_line(error, type(error).__name__))
