"""Which of gradio's routes anybody may call, which only visitors who logged in, and which are closed.

Gradio brings some fifty; the page and the API need half of them. What is in neither list is closed as well, and a test
fails, so that a new version's routes are looked at before they are served.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from .shares import TOO_MANY_UPLOADS, UploadShares, address_of

API = "/gradio_api"
JUDGED_PATH = "studio_avatar.path"  # of the scope: the path as it was judged
UPLOAD = f"{API}/upload"
NO_LENGTH = "Say how long the upload is: send it with a Content-Length, not in chunks."
FULL = "There is no room for another upload at the moment: please try again in a few minutes."


@dataclass(frozen=True)
class OpenRoute:
    """A route that is served: its path as Starlette writes it, its methods, and whether it asks for the login first.

    Where no login is set, everybody is a visitor.
    """

    path: str
    methods: tuple[str, ...]
    login: bool


def _open(login: bool, methods: str, *paths: str) -> list[OpenRoute]:
    return [OpenRoute(path, tuple(methods.split()), login) for path in paths]


OPEN = (
    # The page, what it is drawn with, and the way in; nothing of any session.
    *_open(False, "GET HEAD", "/", "/health", "/three.js"),
    *_open(False, "POST", "/login", "/login/"),
    *_open(False, "GET", "/assets/{path:path}", "/static/{path:path}", "/favicon.ico", "/robots.txt", "/manifest.json"),
    *_open(False, "GET", "/theme.css", f"{API}/theme.css", f"{API}/startup-events"),
    # What page and API clients do.
    *_open(True, "GET", "/config", "/config/", f"{API}/info", f"{API}/info/", f"{API}/app_id"),
    *_open(True, "GET HEAD", f"{API}/file={{path_or_url:path}}"),
    *_open(True, "POST", UPLOAD, f"{API}/queue/join", f"{API}/run/{{api_name}}", f"{API}/call/{{api_name}}"),
    *_open(True, "POST", f"{API}/cancel", f"{API}/reset", "/goodbye", "/mirror"),
    *_open(True, "GET", f"{API}/queue/data", f"{API}/call/{{api_name}}/{{event_id}}", f"{API}/upload_progress"),
    *_open(True, "GET", f"{API}/heartbeat/{{session_hash}}", f"{API}/queue/status"),
)  # fmt: skip

# Path → why nobody may call it.
_TWICE = "an open route under a second name"
_ANALYTICS = "what others did, for the operator of a gradio server"
_EDITOR = "gradio's development tools"
CLOSED = {
    f"{API}/deep_link": "writes a session's state into a file that is served to anybody",
    f"{API}/proxy={{url_path:path}}": "fetches other addresses",
    f"{API}/component_server": "methods of components; ours have none that the page calls",
    f"{API}/component_server/": "methods of components; ours have none that the page calls",
    f"{API}/token": "hands out the login's token",
    f"{API}/token/": "hands out the login's token",
    f"{API}/user": "who is logged in",
    f"{API}/user/": "who is logged in",
    "/logout": "the page has no button for it",
    "/openapi.json": "the server's routes; the API page has the three calls",
    f"{API}/openapi.json": "the server's routes; the API page has the three calls",
    "/svelte/{path:path}": "parts of other people's components",
    f"{API}/custom_component/{{id}}/{{environment}}/{{type}}/{{file_name}}": "other people's components",
    "/pwa_icon": "an icon of an installed page",
    "/pwa_icon/{size}": "an icon of an installed page",
    **dict.fromkeys(
        [
            f"{API}/stream/{{event_id}}",
            f"{API}/stream/{{event_id}}/close",
            f"{API}/stream/{{session_hash}}/{{run}}/{{component_id}}/playlist.m3u8",
            f"{API}/stream/{{session_hash}}/{{run}}/{{component_id}}/{{segment_id}}.{{ext}}",
            f"{API}/stream/{{session_hash}}/{{run}}/{{component_id}}/playlist-file",
        ],
        "streamed sound and film; nothing here streams",
    ),
    **dict.fromkeys(
        [
            f"{API}/file/{{path:path}}",
            f"{API}/api/{{api_name}}",
            f"{API}/api/{{api_name}}/",
            f"{API}/run/{{api_name}}/",
            f"{API}/call/{{api_name}}/",
            f"{API}/call/v2/{{api_name}}",
            f"{API}/call/v2/{{api_name}}/",
            f"{API}/call/v2/{{api_name}}/{{event_id}}",
            f"{API}/app_id/",
            f"{API}/login_check",
            f"{API}/login_check/",
            f"{API}/reset/",
        ],
        _TWICE,
    ),
    **dict.fromkeys(["/monitoring", "/monitoring/summary", "/monitoring/{key}"], _ANALYTICS),
    **dict.fromkeys(
        [
            f"{API}/runs",
            f"{API}/runs/",
            f"{API}/run-history/connect",
            f"{API}/run-history/buckets",
            f"{API}/run-history/records",
            f"{API}/run-history/records/{{endpoint}}/{{record_id}}/assets/{{asset_id}}",
        ],
        "keeps what visitors made",
    ),
    **dict.fromkeys([f"{API}/dev/reload", f"{API}/process_recording"], _EDITOR),
    **dict.fromkeys(
        [
            f"{API}/{name}{end}"
            for name in ("vibe-code", "vibe-edit", "undo-vibe-edit", "vibe-starter-queries")
            for end in ("", "/")
        ],
        _EDITOR,
    ),
}


class OnlyJudgedRoutes:
    """ASGI middleware: what is not in `OPEN` does not exist, and what needs the login asks for it.

    has_room_for: whether that many bytes can be taken in. shares: what each address may upload. An upload that is over
    either, or does not say how long it is, is refused before its first byte.
    """

    def __init__(self, app, has_room_for: Callable[[int], bool], shares: UploadShares):
        self._app, self._has_room_for, self._shares = app, has_room_for, shares

    async def __call__(self, scope, receive, send):
        from starlette.responses import JSONResponse

        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1000})
        path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        route = judged(scope["method"], path)
        if route is None:
            answer = JSONResponse({"detail": "There is nothing here."}, 404)
        elif route.login and not _may_enter(scope):
            answer = JSONResponse({"detail": "Log in first."}, 401)
        elif route.path == UPLOAD and (refused := self._refused_upload(scope)):
            sentence, status = refused
            answer = JSONResponse({"detail": sentence}, status)
        else:
            answer = self._app
        return await answer({**scope, JUDGED_PATH: path}, receive, send)

    def _refused_upload(self, scope) -> tuple[str, int] | None:
        """Why an upload is not taken, and the HTTP status that says so; None where it is."""
        from starlette.requests import HTTPConnection

        size = _announced_bytes(scope)
        if size is None:
            return NO_LENGTH, 411
        if not self._shares.take(address_of(HTTPConnection(scope)), size):
            return TOO_MANY_UPLOADS, 429
        return None if self._has_room_for(size) else (FULL, 507)


def judged(method: str, path: str) -> OpenRoute | None:
    """The open route that a request means, or None."""
    for pattern, route in _patterns():
        if method in route.methods and pattern.match(path):
            return route
    return None


@lru_cache(maxsize=1)
def _patterns() -> list[tuple]:
    from starlette.routing import compile_path

    return [(compile_path(route.path)[0], route) for route in OPEN]


async def small_body(request, most_bytes: int) -> bytes | None:
    """A request's body, in memory alone; None where it announces, or has, more than `most_bytes`."""
    return await small_body_of(request.scope, request.receive, most_bytes)


async def small_body_of(scope, receive, most_bytes: int) -> bytes | None:
    """As `small_body`, of an ASGI connection; what broke off in the middle is taken for empty."""
    body, more = b"", True
    if (_announced_bytes(scope) or 0) > most_bytes:
        return None
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        body, more = body + message.get("body", b""), message.get("more_body", False)
        if len(body) > most_bytes:
            return None
    return body


def _announced_bytes(scope) -> int | None:
    """How long a request's body says it is; None where it does not say."""
    length = dict(scope["headers"]).get(b"content-length", b"")
    return int(length) if length.isdigit() else None


def _may_enter(scope) -> bool:
    """Whether no login is set, or this request carries the cookie of one; as gradio looks at it."""
    from starlette.requests import cookie_parser

    gradio_app = scope["app"]
    if gradio_app.auth is None and gradio_app.auth_dependency is None:
        return True
    given = dict(scope["headers"]).get(b"cookie", b"").decode("latin-1")
    cookies = cookie_parser(given)
    names = (f"access-token-{gradio_app.cookie_id}", f"access-token-unsecure-{gradio_app.cookie_id}")
    return any(cookies.get(name) in gradio_app.tokens for name in names)


def served_paths(routes: Iterable) -> set[str]:
    """Paths of all routes of an application, those of its routers among them."""
    paths = set()
    for route in routes:
        inner = getattr(getattr(route, "original_router", route), "routes", None)
        paths |= served_paths(inner) if inner else {route.path}
    return paths
