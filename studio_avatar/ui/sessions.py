"""One folder a browser session, deleted when the page is closed, after an hour, and when the server stops."""

import atexit
import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Generic, TypeVar

KEEP_SECONDS = 3600
SWEEP_SECONDS = 600
MOST_CAPTURES = 8  # held in memory for all visitors together: 25 MB each at 1024 texels, 185 MB at 2048
UPLOADS_VARIABLE = "GRADIO_TEMP_DIR"  # gradio reads it when components are made


Capture = TypeVar("Capture")


class HeldCaptures(Generic[Capture]):
    """The last capture that each open page looked at, in memory, so that the avatar can go on from it.

    Not in a `gr.State`, which gradio keeps for an hour after the page is closed. Who comes back to a capture that
    gave way to others' only waits a little longer: it is looked at again.
    """

    def __init__(self, most: int = MOST_CAPTURES):
        self._most = most
        self._held: OrderedDict[str, tuple[float, Capture]] = OrderedDict()
        self._left: dict[str, float] = {}  # a check may end just after its page was closed
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, session: str, capture: Capture) -> None:
        """Keep this session's capture in place of an older one, unless its page was closed meanwhile."""
        with self._lock:
            if session in self._left:
                return
            self._held.pop(session, None)
            self._held[session] = (time.time(), capture)
            while len(self._held) > self._most:
                self._held.popitem(last=False)

    def of(self, session: str) -> Capture | None:
        """What is held for this session."""
        with self._lock:
            return self._held.get(session, (0.0, None))[1]

    def drop(self, session: str) -> None:
        """Free this session's capture."""
        with self._lock:
            self._held.pop(session, None)

    def leave(self, session: str) -> None:
        """The session's page was closed: free its capture, and hold none for it any more."""
        with self._lock:
            self._held.pop(session, None)
            self._left[session] = time.time()

    def drop_older_than(self, time_stamp: float) -> None:
        """Free what was held before `time_stamp` [seconds since 1970]."""
        with self._lock:
            self._left = {session: since for session, since in self._left.items() if since >= time_stamp}
            for session in [session for session, (since, _) in self._held.items() if since < time_stamp]:
                del self._held[session]


class SessionFolders:
    """Private folders for uploads and results, all below one temporary folder that only this user can read.

    Faces are biometric data: nothing of a session outlives it.
    """

    def __init__(self):
        self._uploads: defaultdict[str, set[Path]] = defaultdict(set)
        self.captures: HeldCaptures = HeldCaptures()
        self.root = Path(tempfile.mkdtemp(prefix="studio-avatar-"))  # mode 0700
        atexit.register(shutil.rmtree, self.root, ignore_errors=True)

    def hold_uploads(self) -> None:
        """Make gradio put uploads (and serve results) below `root`. Call before any component is made."""
        os.environ[UPLOADS_VARIABLE] = str(self.root)

    def keep_sweeping(self) -> None:
        """From now on, look every ten minutes for what is older than an hour: API clients never say goodbye."""

        def sweep_for_ever():
            while True:
                time.sleep(SWEEP_SECONDS)
                self.sweep()

        threading.Thread(target=sweep_for_ever, name="sweep", daemon=True).start()

    def new(self, session: str) -> Path:
        """A new empty folder for one result of this session."""
        parent = self._of(session)
        parent.mkdir(exist_ok=True)
        return Path(tempfile.mkdtemp(dir=parent))

    def adopt(self, session: str, paths: Iterable[str]) -> None:
        """Let uploads go with the session; paths outside `root`, such as the example's, are left alone."""
        uploads = (Path(path).resolve() for path in paths)
        self._uploads[session].update(path for path in uploads if self.root.resolve() in path.parents)

    def forget(self, session: str) -> None:
        """Delete the session's uploads and results, and free its capture."""
        self.captures.leave(session)
        mine = self._uploads.pop(session, set())
        # gradio names an upload after its content: two visitors who bring the same file share it
        for path in mine.difference(*self._uploads.values()):
            path.unlink(missing_ok=True)
        shutil.rmtree(self._of(session), ignore_errors=True)

    def sweep(self) -> None:
        """Delete every upload and result folder that nothing was added to for an hour, and captures as old."""
        oldest = time.time() - KEEP_SECONDS
        self.captures.drop_older_than(oldest)
        for folder in self.root.iterdir():
            try:
                if folder.stat().st_mtime < oldest:
                    shutil.rmtree(folder, ignore_errors=True)
            except FileNotFoundError:
                continue  # its session has just ended

    def _of(self, session: str) -> Path:
        # The browser chooses the session's name: hashed, it cannot name a path.
        return self.root / f"session-{hashlib.sha256(session.encode()).hexdigest()[:24]}"
