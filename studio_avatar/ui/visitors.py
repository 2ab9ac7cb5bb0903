"""Who is on the page: what each visitor has made, and when it is deleted.

A visitor is a secret that the browser keeps for its tab. A reload, a phone that slept and a connection that was lost bring
the same secret back, and with it the run or the result. Whoever closes the page is gone after some seconds.
"""

import re
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from .jobs import Job
from .service import AvatarResult, CaptureCheck
from .sessions import SessionFolders

SECRET = re.compile(r"[0-9a-f]{32}")
# After the browser has said that it leaves; a reload says so, too, and comes back.
LEAVING_SECONDS = 12.0
# After the connection ended without a word: a phone that sleeps, a tunnel. The run goes on that long.
LOST_SECONDS = 300.0


@dataclass
class Visitor:
    """What one visitor has on the page.

    key: names the folders of the visitor's files; nobody else knows it. secret: what the browser keeps, or None where it
    keeps nothing: then nobody can come back. address: where the page was opened from last, which shares the queue.
    paths: the capture that was given last. check: of the capture that was looked at last, without its `PhoneTexture`, which
    `SessionFolders.captures` has. result: the last avatar. pack: a ZIP of more files of it.
    job: the run that is going on, or went last. previews: pictures of the avatar that is being made.
    since: when the last run began [seconds since 1970].
    """

    key: str
    secret: str | None = None
    address: str = ""
    paths: list[str] = field(default_factory=list)
    check: CaptureCheck | None = None
    result: AvatarResult | None = None
    pack: Path | None = None
    job: Job | None = None
    previews: dict = field(default_factory=dict)
    pages: set[str] = field(default_factory=set)
    goodbye: bool = False
    since: float = field(default_factory=time.time)
    leaving: threading.Timer | None = None

    @property
    def working(self) -> bool:
        return self.job is not None and not self.job.over

    def take_check(self, check: CaptureCheck, sessions: SessionFolders) -> None:
        """Keep a finished check; its large part goes to the captures that are held in memory."""
        sessions.captures.hold(self.key, check)
        self.check = replace(check, phone=None)


class Visitors:
    """All visitors, by the pages that they have open."""

    def __init__(self, sessions: SessionFolders):
        self._sessions = sessions
        self._of_page: dict[str, Visitor] = {}
        self._of_secret: dict[str, Visitor] = {}
        self._lock = threading.RLock()
        sessions.also_sweep.append(self.drop_older_than)

    def enter(self, page: str, secret: str | None, address: str = "") -> Visitor:
        """A page was opened by who has this secret; something else than a secret makes a visitor of this page alone.

        address: where from.
        """
        secret = secret if secret and SECRET.fullmatch(secret) else None
        with self._lock:
            visitor = self._known(page, secret)
            if visitor is None:
                visitor = Visitor(secret or page)
                self._sessions.captures.welcome(visitor.key)
            if secret and visitor.secret is None and secret not in self._of_secret:
                visitor.secret = secret
                self._of_secret[secret] = visitor
            self._stay(visitor)
            visitor.goodbye, visitor.address = False, address or visitor.address
            visitor.pages.add(page)
            self._of_page[page] = visitor
            return visitor

    def _known(self, page: str, secret: str | None) -> Visitor | None:
        """Whose page or secret this is. A capture may have been given to a page before its secret has come, which a slow
        line brings late: such a page's work takes the place of what the secret had, unless another page shows that."""
        here, known = self._of_page.get(page), self._of_secret.get(secret)
        if here is None or known is None or here is known:
            return known or here
        if here.job is not None:
            if not known.pages:
                self._stay(known)
                self._forget(known)
            return here
        self._forget(here)
        return known

    def of(self, page: str) -> Visitor:
        """Who has this page open."""
        with self._lock:
            return self._of_page.get(page) or self.enter(page, None)

    def on_page(self, secret: str) -> Visitor | None:
        """Who has this secret and a page open."""
        with self._lock:
            visitor = self._of_secret.get(secret)
            return visitor if visitor and visitor.pages else None

    def close(self, page: str) -> None:
        """A page's connection has ended."""
        with self._lock:
            visitor = self._of_page.pop(page, None)
            if visitor is None:  # an API client's
                return self._sessions.forget(page)
            visitor.pages.discard(page)
            if not visitor.pages:
                self._leave(visitor)

    def say_goodbye(self, secret: str) -> None:
        """The browser of who has this secret leaves the page, perhaps to load it again."""
        with self._lock:
            visitor = self._of_secret.get(secret)
            if visitor is None:
                return
            visitor.goodbye = True
            if not visitor.pages:
                self._leave(visitor)

    def drop_older_than(self, time_stamp: float) -> None:
        """Free what open pages made before `time_stamp` [seconds since 1970]; its files go at the same time."""
        with self._lock:
            for visitor in (*self._of_page.values(), *self._of_secret.values()):
                if visitor.since < time_stamp and not visitor.working:
                    visitor.check = visitor.result = visitor.pack = visitor.job = None

    def _leave(self, visitor: Visitor) -> None:
        """Forget a visitor without a page, at once or after a while."""
        self._stay(visitor)
        if visitor.secret is None:
            return self._forget(visitor)
        seconds = LEAVING_SECONDS if visitor.goodbye else LOST_SECONDS
        visitor.leaving = threading.Timer(seconds, self._forget_unless_back, [visitor])
        visitor.leaving.daemon = True
        visitor.leaving.start()

    def _stay(self, visitor: Visitor) -> None:
        if visitor.leaving is not None:
            visitor.leaving.cancel()
            visitor.leaving = None

    def _forget_unless_back(self, visitor: Visitor) -> None:
        with self._lock:
            if visitor.leaving is threading.current_thread():  # else: came back in the last moment
                self._forget(visitor)

    def _forget(self, visitor: Visitor) -> None:
        """Stop the visitor's run and delete all that is the visitor's."""
        if visitor.job is not None:
            visitor.job.stop()
        self._of_secret.pop(visitor.secret, None)
        self._sessions.forget(visitor.key)
