"""A selfie video becomes a studio-lit face texture on an animatable head.

    from studio_avatar import Avatar, StudioTexturePipeline, capture

`capture` is the subpackage: `capture.capture("selfie.mp4", head)` makes a phone texture. A package attribute cannot be the
subpackage and a function of the same name, whichever was imported first.
"""

from .lazy import lazy_names

__all__ = ["Avatar", "StudioTexturePipeline", "capture"]
__getattr__ = lazy_names(
    __name__, {"Avatar": "avatar", "StudioTexturePipeline": "pipeline", "capture": "capture"}
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
