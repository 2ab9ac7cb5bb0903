"""The result folder of one person: pictures, head and report."""

import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from pathlib import Path

from studio_avatar.errors import InvalidInputError
from studio_avatar.imaging.files import is_staging, write_atomically
from studio_avatar.imaging.image_io import encode_png, unit_to_uint8
from studio_avatar.version import __version__

from .exports import EXTRA_NAMES, GLB, GLB_ONLY, ExportSettings, pictures_meanwhile, write_models
from .settings import CreationSettings
from .summary import seen_by_region

ELSEWHERE = "choose another folder with --output."
NEEDED_BYTES = 100 << 20  # for the largest result, twice: the older one goes last
REPORTED_PACKAGES = ("torch", "diffusers", "transformers", "mediapipe", "numpy")


@dataclass(frozen=True)
class ResultFiles:
    """Paths of the files of one result.

    texture: studio texture as the head wears it (eyes and mouth painted), PNG, sRGB.
    phone_texture: what the phone saw, in the same layout.
    provenance: 8-bit gray PNG, 255 = seen by the phone, 0 = completed by the model.
    avatar: binary glTF.
    report: JSON; see `result_report`.
    """

    texture: Path
    phone_texture: Path
    provenance: Path
    avatar: Path
    report: Path

    @classmethod
    def in_folder(cls, folder: Path, prefix: str = "") -> "ResultFiles":
        return cls(
            texture=folder / f"{prefix}texture.png",
            phone_texture=folder / f"{prefix}phone_texture.png",
            provenance=folder / f"{prefix}provenance.png",
            avatar=folder / f"{prefix}{GLB}",
            report=folder / f"{prefix}report.json",
        )

    @classmethod
    def names(cls) -> set[str]:
        """The file names a result folder has, all of them."""
        return {path.name for path in cls.in_folder(Path()).paths()}

    def paths(self) -> list[Path]:
        """All files, in the order of the fields."""
        return [getattr(self, field.name) for field in fields(self)]


def check_target(target: Path, own_names: set[str] | None = None) -> None:
    """Refuse a place that cannot be written, or whose files are not ours to replace, before any work is done.

    own_names: the files that a result has; those of `ResultFiles` if not given.
    """
    own_names = ResultFiles.names() | EXTRA_NAMES if own_names is None else own_names
    if check_place(target) == target:
        others = {path.name for path in target.iterdir()} - own_names
        if not all(is_staging(name, target.resolve().name) for name in others):
            raise InvalidInputError(f"'{target}' has other files in it: {ELSEWHERE}")


def result_folders(folder: Path) -> set[str]:
    """Names of the folders in `folder` that `create` has made, one a person: a capture may be written beside them."""
    known = ResultFiles.names() | EXTRA_NAMES
    inside = {path: {file.name for file in path.iterdir()} for path in _folders_in(folder)}
    return {path.name for path, names in inside.items() if ResultFiles.names() <= names <= known}


def _folders_in(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def check_place(target: Path) -> Path:
    """Refuse a folder that cannot be made or written, whatever is in it; returns the part of it that exists."""
    for folder in (target, *target.parents):
        if folder.is_symlink() and not folder.exists():
            raise InvalidInputError(
                f"'{folder}' is a link to '{os.readlink(folder)}', which is not there: make that folder, or {ELSEWHERE}"
            )
    existing = next(folder for folder in (target, *target.parents) if folder.exists())
    if not existing.is_dir():
        raise InvalidInputError(f"'{existing}' is a file: {ELSEWHERE}")
    _check_writable(existing)
    return existing


def _check_writable(folder: Path) -> None:
    """Try it: rights alone do not tell what a disk, a mount or a network share allows."""
    try:
        Path(tempfile.mkdtemp(prefix=".studio-avatar-", dir=folder)).rmdir()
    except OSError as error:
        raise InvalidInputError(f"'{folder}' cannot be written ({error.strerror}): {ELSEWHERE}") from error
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        raise InvalidInputError(
            f"The disk of '{folder}' has {free >> 20} MB left and a result needs {NEEDED_BYTES >> 20}: {ELSEWHERE}"
        )


def save_results(
    output,
    folder: Path,
    settings: CreationSettings,
    weights_revision: str,
    prefix: str = "",
    written: Callable[[Path], None] | None = None,
    exports: ExportSettings = GLB_ONLY,
) -> ResultFiles:
    """Write a pipeline output into an existing folder.

    Args:
        output: `StudioTextureOutput` of a capture (with `.avatar` and `.capture`).
        folder: existing, normally empty.
        settings: what was asked for.
        weights_revision: from `studio_avatar.weights.locate.weights_revision`.
        prefix: what the names of the files begin with.
        written: called with each file's path as soon as the file is complete.
        exports: which files of the avatar are written; by default the GLB alone.
    Raises:
        OSError: a file cannot be written.
    """
    files = ResultFiles.in_folder(Path(folder), prefix)
    tell = written or (lambda path: None)
    with pictures_meanwhile(output.avatar, Path(folder), exports, prefix):
        tell(write_atomically(files.texture, output.avatar.material.color))
        tell(write_atomically(files.phone_texture, encode_png(output.phone_texture)))
        tell(write_atomically(files.provenance, encode_png(unit_to_uint8(output.provenance))))
        write_models(output.avatar, Path(folder), exports, prefix)
    tell(files.avatar)
    report = result_report(output, settings, weights_revision)
    tell(write_atomically(files.report, json.dumps(report, indent=2, allow_nan=False).encode() + b"\n"))
    return files


def result_report(output, settings: CreationSettings, weights_revision: str) -> dict:
    """What was done, from what, and how well it was captured; JSON-ready.

    `timings` are seconds per stage; `resolution` is (width, height) in texels; `seen_share` is the mean of the
    provenance map, in [0, 1], and `seen_by_region` the share of each part of the skin that was seen; `skin_tone` has
    of both textures the skin's mean color (L*a*b*, and sRGB 0 to 255), its standard deviations where it was
    estimated, and the individual typology angle [degrees]; `hair` has the style or
    null, why, how well it agrees with the hair in the pictures (intersection over union), and its mean linear color.
    There is no path and no name in it: a report can be shared.
    """
    return {
        "capture": output.capture.report.to_dict(),
        "timings": {stage: round(seconds, 3) for stage, seconds in output.timings.items()},
        "settings": asdict(settings),
        "seed": settings.seed,
        "resolution": [output.avatar.texture.shape[1], output.avatar.texture.shape[0]],
        "seen_share": round(float(output.provenance.mean()), 4),
        "seen_by_region": seen_by_region(output.avatar.head, output.provenance),
        "skin_tone": {"phone": _tone(output.phone_skin_tone), "studio": _tone(output.skin_tone)},
        "hair": output.avatar.worn and output.avatar.worn.to_dict(),
        "weights_revision": weights_revision,
        "versions": _versions(),
    }


def _tone(tone) -> dict:
    return asdict(tone) | {"rgb": tone.rgb, "ita": round(tone.ita, 2), "ita_std": round(tone.ita_std, 2)}


def _versions() -> dict[str, str]:
    versions = {"studio_avatar": __version__, "python": platform.python_version()}
    for package in REPORTED_PACKAGES:
        versions[package] = metadata.version(package)
    return versions
