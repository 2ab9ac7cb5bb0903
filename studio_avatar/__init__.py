"""A selfie video becomes a studio-lit face texture on an animatable head.

    from studio_avatar import Avatar, StudioTexturePipeline, capture

`capture` is the subpackage: `capture.capture("selfie.mp4", head)` makes a phone texture. A package attribute cannot be the
subpackage and a function of the same name, whichever was imported first.
"""

import os

from .lazy import lazy_names

__all__ = ["Avatar", "StudioTexturePipeline", "capture"]
__getattr__ = lazy_names(
    __name__, {"Avatar": "avatar", "StudioTexturePipeline": "pipeline", "capture": "capture"}
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _let_idle_threads_sleep() -> None:
    """Idle threads of OpenMP, on which torch runs, give their core away instead of spinning on it.

    By default a thread that waits for the others spins. Where another process has the core that the others need, that makes
    torch many times slower. OpenMP reads the environment when torch is imported: every entry point of the package does so
    later than this. Child processes inherit it. What the user has set stays.
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        os.environ.update(GOMP_SPINCOUNT="0", OMP_WAIT_POLICY="PASSIVE")


_let_idle_threads_sleep()
