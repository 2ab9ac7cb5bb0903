"""Which API calls somebody still waits for: those whose stream of answers is open.

gradio's clients have one for all calls of a session; of plain HTTP each call is a session of its own.
"""

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager

GONE_SECONDS = 3.0  # after a stream has closed; clients open it anew when it broke
SILENT_SECONDS = 60.0  # after a call that nobody has asked the answer of
REMEMBERED_SECONDS = 600.0
MOST_CANCELLED = 1000  # of which we remember it; more than wait at a time


class Listeners:
    """Counts the open streams of every session."""

    def __init__(self):
        self._open: Counter[str] = Counter()
        self._left: dict[str, float] = {}  # when the last stream of a session closed
        self._cancelled: deque[str] = deque(maxlen=MOST_CANCELLED)
        self._lock = threading.Lock()

    @contextmanager
    def listening(self, session: str) -> Iterator[None]:
        """While a stream of a session's answers is open."""
        with self._lock:
            self._open[session] += 1
        try:
            yield
        finally:
            self._leave(session)

    def _leave(self, session: str) -> None:
        now = time.monotonic()
        with self._lock:
            self._open[session] -= 1
            if self._open[session] <= 0:
                del self._open[session]
                self._left[session] = now
            self._left = {one: left for one, left in self._left.items() if now - left < REMEMBERED_SECONDS}

    def heard(self, session: str) -> float:
        """When a session's stream was open last [s, monotonic]: now, if it is; minus infinity, if that is long ago."""
        with self._lock:
            return time.monotonic() if self._open[session] > 0 else self._left.get(session, -math.inf)

    def cancel(self, event: str) -> None:
        """A client cancelled a call; its stream may go on for the client's other calls."""
        with self._lock:
            self._cancelled.append(event)

    def gone(self, session: str | None, since: float, event: str | None = None) -> bool:
        """Whether nobody waits any more for a call that began at `since` [s, monotonic]: its stream is closed, or it, the
        `event`, was cancelled. A call without a session has no stream, and whoever made it waits."""
        now = time.monotonic()
        if session is None:
            return False
        with self._lock:
            if event in self._cancelled:
                return True
            if self._open[session] > 0:
                return False
            left = self._left.get(session)
        if left is None or left < since:
            return now - since > SILENT_SECONDS
        return now - left > GONE_SECONDS
