"""Serving the page: where, for whom, how many at once, and whether it is well."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from studio_avatar.errors import InvalidInputError
from studio_avatar.version import __version__
from studio_avatar.weights.locate import find_weights

from .zerogpu import on_gpu, prepare

STATIC = Path(__file__).parent / "static"
SCRIPTS = (
    "element.js",
    "scene.js",
    "mirror.js",
    "mp4.js",
    "turning_clip.js",
    "head_viewer.js",
    "texture_compare.js",
    "filming.js",
    "captures.js",
    "page.js",
)
UPLOAD_SIZE = re.compile(r"\d+(b|kb|mb|gb)", re.IGNORECASE)
LOGIN_VARIABLE = "STUDIO_AVATAR_LOGIN"
CERTIFICATE_NOTE = (
    "Serving https with a certificate that this machine has just made for itself: browsers warn once; choose "
    "'Advanced' and go on. The connection is encrypted all the same."
)
LONGEST_SECRET = 64  # characters that a goodbye may have


@dataclass(frozen=True)
class ServerOptions:
    """How the demo is served.

    host, port: None takes GRADIO_SERVER_NAME and GRADIO_SERVER_PORT, else 127.0.0.1 and 7860.
    login: "user:password" that visitors must give, or None.
    https: whether to serve with a certificate made on the spot, without which browsers give no camera to other machines.
    share: whether gradio tunnels the page to a public address.
    longest_queue: requests that may wait; later ones are refused with a sentence.
    largest_upload: of one file, such as "500mb".
    """

    host: str | None = None
    port: int | None = None
    login: str | None = field(default=None, repr=False)
    share: bool = False
    https: bool = False
    longest_queue: int = 20
    largest_upload: str = "500mb"


def launch(
    weights: str | None = None, examples_folder: Path | None = None, options: ServerOptions = ServerOptions()
):  # noqa: B008
    """Serve the page until interrupted.

    Args:
        weights: as `find_weights` takes it. examples_folder: with captures to offer on the page.
    Raises:
        WeightsError: there are no weights. InvalidInputError: the login is not "user:password", the upload limit is no
            size, or the port is taken.
    """
    if not UPLOAD_SIZE.fullmatch(options.largest_upload):
        raise InvalidInputError(f"The largest upload must read like 500mb, not '{options.largest_upload}'.")
    auth = _login(options.login or os.environ.get(LOGIN_VARIABLE))
    prepare()
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported, hence imported here

    import gradio as gr

    from .app import build_app
    from .examples import Examples
    from .service import AvatarService
    from .sessions import SessionFolders

    sessions = SessionFolders()
    sessions.hold_uploads()
    sessions.keep_sweeping()
    # SIGTERM, too, must end through atexit, so that the session folders are deleted.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    service = AvatarService(find_weights(weights), sessions)
    examples = Examples.in_folder(examples_folder) if examples_folder else Examples()
    gr.set_static_paths(examples.served())
    _warm_up(service)
    demo = build_app(service, on_gpu, examples, options.longest_queue)
    demo.blocks.queue(max_size=options.longest_queue, default_concurrency_limit=1)
    try:
        _serve(demo, service, examples, auth, options)
    except OSError as error:
        raise InvalidInputError("That port is taken: choose another one with --port.") from error


def _serve(demo, service, examples, auth, options: ServerOptions) -> None:
    demo.blocks.launch(
        server_name=options.host,
        server_port=options.port,
        share=options.share,
        auth=auth,
        max_file_size=options.largest_upload,
        **(secured(service.sessions.root) if options.https else {}),
        **page_arguments(demo, service, examples),
    )


def secured(folder: Path) -> dict:
    """What `launch` is called with to serve https; certificate and key go with `folder`.

    Raises:
        InvalidInputError: there is no openssl.
    """
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = ",".join(["DNS:localhost", "IP:127.0.0.1", *(f"IP:{address}" for address in _own_addresses())])
    command = [
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=Studio Avatar",
        "-addext", f"subjectAltName={names}", "-keyout", str(key), "-out", str(certificate),
    ]  # fmt: skip
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise InvalidInputError("--https needs the program openssl: apt install openssl.") from error
    print(CERTIFICATE_NOTE, flush=True)
    return {"ssl_certfile": str(certificate), "ssl_keyfile": str(key), "ssl_verify": False}


def _own_addresses() -> list[str]:
    """This machine's address in its network, if it has one; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # reserved for documentation
            return [probe.getsockname()[0]]
        except OSError:
            return []


def page_arguments(demo, service, examples) -> dict:
    """What `launch` is called with, wherever and for whomever the page is served."""
    from .examples import thumbnail_css
    from .theme import studio_theme
    from .tones import tone_css

    style = (STATIC / "page.css").read_text(), thumbnail_css(examples), tone_css()
    return {
        "app_kwargs": app_arguments(service, demo),
        "theme": studio_theme(),
        "css": "\n".join(style),
        "head": _head(),
        "ssr_mode": False,
        # gradio would ask its own page for an answer within three seconds and give up where there is none: while the
        # networks load on a busy machine there may be none.
        "_frontend": False,
        "footer_links": ["api"],
        # Each run that waits or works, and each page that watches one, has a thread; gradio's 40 are fewer than both lanes.
        "max_threads": 120,
    }


def app_arguments(service, demo) -> dict:
    """What gradio's FastAPI application is made with: our own routes, and the gates before all of them."""
    from starlette.middleware import Middleware

    from .mirror import Mirrors, mirror_route
    from .owners import Owners, OwnSessions
    from .routes import OnlyJudgedRoutes
    from .shares import UploadShares

    gate = Middleware(OnlyJudgedRoutes, has_room_for=service.sessions.has_room_for, shares=UploadShares())
    own_sessions = Middleware(OwnSessions, owners=Owners(demo.visitors.close), listeners=demo.listeners)
    own = [_health(service, demo), _goodbye(demo.visitors), mirror_route(demo.visitors, Mirrors()), _three()]
    return {"routes": own, "middleware": [gate, own_sessions]}


def _head() -> str:
    """The page's own scripts, inline: one module, in the order in which they build on each other. Other sites are not told
    where a visitor comes from."""
    scripts = "".join((STATIC / name).read_text() for name in SCRIPTS)
    return f'<meta name="referrer" content="same-origin"><script type="module">\n{scripts}</script>'


def _login(given: str | None) -> tuple[str, str] | None:
    if not given:
        return None
    user, _, password = given.partition(":")
    if not user or not password:
        raise InvalidInputError(
            f"The login must read user:password; set it with --login or {LOGIN_VARIABLE}."
        )
    return user, password


def _goodbye(visitors):
    """`/goodbye`: a browser says that its visitor leaves, so that the files need not wait for a phone that only sleeps."""
    from starlette.responses import Response
    from starlette.routing import Route

    from .routes import small_body

    async def goodbye(request):
        said = await small_body(request, LONGEST_SECRET)
        if said is None:
            return Response(status_code=413)
        visitors.say_goodbye(said.decode("ascii", "replace"))
        return Response(status_code=204)

    return Route("/goodbye", goodbye, methods=["POST"])


def _health(service, demo):
    """`/health`: whether the networks are loaded, and how many requests wait. Nothing about anybody."""
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    def health(request):
        waiting = len(demo.blocks._queue) + demo.work.waiting
        return JSONResponse({"status": service.state, "version": __version__, "waiting": waiting})

    return Route("/health", health)


def _three():
    """`/three.js`: the library that the viewer draws with, asked for when the first head is shown."""
    from starlette.responses import FileResponse
    from starlette.routing import Route

    def three(request):
        headers = {"Cache-Control": "max-age=86400"}
        return FileResponse(STATIC / "three.min.js", media_type="text/javascript", headers=headers)

    return Route("/three.js", three)


def _warm_up(service) -> None:
    """Load the networks while the first visitor still reads; on a Space, before it opens: GPU forks share them."""
    if os.environ.get("SPACE_ID"):
        service.warm_up()
    else:
        threading.Thread(target=service.warm_up, name="warm-up", daemon=True).start()
