"""What one address may take of the machine, so that nobody gets all of it."""

import threading
import time
from collections import deque

WINDOW_SECONDS = 600.0
MOST_UPLOADS, MOST_BYTES = 60, 4_000_000_000  # of one address in that time
MOST_RUNS = 4  # of one address, waiting or at work
TOO_MANY_UPLOADS = "You have uploaded very much in the last ten minutes: please wait a little."
TOO_MANY_RUNS = f"You already have {MOST_RUNS} runs here: please wait until one of them is done."


def address_of(connection) -> str:
    """The address that a request comes from: what a proxy before us says, else the peer's.

    connection: Starlette's `HTTPConnection`, or gradio's `Request`, which has the same `headers` and `client`.
    Who forges the proxy's header gets a share of another address; the bounds of the whole machine hold all the same.
    """
    forwarded = connection.headers.get("x-forwarded-for", "").partition(",")[0].strip()
    return forwarded or (connection.client.host if connection.client else "")


class UploadShares:
    """Counts the uploads of every address in the last `WINDOW_SECONDS`."""

    def __init__(self, most_uploads: int = MOST_UPLOADS, most_bytes: int = MOST_BYTES):
        self._most = most_uploads, most_bytes
        self._of: dict[str, deque[tuple[float, int]]] = {}  # (when, bytes)
        self._lock = threading.Lock()

    def take(self, address: str, size: int) -> bool:
        """Count an upload of `size` bytes, if it is within the address' share."""
        now = time.monotonic()
        with self._lock:
            self._forget_before(now - WINDOW_SECONDS)
            taken = self._of.setdefault(address, deque())
            files, data = self._most
            if len(taken) >= files or size + sum(size for _, size in taken) > data:
                return False
            taken.append((now, size))
            return True

    def _forget_before(self, moment: float) -> None:
        for address in list(self._of):
            taken = self._of[address]
            while taken and taken[0][0] < moment:
                taken.popleft()
            if not taken:
                del self._of[address]
