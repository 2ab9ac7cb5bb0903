"""What an encoder does to the process that calls it, undone."""

import contextlib
import os


@contextlib.contextmanager
def ordinary_scheduling():
    """Ordinary priority afterwards: SVT-AV1 makes its caller a real-time thread when root runs it.

    Every process started later would inherit that, and real-time threads that spin starve those they wait for.
    """
    try:
        yield
    finally:
        if hasattr(os, "sched_setscheduler"):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
