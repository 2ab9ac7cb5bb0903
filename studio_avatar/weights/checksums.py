"""The list of SHA-256 sums that is part of a weights repository, in the form that `sha256sum -c` reads."""

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath

from studio_avatar.errors import WeightsError
from studio_avatar.imaging.files import write_atomically
from studio_avatar.pipeline.saving import CHECKSUMS_FILE, INDEX_FILE, list_of_sums, sha256

from .variants import weight_files

VERIFY_VARIABLE = "STUDIO_AVATAR_VERIFY"
# The card may be edited on the Hub's web page; no program reads it or the Hub's own file.
UNLISTED = {CHECKSUMS_FILE, "README.md", ".gitattributes"}


def repository_files(folder: Path) -> list[str]:
    """Every file of a repository folder as a POSIX path in it, sorted; caches and hidden folders are none of it."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in paths if not path.parts[0].startswith((".", "__pycache__")))


def write_checksums(folder: Path) -> None:
    """Write the list of `folder` anew."""
    listed = (name for name in repository_files(folder) if name not in UNLISTED)
    write_atomically(folder / CHECKSUMS_FILE, list_of_sums(folder, listed).encode())


def read_checksums(folder: Path) -> dict[str, str]:
    """File name → 64 hex digits; every name is that of a file inside `folder`.

    Raises:
        WeightsError: there is no list, it is none, or it names something outside the folder.
    """
    path = folder / CHECKSUMS_FILE
    if not path.is_file():
        raise WeightsError(f"'{folder}' has no {CHECKSUMS_FILE}: publish it with `studio-avatar publish`.")
    sums = {}
    for line in path.read_text(errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name:
            raise WeightsError(f"'{path}' is damaged: delete it and load the weights again.")
        if not is_inside(name):
            raise WeightsError(
                f"{CHECKSUMS_FILE} of '{folder}' names a file outside its folder, {name!r}: do not use these weights."
            )
        sums[name] = digest
    return sums


def verify_folder(folder: Path, components: Iterable[str], variant: str | None = None) -> None:
    """What a folder's list names, of its index and the subfolders `components`, is what lies there; nothing is deleted.

    A folder without a list, as training writes it, is taken as it is, and so is every folder where `VERIFY_VARIABLE` is 0.
    Code, and weights of other variants than `variant`, may be missing: a download fetches neither.

    Raises:
        WeightsError: a file differs from its sum or is missing, or the list is none.
    """
    if os.environ.get(VERIFY_VARIABLE) == "0" or not (folder / CHECKSUMS_FILE).is_file():
        return
    parts = {INDEX_FILE, *components}
    sums = {
        name: sum for name, sum in read_checksums(folder).items() if PurePosixPath(name).parts[0] in parts
    }
    needed = {name for name in sums if name.endswith(".json")} | set(weight_files(sums, variant))
    for name, expected in sums.items():
        path = folder / name
        if not path.is_file() and name in needed:
            raise WeightsError(
                f"'{folder}' lacks {name}, which {CHECKSUMS_FILE} lists: load the weights again."
            )
        if path.is_file() and sha256(path) != expected:
            raise WeightsError(
                f"'{path}' is not the file that {CHECKSUMS_FILE} lists: it is damaged: load the weights again. If you "
                f"changed it, set {VERIFY_VARIABLE}=0, or list it with `python -m studio_avatar.hub code --out {folder}`."
            )


def is_inside(name: str) -> bool:
    """Whether a listed name stays in its folder on every system: relative, without "..", drive or backslash.

    The list comes from whoever published the weights, and files that do not match it are deleted.
    """
    path = PurePosixPath(name)
    leaves = path.is_absolute() or PureWindowsPath(name).drive or "\\" in name or ".." in path.parts
    return not leaves and bool(path.parts) and name.isprintable()
