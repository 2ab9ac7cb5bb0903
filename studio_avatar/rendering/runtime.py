"""Starting NVIDIA Warp, once and quietly. The rest of the package is written so that importing it does not import Warp:
functions call `start_warp`, and then import what needs it.
"""

import functools
import threading

from studio_avatar.errors import MissingDependencyError
from studio_avatar.imaging.native_logs import quiet_native_logs

_LOADING = threading.RLock()


def load_kernels(device: str = "cpu") -> None:
    """Make everything else here start at once: the kernels are compiled at a machine's first run, 4 s, later read.

    Another thread that needs them meanwhile waits.
    """
    with _LOADING:
        start_warp()
        import warp as wp

        from . import kernels

        wp.load_module(kernels, device=device)


def start_warp() -> None:
    """Import Warp with our settings, and our kernels; waits while another thread loads them.

    Raises:
        MissingDependencyError: `warp-lang` is not installed.
    """
    with _LOADING:
        _start_warp_once()


@functools.cache
def _start_warp_once() -> None:
    try:
        import warp as wp
    except ImportError as error:
        raise MissingDependencyError("Rendering needs Warp: run pip install warp-lang.") from error
    wp.config.log_level = wp.LOG_ERROR  # the banner and "no CUDA driver" are no news to the user
    # Nothing is differentiated here, and without adjoint code the kernels compile in half the time.
    wp.config.enable_backward = False
    with quiet_native_logs():
        wp.init()  # its native part complains on stderr where there is no CUDA driver
    from . import kernels  # noqa: F401 - one thread only runs its decorators
