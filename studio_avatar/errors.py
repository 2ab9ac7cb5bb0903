"""The errors of the whole package, and what one says in a line. They are defined in `pipeline/errors.py`, which is published
with the remote code."""

from studio_avatar.pipeline.errors import (
    BlurredError,
    CaptureError,
    FaceTooSmallError,
    HubUnreachableError,
    InvalidInputError,
    MediaNotFoundError,
    MissingDependencyError,
    NeverFrontalError,
    NoFaceError,
    SeveralFacesError,
    StudioAvatarError,
    UnreadableMediaError,
    UnsupportedCodecError,
    WeightsError,
)


def first_line(error: BaseException, otherwise: str) -> str:
    """What an error says, in one line; `otherwise` where it says nothing."""
    return next(iter(str(error).strip().splitlines()), otherwise)


__all__ = [
    "BlurredError",
    "CaptureError",
    "FaceTooSmallError",
    "HubUnreachableError",
    "InvalidInputError",
    "MediaNotFoundError",
    "MissingDependencyError",
    "NeverFrontalError",
    "NoFaceError",
    "SeveralFacesError",
    "StudioAvatarError",
    "UnreadableMediaError",
    "UnsupportedCodecError",
    "WeightsError",
    "first_line",
]
