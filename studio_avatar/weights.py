"""Where the weights are, and which ones they are."""

import hashlib
import os
from pathlib import Path

from .errors import WeightsError

FOLDER_NAME = "weights_card"
ENVIRONMENT_VARIABLE = "STUDIO_AVATAR_WEIGHTS"
INDEX_FILE = "model_index.json"
REVISION_FILES = ("*.json", "*.safetensors")


def find_weights(given: str | os.PathLike | None = None) -> str:
    """The weights folder or Hub repository to load.

    Args:
        given: a folder, or a Hub repository id such as "org/name"; None takes the environment variable
            STUDIO_AVATAR_WEIGHTS, else `weights_card/` beside the package (a source checkout).
    Returns:
        A folder or repository id, as `StudioTexturePipeline.from_pretrained` takes it.
    Raises:
        WeightsError: what was given looks like a folder and has no weights, or nothing was found.
    """
    given = given or os.environ.get(ENVIRONMENT_VARIABLE)
    if given:
        return _checked(str(given))
    embedded = Path(__file__).resolve().parents[1] / FOLDER_NAME
    if not (embedded / INDEX_FILE).is_file():
        raise WeightsError("No weights were found: give --weights a folder or a Hugging Face repository id.")
    return str(embedded)


def weights_revision(weights: str) -> str:
    """Names the exact weights: the commit of a Hub repository in the local cache, or, for a folder,
    "sha256:" and 16 hex digits over its JSON and safetensors files; "unknown" if neither is there."""
    folder = Path(weights)
    if not folder.is_dir():
        return _cached_commit(weights)
    digest = hashlib.sha256()
    files = {path for pattern in REVISION_FILES for path in folder.rglob(pattern)}
    for path in sorted(files):
        digest.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{digest.hexdigest()[:16]}"


def _checked(given: str) -> str:
    looks_like_repository = given.count("/") == 1 and not given.startswith((".", "/", "~"))
    if Path(given).is_dir():
        if not (Path(given) / INDEX_FILE).is_file():
            raise WeightsError(f"'{given}' has no {INDEX_FILE}: give a folder with published weights.")
    elif not looks_like_repository:
        raise WeightsError(f"There is no weights folder '{given}': check the path.")
    return given


def _cached_commit(repository: str) -> str:
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(repository, INDEX_FILE)
    return Path(cached).parent.name if isinstance(cached, str) else "unknown"
