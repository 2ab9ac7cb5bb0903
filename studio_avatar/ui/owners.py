"""Whose session is whose: a session hash is good only with the cookie, or from the address, that used it first.

gradio takes a session hash for a proof: whoever has it reads the session's answers, acts as its page, and ends it. A hash
is in addresses and logs of proxies; the cookie is in neither, and no script reads it.
"""

import json
import re
import secrets
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.cookies import SimpleCookie

from .listeners import Listeners
from .routes import API, JUDGED_PATH, OpenRoute, judged, small_body_of
from .sessions import KEEP_SECONDS
from .shares import address_of

COOKIE = "studio-avatar"
SECURE_COOKIE = "__Host-studio-avatar"  # a name that only https may set, for this host alone
TOKEN = re.compile(r"[0-9a-f]{32}")
# Characters; gradio's have eleven, and its events, which are sessions of plain HTTP, 32.
LONGEST_SESSION = 128
LONGEST_BODY = 1_000_000  # bytes of a call; files come by another way
MOST_SESSIONS = 20_000  # remembered at a time
HEARTBEAT = f"{API}/heartbeat/{{session_hash}}"
# Of plain HTTP; gradio takes a session's hash for the event, too.
ANSWER = f"{API}/call/{{api_name}}/{{event_id}}"
QUEUE_DATA = f"{API}/queue/data"
CANCEL = f"{API}/cancel"
WITH_BODY = {f"{API}/queue/join", f"{API}/run/{{api_name}}", f"{API}/call/{{api_name}}", CANCEL}
COOKIE_GIVERS = {"/", "/config", "/config/"}  # what a page, and what gradio's clients, ask for first
ANOTHERS = "This session belongs to another browser: load the page again."
NO_CALL = "This is no call that can be read: send JSON of at most 1 MB, with a session_hash of at most 128 characters."


class Owners:
    """Who used each session first. Forgets a session an hour after its last use, never while a stream of it is open.

    ended: called with a session that is forgotten.
    """

    def __init__(self, ended: Callable[[str], None] = lambda session: None, most: int = MOST_SESSIONS):
        self._ended, self._most = ended, most
        self._of: OrderedDict[str, tuple[str, float]] = OrderedDict()  # (owner, last used), the latest last
        self._open: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._of)

    def claim(self, session: str, cookie: str | None, address: str) -> bool:
        """Whether a session is this browser's; one that nobody used becomes it.

        A client without a cookie is known by its address.
        """
        now = time.monotonic()
        with self._lock:
            owner, _ = self._of.get(session, (cookie or address, now))
            if owner not in (cookie, address):
                return False
            self._of[session] = owner, now
            self._of.move_to_end(session)
            forgotten = self._forget(now - KEEP_SECONDS)
        for one in forgotten:
            self._ended(one)
        return True

    @contextmanager
    def stream(self, session: str) -> Iterator[None]:
        """While a stream of a session is open."""
        with self._lock:
            self._open[session] += 1
        try:
            yield
        finally:
            with self._lock:
                self._open[session] -= 1
                if not self._open[session]:
                    del self._open[session]

    def _forget(self, moment: float) -> list[str]:
        """Drop what was last used before `moment`, and the oldest where there are too many."""
        too_many = len(self._of) - self._most
        forgotten = []
        for session, (_, used) in self._of.items():
            if used >= moment and len(forgotten) >= too_many:
                break
            if not self._open[session]:
                forgotten.append(session)
        for session in forgotten:
            del self._of[session]
        return forgotten


class OwnSessions:
    """ASGI middleware behind `OnlyJudgedRoutes`: refuses who comes with another browser's session, and gives out the cookie.

    listeners: are told who waits for an answer.
    """

    def __init__(self, app, owners: Owners, listeners: Listeners):
        self._app, self._owners, self._listeners = app, owners, listeners

    async def __call__(self, scope, receive, send):
        from starlette.responses import JSONResponse

        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        route = judged(scope["method"], scope[JUDGED_PATH])
        if route.path in WITH_BODY:
            body = await small_body_of(scope, receive, LONGEST_BODY)
            if body is None:
                return await JSONResponse({"detail": NO_CALL}, 413)(scope, receive, send)
            receive = _again(body, receive)
        try:
            call = json.loads(body) if route.path in WITH_BODY else {}
            session = _session_of(scope, route, call)
        except (ValueError, RecursionError):
            return await JSONResponse({"detail": NO_CALL}, 400)(scope, receive, send)
        if session is not None and not self._owners.claim(session, *_who(scope)):
            return await JSONResponse({"detail": ANOTHERS}, 403)(scope, receive, send)
        if route.path in (HEARTBEAT, ANSWER, QUEUE_DATA):
            return await self._streamed(session, route, scope, receive, send)
        if route.path == CANCEL and _is_name(call.get("event_id")):
            self._listeners.cancel(call["event_id"])
        return await self._app(
            scope, receive, _with_cookie(scope, send) if route.path in COOKIE_GIVERS else send
        )

    async def _streamed(self, session: str, route: OpenRoute, scope, receive, send):
        with self._owners.stream(session):
            if route.path == HEARTBEAT:
                return await self._app(scope, receive, send)
            with self._listeners.listening(session):
                return await self._app(scope, receive, send)


def _session_of(scope, route: OpenRoute, call) -> str | None:
    """The session that a request names, as gradio reads it; None where it names none.

    call: the request's body, where there is one that counts.

    Raises:
        ValueError: what should name it cannot be read, or it is too long.
    """
    from starlette.datastructures import QueryParams

    if not isinstance(call, dict):
        raise ValueError
    session = call.get("session_hash")
    if route.path in (HEARTBEAT, ANSWER):
        session = scope[JUDGED_PATH].rsplit("/", 1)[1]
    elif route.path == QUEUE_DATA:
        session = QueryParams(scope["query_string"]).get("session_hash", "")
    if session is not None and not _is_name(session):
        raise ValueError
    return session


def _is_name(value) -> bool:
    """Whether it may name a session or an event: names are kept for a while, so they are short."""
    return isinstance(value, str) and len(value) <= LONGEST_SESSION


def _again(body: bytes, receive):
    """A `receive` that gives a body that was read already, then what comes after it."""
    told = False

    async def receive_again():
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


def browser_of(connection) -> str | None:
    """The cookie of the browser that a request comes from, if it has one.

    connection: Starlette's `HTTPConnection`, or gradio's `Request`, which has the same `headers` and `url`.
    """
    from starlette.requests import cookie_parser

    cookies = cookie_parser(connection.headers.get("cookie", ""))
    cookie = cookies.get(SECURE_COOKIE if _is_secure(connection) else COOKIE, "")
    return cookie if TOKEN.fullmatch(cookie) else None


def _is_secure(connection) -> bool:
    forwarded = connection.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    return (forwarded or connection.url.scheme) == "https"


def _who(scope) -> tuple[str | None, str]:
    """The browser that a request comes from, and the address."""
    from starlette.requests import HTTPConnection

    connection = HTTPConnection(scope)
    return browser_of(connection), f"from {address_of(connection)}"


def _with_cookie(scope, send):
    """`send` that gives a browser without our cookie one; it goes when the browser is closed."""
    from starlette.requests import HTTPConnection

    connection = HTTPConnection(scope)
    if browser_of(connection) is not None:
        return send
    secure = _is_secure(connection)
    name = SECURE_COOKIE if secure else COOKIE
    cookie = SimpleCookie({name: secrets.token_hex(16)})
    cookie[name].update({"path": "/", "httponly": True})
    # A Space is shown in a frame of huggingface.co: there the cookie is kept for that frame alone ("partitioned").
    policy = "; Secure; SameSite=None; Partitioned" if secure else "; SameSite=Lax"
    header = (b"set-cookie", (cookie[name].OutputString() + policy).encode())

    async def send_with_cookie(message):
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], header]}
        await send(message)

    return send_with_cookie
