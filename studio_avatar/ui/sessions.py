"""One folder a browser session, deleted when the page is closed, after an hour, and when the server stops.

A server that was killed deletes nothing; the next one that starts does it for it.
"""

import atexit
import contextlib
import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

from studio_avatar.imaging.files import entries_below

try:
    import fcntl
except ImportError:  # Windows: what a killed server left stays there
    fcntl = None

KEEP_SECONDS = 3600
BROKEN_SECONDS = 600  # since the last byte of an upload that broke off
EMPTY_SECONDS = 60  # of an empty file, which gradio leaves behind for each file that a call names
UNASKED_SECONDS = 1800  # since an upload for which no request's turn came; longer than the longest queue
MOST_BYTES = 20 << 30  # of all sessions together
FREE_BYTES = 1 << 30  # of the disk, left for everybody else
SWEEP_SECONDS = 120
MOST_CAPTURES = 8  # held in memory for all visitors together: 25 MB each at 1024 texels, 185 MB at 2048
SESSION = "session-"  # how folders of results begin; gradio's folders of uploads are 64 hex digits
PREFIX, LOCK_FILE = "studio-avatar-", "in-use"  # of `root`; the file is locked as long as its server lives
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

    def welcome(self, session: str) -> None:
        """Hold captures for a session again whose page was closed before."""
        with self._lock:
            self._left.pop(session, None)

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
        self._uploads: defaultdict[str, dict[Path, int | None]] = defaultdict(dict)  # path → inode
        self.captures: HeldCaptures = HeldCaptures()
        self.also_sweep: list[
            Callable[[float], None]
        ] = []  # called with the time [s since 1970] from which on to keep
        remove_orphans(Path(tempfile.gettempdir()))
        self.root = Path(tempfile.mkdtemp(prefix=PREFIX))  # mode 0700
        self._in_use = _locked_file(self.root)
        atexit.register(shutil.rmtree, self.root, ignore_errors=True)

    def hold_uploads(self) -> None:
        """Make gradio put uploads (and serve results) below `root`. Call before any component is made."""
        os.environ[UPLOADS_VARIABLE] = str(self.root)

    def keep_sweeping(self) -> None:
        """From now on, look every two minutes for what nobody needs: API clients never say goodbye."""

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
        known = {path: _inode(path) for path in uploads if self.root.resolve() in path.parents}
        self._uploads[session].update(known)

    def forget(self, session: str) -> None:
        """Delete the session's uploads and results, and free its capture."""
        self.captures.leave(session)
        mine = self._uploads.pop(session, {})
        # gradio names an upload after its content: two visitors who bring the same file share it, and one who has just
        # brought it has put another file into its place
        for path in mine.keys() - set().union(*self._uploads.values()):
            if _inode(path) != mine[path]:
                continue
            path.unlink(missing_ok=True)
            # Not empty: another upload of the same content, or the root itself.
            with contextlib.suppress(OSError):
                path.parent.rmdir()
        shutil.rmtree(self._of(session), ignore_errors=True)

    def sweep(self) -> None:
        """Delete what nobody needs any more: after an hour what belongs to a session, other uploads earlier."""
        now = time.time()
        for drop_older_than in (self.captures.drop_older_than, *self.also_sweep):
            drop_older_than(now - KEEP_SECONDS)
        asked_for = {upload.parent for mine in list(self._uploads.values()) for upload in list(mine)}
        for path in self.root.iterdir():
            if path.name == LOCK_FILE:
                continue
            of_session = path.name.startswith(SESSION) or path.resolve() in asked_for
            try:
                known = path.stat()
                broken = BROKEN_SECONDS if known.st_size else EMPTY_SECONDS
                keep = KEEP_SECONDS if of_session else UNASKED_SECONDS if path.is_dir() else broken
                if known.st_mtime < now - keep:
                    _delete(path)
            except FileNotFoundError:
                continue  # its session has just ended

    def has_room_for(self, size: int) -> bool:
        """Whether `size` more bytes stay below what all sessions together, and this disk, may hold."""
        free = shutil.disk_usage(self.root).free
        return size <= free - FREE_BYTES and size <= MOST_BYTES - self._used_bytes()

    def _used_bytes(self) -> int:
        return sum(known.st_size for _, known in entries_below(self.root))  # sessions end meanwhile

    def _of(self, session: str) -> Path:
        # The browser chooses the session's name: hashed, it cannot name a path.
        return self.root / f"{SESSION}{hashlib.sha256(session.encode()).hexdigest()[:24]}"


def remove_orphans(folder: Path) -> None:
    """Delete the session folders of servers that were killed: those whose lock nobody holds."""
    for root in folder.glob(f"{PREFIX}*") if fcntl else ():
        try:
            with (root / LOCK_FILE).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(root, ignore_errors=True)
        except OSError:
            continue  # in use, another user's, or not of a server


def _locked_file(root: Path):
    """The open lock file of `root`; it has its name only when it is locked, so that nobody takes it for an orphan's."""
    file = (root / f".{LOCK_FILE}").open("w")
    if fcntl:
        fcntl.flock(file, fcntl.LOCK_EX)
    (root / f".{LOCK_FILE}").rename(root / LOCK_FILE)
    return file


def _inode(path: Path) -> int | None:
    """Which file lies there now."""
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _delete(path: Path) -> None:
    """A folder with all in it, or one file: an upload that broke off is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
