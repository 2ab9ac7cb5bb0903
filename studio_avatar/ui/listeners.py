"""Which API calls somebody still waits for: those whose stream of answers is open."""

import threading
import time
from collections import Counter
from urllib.parse import parse_qs

QUEUE_DATA = "/gradio_api/queue/data"  # of gradio's clients: one for all calls of a session
CALL = "/gradio_api/call/{api_name}/{event_id}"  # of plain HTTP: one a call, which is a session of its own
GONE_SECONDS = 3.0  # after a stream has closed; clients open it anew when it broke
SILENT_SECONDS = 60.0  # after a call that nobody has asked the answer of
REMEMBERED_SECONDS = 600.0


class Listeners:
    """Counts the open streams of every session."""

    def __init__(self):
        self._open: Counter[str] = Counter()
        self._left: dict[str, float] = {}  # when the last stream of a session closed
        self._lock = threading.Lock()

    def come(self, session: str) -> None:
        """A stream was opened."""
        with self._lock:
            self._open[session] += 1

    def leave(self, session: str) -> None:
        """A stream was closed."""
        now = time.monotonic()
        with self._lock:
            self._open[session] -= 1
            if self._open[session] <= 0:
                del self._open[session]
                self._left[session] = now
            self._left = {one: left for one, left in self._left.items() if now - left < REMEMBERED_SECONDS}

    def gone(self, session: str | None, since: float) -> bool:
        """Whether nobody waits any more for a call that began at `since` [s, monotonic]; a call without a session has no
        stream, and whoever made it waits."""
        now = time.monotonic()
        if session is None:
            return False
        with self._lock:
            if self._open[session] > 0:
                return False
            left = self._left.get(session)
        if left is None or left < since:
            return now - since > SILENT_SECONDS
        return now - left > GONE_SECONDS


def session_of(path: str, route_path: str, query: bytes) -> str | None:
    """The session whose answers a request asks for, or None where it asks for none."""
    if route_path == CALL:
        return path.rsplit("/", 1)[1]
    if route_path == QUEUE_DATA:
        return parse_qs(query.decode("latin-1")).get("session_hash", [None])[0]
    return None
