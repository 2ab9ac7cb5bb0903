"""The sessions of API calls: their files go minutes after the call is over and nobody listens, not after an hour."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from .listeners import Listeners
from .sessions import SessionFolders

KEEP_SECONDS = 600.0  # since the answer was told: so long the files can be fetched


class ApiSessions:
    """Which sessions have called the API, and when each was heard of last."""

    def __init__(self, sessions: SessionFolders, listeners: Listeners):
        self._sessions, self._listeners = sessions, listeners
        self._running: Counter[str] = Counter()
        self._last: dict[str, float] = {}  # when a session's last call ended [s, monotonic]
        self._lock = threading.Lock()
        sessions.also_sweep.append(lambda _: self.sweep())

    @contextmanager
    def calling(self, session: str) -> Iterator[None]:
        """While a call of a session waits or runs."""
        with self._lock:
            self._running[session] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[session] -= 1
                self._last[session] = time.monotonic()

    def sweep(self) -> None:
        """Delete uploads and results of those who have had their answers for `KEEP_SECONDS`."""
        moment = time.monotonic() - KEEP_SECONDS
        with self._lock:
            over = [session for session, ended in self._last.items() if self._is_over(session, ended, moment)]
            for session in over:
                del self._last[session], self._running[session]
        for session in over:
            self._sessions.forget(session)

    def _is_over(self, session: str, ended: float, moment: float) -> bool:
        return not self._running[session] and max(ended, self._listeners.heard(session)) < moment
