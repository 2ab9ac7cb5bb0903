"""Capture: a selfie video or photos become a `PhoneTexture`. The steps in order are in `observation.py`."""

from studio_avatar.lazy import lazy_names

__all__ = [
    "CaptureReport",
    "Finding",
    "FoundPerson",
    "HeadFit",
    "Observation",
    "PhoneTexture",
    "capture",
    "contact_sheet",
    "find_person",
    "observe",
]
__getattr__ = lazy_names(__name__, dict.fromkeys(__all__, "observation"))
