"""The errors of the whole package; they are defined in `pipeline/errors.py`, which is published with the remote code."""

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
]
