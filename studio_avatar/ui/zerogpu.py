"""Hugging Face ZeroGPU: a Space that has no GPU of its own and borrows one for each call.

Off such a Space nothing here does anything, and the package `spaces` is not imported.
"""

import math
import os
from collections.abc import Callable

from studio_avatar.results.settings import CreationSettings

# Estimates, no GPU was at hand. Two CPU cores need 13 s to capture the example, 0.18 s an inversion step and 1.3 s an
# upscaler step (README, "Hardware"). Capture stays on the CPU; a GPU is taken to need a third of the rest, small kernels.
CAPTURE_SECONDS = 15.0
START_SECONDS = 5.0  # moving the networks, first kernels
INVERSION_STEP_SECONDS = 0.06
UPSCALER_STEP_SECONDS = 0.4


def on_zerogpu() -> bool:
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def prepare() -> None:
    """Call before torch is imported: `spaces` makes torch believe in a GPU, so that the networks can be put on it early."""
    if on_zerogpu():
        import spaces  # noqa: F401


def on_gpu(function: Callable) -> Callable:
    """`function` with a GPU for as long as a call with its settings should take; unchanged off ZeroGPU.

    One of the function's positional arguments must be the `CreationSettings`.
    """
    if not on_zerogpu():
        return function
    import spaces

    return spaces.GPU(duration=gpu_seconds)(function)


def gpu_seconds(*arguments) -> int:
    """The time slice to ask for [s]; a call that takes longer is aborted, a shorter one waits less in the queue."""
    settings = next(argument for argument in arguments if isinstance(argument, CreationSettings))
    steps = settings.inversion_steps * INVERSION_STEP_SECONDS + settings.steps * UPSCALER_STEP_SECONDS
    return math.ceil(CAPTURE_SECONDS + START_SECONDS + steps)
