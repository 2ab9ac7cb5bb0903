"""Typed errors. Every message is one sentence that says what the user can do next."""


class StudioAvatarError(ValueError):
    """Base of all errors a user can cause and mend."""


class InvalidInputError(StudioAvatarError):
    """An argument has the wrong shape, range or combination."""


class WeightsError(StudioAvatarError):
    """A weights folder or repository is missing or incomplete."""


class HubUnreachableError(WeightsError):
    """The Hugging Face Hub does not answer, and the cache does not have what is needed."""


class MissingDependencyError(StudioAvatarError):
    """A package or system library that this step needs is not installed."""


class CaptureError(StudioAvatarError):
    """The given video or photos cannot become a phone texture."""


class MediaNotFoundError(CaptureError):
    """The path does not exist."""


class UnreadableMediaError(CaptureError):
    """The file is empty, truncated, has no pictures, or is no picture or video at all."""


class UnsupportedCodecError(UnreadableMediaError):
    """The video is coded in a way that cannot be decoded here."""


class NoFaceError(CaptureError):
    """No face was found in any frame."""


class SeveralFacesError(CaptureError):
    """More than one person stays in the picture."""


class NeverFrontalError(CaptureError):
    """The face is seen from the side only."""


class BlurredError(CaptureError):
    """No picture of the face is sharp."""


class FaceTooSmallError(CaptureError):
    """The picture or the face in it is too small to be unwrapped."""
