"""Weights from the Hugging Face Hub, into its shared cache, checked against the repository's own list of SHA-256 sums.

Hub and client agree on a file's size only: a body of the right length with the wrong bytes would go unnoticed.
"""

from functools import partial
from pathlib import Path

from studio_avatar.errors import HubUnreachableError, WeightsError

from .checksums import CHECKSUMS_FILE, read_checksums, sha256
from .variants import weight_files


def download_weights(
    repository: str,
    revision: str | None = None,
    variant: str | None = None,
    cache_dir: str | Path | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
) -> Path:
    """The cached snapshot of a weights repository, complete for one variant and with every file's SHA-256 verified.

    Remote code is neither downloaded nor run. With a warm cache and HF_HUB_OFFLINE=1 (or `local_files_only`) no request
    is made.

    Args:
        repository: "org/name". revision: branch, tag or commit; None is "main". variant: "fp16", or None.
        cache_dir, token, local_files_only, force_download: as `huggingface_hub.snapshot_download` takes them.
    Returns:
        The snapshot's folder; its name is the commit.
    Raises:
        HubUnreachableError: the Hub does not answer, and the cache has not all that is needed.
        WeightsError: no such repository or revision, no access, a file is missing, or has the wrong SHA-256; such a file is
            deleted from the cache and named.
    """
    fetch = partial(
        _snapshot,
        repository,
        cache_dir=cache_dir,
        token=token,
        local_files_only=local_files_only,
        force_download=force_download,
    )
    folder = fetch(revision, [CHECKSUMS_FILE])
    sums = read_checksums(folder)
    wanted = [name for name in sums if name.endswith(".json")] + weight_files(sums, variant)
    folder = fetch(folder.name, wanted)  # the same commit, whatever is pushed meanwhile
    _verify(repository, folder, {name: sums[name] for name in wanted})
    return folder


def _snapshot(repository: str, revision: str | None, files: list[str], **options) -> Path:
    import httpx2
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=files, **options))
    except HFValidationError as error:
        raise WeightsError(
            f"'{repository}' is neither a folder nor a repository name such as org/name."
        ) from error
    except (HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        raise _explained(repository, revision, error) from error


def _explained(repository: str, revision: str | None, error: Exception) -> WeightsError:
    """The client's error as one sentence that says what the user can do."""
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    name = f"{repository}@{revision}" if revision else repository
    is_local = isinstance(error, LocalEntryNotFoundError)  # the cache was tried after the Hub had failed
    cause = error.__cause__ if is_local else error
    status = getattr(getattr(cause, "response", None), "status_code", 0)
    if isinstance(cause, RevisionNotFoundError):
        return WeightsError(f"'{repository}' has no revision '{revision}': check the branch, tag or commit.")
    if isinstance(cause, GatedRepoError):
        return WeightsError(f"'{repository}' is gated: ask for access on its page and set HF_TOKEN.")
    if isinstance(cause, RepositoryNotFoundError):
        return WeightsError(
            f"The Hub has no repository '{repository}', or hides it: check the name and HF_TOKEN."
        )
    if isinstance(cause, RemoteEntryNotFoundError):
        return WeightsError(f"'{name}' lacks a file that its {CHECKSUMS_FILE} lists: {_path_of(cause)}.")
    if status in (401, 403):
        return WeightsError(f"The Hub refused the token: check HF_TOKEN, or unset it to read '{repository}'.")
    if is_local or status >= 500 or not isinstance(cause, OSError):
        return HubUnreachableError(
            f"The Hugging Face Hub cannot be reached{f' (HTTP {status})' if status else ''} and '{name}' is not "
            "complete in the cache: check the connection, or give a folder of weights."
        )
    return WeightsError(f"'{name}' cannot be downloaded: {str(error).splitlines()[0]}")


def _path_of(error) -> str:
    """The file of a 404 answer to .../resolve/<commit>/<path>."""
    return str(error.response.url).partition("/resolve/")[2].partition("/")[2]


def _verify(repository: str, folder: Path, sums: dict[str, str]) -> None:
    """Every listed file is there and has its SHA-256; a wrong one is deleted, so that the next load fetches it anew.

    sums: as `read_checksums` gives them: no name leaves `folder`.
    """
    for name, expected in sums.items():
        path = folder / name
        if not path.is_file():
            raise WeightsError(f"'{repository}' lacks {name}: publish it again, or take another revision.")
        if sha256(path) != expected:
            _delete(path, folder.parent.parent)
            raise WeightsError(
                f"'{name}' of '{repository}' has the wrong SHA-256 and was deleted: load the weights again."
            )


def _delete(path: Path, cache: Path) -> None:
    """Delete a file of a snapshot and the blob to which it links, if that is in this repository's part of the cache.

    cache: the folder that has `blobs/` and `snapshots/` of the repository.
    """
    blob = path.resolve()
    path.unlink(missing_ok=True)
    if cache.resolve() in blob.parents:
        blob.unlink(missing_ok=True)
