"""Writing files and folders so that a reader sees the whole thing or nothing."""

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

STAGING_DIGITS = 12  # of the random part of a temporary name


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
def new_folder(target: str | os.PathLike) -> Iterator[Path]:
    """Yield a staging folder beside `target` that becomes `target` when the block succeeds.

    An older `target` is replaced as a whole. When the block raises, the staging folder and every parent
    folder made for it are removed, and an older `target` is left as it was.

    Raises:
        OSError: the folder cannot be made or put in place.
    """
    target = Path(target)
    missing = [folder for folder in target.parents if not folder.exists()]  # deepest first
    staging = _hidden_sibling(target)
    try:
        staging.mkdir(parents=True)
        yield staging
        _swap_in(staging, target)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        for folder in missing:
            with suppress(OSError):  # someone else may have put files there meanwhile
                folder.rmdir()
        raise


def remove_staging(target: str | os.PathLike) -> None:
    """Remove what processes that were killed left beside `target`; nobody may be writing it now."""
    target = Path(target)
    staging = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{{STAGING_DIGITS}}}")
    for path in target.parent.iterdir() if target.parent.is_dir() else ():
        if staging.fullmatch(path.name):
            shutil.rmtree(path)


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
    if aside.is_dir():
        shutil.rmtree(aside)
    else:
        aside.unlink()


def _hidden_sibling(path: Path) -> Path:
    """A name in the same folder, hence on the same disk, that nobody else uses."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:STAGING_DIGITS]}")
