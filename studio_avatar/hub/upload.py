"""A folder becomes a repository on the Hugging Face Hub, in one commit."""

from pathlib import Path

from studio_avatar.errors import HubUnreachableError, InvalidInputError, WeightsError


def upload(folder: Path, repository: str, private: bool = False, revision: str | None = None) -> str:
    """Make `repository` (on the branch `revision`) equal to `folder` in one commit; both are made when missing.

    Returns:
        The address of the commit.
    Raises:
        InvalidInputError: the name is none, or the token may not write there. WeightsError: the Hub refuses the model card.
        HubUnreachableError: the Hub does not answer.
    """
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    api = HfApi()
    try:
        repository = api.create_repo(repository, private=private, exist_ok=True).repo_id
        if revision is not None:
            api.create_branch(repository, branch=revision, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            revision=revision,
            commit_message="Publish Studio Avatar weights",
            delete_patterns="*",  # what is not in the folder; files of older versions would be offered as variants
        )
    except HFValidationError as error:
        raise InvalidInputError(f"'{repository}' is no repository name: use org/name.") from error
    except HfHubHTTPError as error:
        raise _explained(repository, error) from error
    except ValueError as error:  # of the Hub's check of README.md
        raise WeightsError(f"The Hub refuses the model card: {' '.join(str(error).split())}") from error
    except httpx2.HTTPError as error:
        raise HubUnreachableError(f"The Hugging Face Hub cannot be reached: {error}") from error
    return commit.commit_url


def require_token() -> None:
    """Raises `InvalidInputError` unless HF_TOKEN is set or `hf auth login` was done."""
    from huggingface_hub import get_token

    if get_token() is None:
        raise InvalidInputError("Publishing needs a token: set HF_TOKEN to one with write access.")


def _explained(repository: str, error) -> Exception:
    status = error.response.status_code
    if status in (401, 403):
        return InvalidInputError(
            f"The Hub refused the token for '{repository}': HF_TOKEN needs write access to it."
        )
    if status >= 500:
        return HubUnreachableError(
            f"The Hugging Face Hub cannot be reached (HTTP {status}): publish again later."
        )
    return InvalidInputError(
        f"The Hub refused '{repository}' (HTTP {status}): {error.server_message or error}"
    )
