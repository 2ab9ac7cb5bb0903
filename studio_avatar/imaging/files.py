"""Files and folders that others read and change meanwhile: written whole or not at all, and counted all the same."""

import os
import re
import shutil
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

STAGING_DIGITS = 12  # of the random part of a temporary name
LONGEST_NAME = 255  # bytes


def entries_below(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The files and folders anywhere below `folder`, with what is known of them; what has just gone is left out.

    Unlike pathlib's rglob, os.walk goes on where a folder goes while it is read.
    """
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *files)):
            try:
                known = path.stat()
            except FileNotFoundError:
                continue
            yield path, known


def write_atomically(path: str | os.PathLike, data: bytes) -> Path:
    """Write `data` beside `path` under a temporary name, then rename it into place.

    Returns:
        `path`. Its folder must exist; an older file of that name is replaced.
    Raises:
        OSError: the folder is missing, full or not writable; no partial file stays behind.
    """
    path = Path(path)
    staging = _hidden_sibling(path)
    try:
        staging.write_bytes(data)
        os.replace(staging, path)
    except BaseException:
        staging.unlink(missing_ok=True)
        raise
    return path


@contextmanager
def new_folder(target: str | os.PathLike, own_names: Collection[str] | None = None) -> Iterator[Path]:
    """Yield a staging folder that becomes `target` when the block succeeds.

    An older `target` is replaced as a whole; a link stays, and the folder that it leads to is replaced. A folder that
    cannot be renamed (a mount point, the working folder, one whose parent is read-only) stays, and its files are
    replaced one by one. When the block raises, the staging folder and every parent folder made for it are removed, and
    an older `target` is left as it was.

    own_names: what may go of an older `target`, or None for all of it; where it has anything else, that stays.

    Raises:
        OSError: the folder cannot be made or put in place.
    """
    target = Path(target).resolve()
    missing = [folder for folder in target.parents if not folder.exists()]  # deepest first
    others = set() if own_names is None else _names_in(target) - set(own_names)
    fixed = target.is_dir() and (bool(others) or not _can_be_renamed(target))
    staging = _staging_in(target, target.name) if fixed else _hidden_sibling(target)
    try:
        staging.mkdir(parents=True)
        yield staging
        if fixed:
            _fill(staging, target, own_names)
        else:
            _swap_in(staging, target)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        for folder in missing:
            with suppress(OSError):  # someone else may have put files there meanwhile
                folder.rmdir()
        raise


def remove_staging(target: str | os.PathLike) -> None:
    """Remove what processes that were killed left beside `target` or in it; nobody may be writing it now."""
    target = Path(target).resolve()
    for folder in (target.parent, target):
        for path in folder.iterdir() if folder.is_dir() else ():
            if is_staging(path.name, target.name):
                shutil.rmtree(path)


def is_staging(name: str, target_name: str) -> bool:
    """Whether a file name is one that `new_folder` uses on the way to a target of this name."""
    return (
        re.fullmatch(rf"{re.escape(_staging_stem(target_name))}[0-9a-f]{{{STAGING_DIGITS}}}", name)
        is not None
    )


def _can_be_renamed(folder: Path) -> bool:
    here = Path.cwd()
    in_use = folder == here or folder in here.parents
    return not in_use and not os.path.ismount(folder) and os.access(folder.parent, os.W_OK)


def _names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _fill(staging: Path, target: Path, own_names: Collection[str] | None) -> None:
    """Move everything of `staging` into `target` in place of what it had, of which only `own_names` go where they are given;
    what is new is there before what is old goes."""
    old = _names_in(target) - {staging.name}
    old = old if own_names is None else old & set(own_names)
    for path in sorted(staging.iterdir()):
        if (target / path.name).is_dir():
            shutil.rmtree(target / path.name)
        os.replace(path, target / path.name)
        old.discard(path.name)
    for name in old:
        _remove(target / name)
    staging.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _swap_in(staging: Path, target: Path) -> None:
    """Rename `staging` to `target`. Rename cannot replace a folder that has files, so an older `target` is
    moved aside first, and put back if the rename fails."""
    if not target.exists():
        staging.rename(target)
        return
    aside = _hidden_sibling(target)
    target.rename(aside)
    try:
        staging.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    _remove(aside)


def _hidden_sibling(path: Path) -> Path:
    """A name in the same folder, hence on the same disk, that nobody else uses."""
    return _staging_in(path.parent, path.name)


def _staging_in(folder: Path, name: str) -> Path:
    return folder / f"{_staging_stem(name)}{uuid.uuid4().hex[:STAGING_DIGITS]}"


def _staging_stem(name: str) -> str:
    """How temporary names for `name` begin, short enough for every disk (255 bytes)."""
    room = LONGEST_NAME - STAGING_DIGITS - 2
    return f".{name.encode()[:room].decode(errors='ignore')}."
