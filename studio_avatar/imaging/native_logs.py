"""Keeping quiet what native libraries write to standard error past Python."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

# Hold it to write to standard error while other threads may load native libraries: the descriptor is the process'.
STDERR_LOCK = threading.RLock()


@contextlib.contextmanager
def quiet_native_logs() -> Iterator[None]:
    """Nothing reaches the process' standard error meanwhile: the start-up messages of MediaPipe and Warp, which ignore every
    documented log level, are no news to the user.
    """
    with STDERR_LOCK:
        sys.stderr.flush()
        kept = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)
