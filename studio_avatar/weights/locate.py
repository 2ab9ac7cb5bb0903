"""Where the weights are, and which ones they are."""

import hashlib
import os
import re
import sys
from pathlib import Path

from studio_avatar.errors import HubUnreachableError, WeightsError

from .checksums import INDEX_FILE
from .download import download_weights
from .variants import PLAIN_FILE

FOLDER_NAME = "weights_card"
ENVIRONMENT_VARIABLE = "STUDIO_AVATAR_WEIGHTS"
# For an installation without `weights_card/` beside it: wheels carry no weights.
DEFAULT_REPOSITORY = "studio-avatar/studio-avatar-small"
REVISION_FILES = ("*.json", PLAIN_FILE)
REFERENCE = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[^@\s]+))?")


def find_weights(given: str | os.PathLike | None = None) -> str:
    """The folder of the weights to load, downloaded and verified if they come from the Hub.

    Weights that a repository's own SHA-256 list does not match are refused. When the Hub cannot be reached and no revision
    was pinned, the embedded weights stand in, and a line on stderr says so.

    Args:
        given: a folder, a Hub repository "org/name", or "org/name@revision"; None takes the environment variable
            STUDIO_AVATAR_WEIGHTS, else the embedded `weights_card/` of a source checkout, else `DEFAULT_REPOSITORY`.
    Returns:
        A folder, as `StudioTexturePipeline.from_pretrained` takes it.
    Raises:
        WeightsError: what was given is neither, has no weights, or cannot be downloaded.
    """
    given = given or os.environ.get(ENVIRONMENT_VARIABLE)
    embedded = embedded_weights()
    if given is None:
        return str(embedded or _default_repository())
    if Path(given).is_dir():
        if not (Path(given) / INDEX_FILE).is_file():
            raise WeightsError(f"'{given}' has no {INDEX_FILE}: give a folder with published weights.")
        return str(given)
    repository, revision = parse_reference(str(given))
    try:
        return str(download_weights(repository, revision))
    except HubUnreachableError as error:
        if embedded is None or revision is not None:  # other weights would not be the pinned ones
            raise
        print(f"{error} The embedded weights are used instead.", file=sys.stderr)
        return str(embedded)


def embedded_weights() -> Path | None:
    """`weights_card/` beside the package, if this is a source checkout."""
    folder = Path(__file__).resolve().parents[2] / FOLDER_NAME
    return folder if (folder / INDEX_FILE).is_file() else None


def parse_reference(text: str) -> tuple[str, str | None]:
    """ "org/name" or "org/name@revision" → repository and revision.

    Raises:
        WeightsError: it is neither, nor a folder that exists.
    """
    match = None if text.startswith((".", "/", "~")) else REFERENCE.fullmatch(text)
    if match is None:
        raise WeightsError(
            f"There is no weights folder '{text}': check the path, or give a repository such as org/name."
        )
    return match["repository"], match["revision"]


def weights_revision(weights: str) -> str:
    """Names the exact weights in a folder: the commit of a Hub snapshot, else "sha256:" and 16 hex digits over its JSON and
    plain weight files; "unknown" if there is no such folder."""
    folder = Path(weights)
    if not folder.is_dir():
        return "unknown"
    if folder.parent.name == "snapshots":
        return folder.name
    digest = hashlib.sha256()
    files = {path for pattern in REVISION_FILES for path in folder.rglob(pattern)}
    for path in sorted(files):
        digest.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{digest.hexdigest()[:16]}"


def _default_repository() -> Path:
    """The published weights, for an installation that has none of its own."""
    try:
        return download_weights(DEFAULT_REPOSITORY)
    except WeightsError as error:
        raise WeightsError(
            f"This installation has no weights, and {DEFAULT_REPOSITORY} cannot be had: give --weights or set "
            f"{ENVIRONMENT_VARIABLE} to a folder or a repository. ({error})"
        ) from error
