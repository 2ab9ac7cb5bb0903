"""Who is on the page: what each visitor has made, and when it is deleted.

A visitor is a secret that the browser keeps for its tab. A reload, a phone that slept and a connection that was lost bring
the same secret back, and with it the run or the result. Whoever closes the page is gone after some seconds.

A result has an address, which other tabs of the same browser open. It is worth nothing without the browser's cookie, and it
ends with the result: it keeps nothing longer.
"""

import re
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from secrets import token_hex

from .jobs import Job
from .service import AvatarResult, CaptureCheck
from .sessions import SessionFolders

SECRET = re.compile(r"[0-9a-f]{32}")
# After the browser has said that it leaves; a reload says so, too, and comes back.
LEAVING_SECONDS = 12.0
# After the connection ended without a word: a phone that sleeps, a tunnel. The run goes on that long.
LOST_SECONDS = 300.0
ANOTHER_BROWSERS = "A result is shown only in the browser that made it: open this address there."
GONE = (
    "The result at this address is gone: it is deleted when its page is closed, and after an hour. Film again, or try an "
    "example."
)


@dataclass
class Visitor:
    """What one visitor has on the page.

    key: names the folders of the visitor's files; nobody else knows it. secrets: what the browser keeps for each of the
    visitor's tabs; where it keeps nothing, nobody can come back. browsers: cookies of those who came with one of them.
    token: the address of the result, in these browsers. address: where the page was opened from last; it shares the queue.
    paths: the capture that was given last. check: of the capture that was looked at last, without its `PhoneTexture`, which
    `SessionFolders.captures` has when the check is over; before, a first look. result: the last avatar. pack: a ZIP of more
    files of it.
    job: the run that is going on, or went last. begun_on: the page that began it. previews: pictures of the avatar that is
    being made.
    since: when the last run began [seconds since 1970].
    """

    key: str
    secrets: set[str] = field(default_factory=set)
    browsers: set[str] = field(default_factory=set)
    token: str = field(default_factory=lambda: token_hex(16))
    address: str = ""
    paths: list[str] = field(default_factory=list)
    check: CaptureCheck | None = None
    result: AvatarResult | None = None
    pack: Path | None = None
    job: Job | None = None
    begun_on: str = ""
    previews: dict = field(default_factory=dict)
    pages: set[str] = field(default_factory=set)
    goodbye: bool = False
    since: float = field(default_factory=time.time)
    leaving: threading.Timer | None = None

    @property
    def working(self) -> bool:
        return self.job is not None and not self.job.over

    @property
    def run(self) -> int:
        """Number of the run that is going on, or went last; 0 before the first."""
        return self.job.number if self.job else 0

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

    def enter(
        self, page: str, secret: str | None, address: str = "", browser: str | None = None, token: str = ""
    ) -> Visitor:
        """A page was opened by who has this secret; something else than a secret makes a visitor of this page alone.

        address: where from. browser: its cookie. token: the address of the result that is to be shown; `why_not_shown`.
        """
        secret = secret if secret and SECRET.fullmatch(secret) else None
        with self._lock:
            wanted = self._with_result(token)
            wanted = wanted if wanted and browser in wanted.browsers else None
            visitor = self._known(page, secret, wanted)
            if visitor is None:
                visitor = Visitor(secret or page)
                self._sessions.captures.welcome(visitor.key)
            if secret and (visitor is wanted or secret not in self._of_secret):
                self._give(secret, visitor)
            if browser:
                visitor.browsers.add(browser)
            self._stay(visitor)
            visitor.goodbye, visitor.address = False, address or visitor.address
            visitor.pages.add(page)
            self._of_page[page] = visitor
            return visitor

    def why_not_shown(self, token: str, visitor: Visitor) -> str:
        """A sentence for who asked for the address of a result and got something else; empty where there is no reason."""
        with self._lock:
            owner = self._with_result(token)
        return "" if not token or owner is visitor else ANOTHER_BROWSERS if owner else GONE

    def _with_result(self, token: str) -> Visitor | None:
        everybody = (*self._of_secret.values(), *self._of_page.values())
        return next((one for one in everybody if one.token == token and one.result), None)

    def _known(self, page: str, secret: str | None, wanted: Visitor | None) -> Visitor | None:
        """Whose page, result (`wanted`) or secret this is. A capture may have been given to a page before its secret has
        come, which a slow line brings late: such a page's work takes the place of what the secret had, unless another page
        shows that."""
        here, mine = self._of_page.get(page), self._of_secret.get(secret)
        if here is not None and here.job is not None:
            if mine is not None and mine is not here and not mine.pages:
                self._stay(mine)
                self._forget(mine)
            return here
        known = wanted or mine
        if here is not None and known is not None and here is not known:
            self._forget(here)
        return known or here

    def _give(self, secret: str, visitor: Visitor) -> None:
        """From now on this secret is this visitor's; whose it was before has left that tab."""
        before = self._of_secret.get(secret)
        if before is not None:
            before.secrets.discard(secret)
        self._of_secret[secret] = visitor
        visitor.secrets.add(secret)

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
            if visitor.pages:
                visitor.goodbye = False  # it was that tab's
            else:
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
                    visitor.token = token_hex(16)

    def _leave(self, visitor: Visitor) -> None:
        """Forget a visitor without a page, at once or after a while."""
        self._stay(visitor)
        if not visitor.secrets:
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
        while visitor.secrets:
            self._of_secret.pop(visitor.secrets.pop(), None)
        self._sessions.forget(visitor.key)
