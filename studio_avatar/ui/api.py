"""The named endpoints: stateless calls, files in and file paths out."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import gradio as gr

from studio_avatar.results.settings import SETTINGS, CreationSettings, stage_title

from .jobs import Waiting
from .listeners import Listeners
from .progress import CAPTURE_SECONDS, expected_seconds
from .service import AvatarService
from .settings import api_component, taking_settings
from .toasts import with_toasts
from .work import Work
from .worker import Done, StageProgress

CREATE_DESCRIPTION = (
    "One video, or one photo, of one person in; out come the paths of the studio texture (PNG, sRGB, layout head-v1), "
    "the animatable head (GLB with 52 ARKit morph targets), the report (JSON) and all result files (ZIP)."
)
CHECK_DESCRIPTION = (
    "Looks at a capture without making an avatar: one video or photo in; out come the report with a verdict and advice, "
    "and the paths of the contact sheet, the phone texture and the mask of what was seen (PNG), the last two as /texture "
    "takes them."
)
TEXTURE_DESCRIPTION = (
    "A finished phone texture and its mask in (square PNGs of one size, layout head-v1; white = seen by the phone), the "
    "studio texture (PNG) out."
)


def add_endpoints(service: AvatarService, work: Work, on_gpu: Callable, listeners: Listeners) -> None:
    """Put `/create_avatar`, `/check_capture` and `/texture` into the current `gr.Blocks`.

    work: where calls wait for their turn among the page's runs. on_gpu: wraps a generator that needs the accelerator.
    listeners: know which calls nobody waits for any more; they stop.
    """
    make, paint = on_gpu(service.create), on_gpu(service.texture)

    def last(updates: Iterator, request: gr.Request, progress: gr.Progress):
        began = time.monotonic()
        return _last(updates, progress, lambda: listeners.gone(request.session_hash, began))

    def in_turn(lane, expected: dict[str, float], run: Callable, *arguments) -> Iterator:
        return with_toasts(lane.in_turn, sum(expected.values()), lambda: run(*arguments))

    def create_avatar(
        request: gr.Request,
        video: str,
        settings: CreationSettings,
        progress=gr.Progress(),  # noqa: B008
    ) -> tuple[str, str, str, str]:
        paths, session = _adopted(service, request, video)
        expected = expected_seconds(settings, captured=False)
        result = last(in_turn(work.avatar, expected, make, paths, settings, session), request, progress)
        files = result.files
        return str(files.texture), str(files.avatar), str(files.report), str(result.archive)

    def check_capture(
        video: str,
        size: int,
        request: gr.Request,
        progress=gr.Progress(),  # noqa: B008
    ) -> tuple[dict, str, str, str]:
        paths, session = _adopted(service, request, video)
        run = in_turn(work.check, CAPTURE_SECONDS, service.check, paths, int(size), session)
        check = last(run, request, progress)
        return check.findings, str(check.sheet), str(check.phone_texture), str(check.seen)

    def texture(
        request: gr.Request,
        phone_texture: str,
        seen: str,
        settings: CreationSettings,
        progress=gr.Progress(),  # noqa: B008
    ) -> str:
        _, session = _adopted(service, request, phone_texture, seen)
        expected = expected_seconds(settings, captured=True)
        run = in_turn(work.avatar, expected, paint, phone_texture, seen, settings, session)
        return str(last(run, request, progress))

    # Hidden components: unlike Video and Image, File takes what it is given and re-encodes nothing.
    def file(label: str) -> gr.File:
        return gr.File(label=label, visible=False)

    def endpoint(function, inputs: list, outputs: list, description: str, queue: str) -> None:
        gr.Button(visible=False).click(
            function, inputs, outputs, api_name=function.__name__, api_description=description,
            concurrency_id=queue, concurrency_limit=1,
        )  # fmt: skip

    settings = {name: api_component(setting) for name, setting in SETTINGS.items()}
    endpoint(
        taking_settings(create_avatar), [file("video"), *settings.values()],
        [file(name) for name in ("texture", "avatar", "report", "archive")],
        CREATE_DESCRIPTION, "avatar",
    )  # fmt: skip
    endpoint(
        check_capture, [file("video"), settings["size"]],
        [gr.JSON(label="report", visible=False), *(file(name) for name in ("contact_sheet", "phone_texture", "seen"))],
        CHECK_DESCRIPTION, "check",
    )  # fmt: skip
    endpoint(
        taking_settings(texture),
        [file("phone_texture"), file("seen"), *settings.values()],
        [file("texture")],
        TEXTURE_DESCRIPTION,
        "avatar",
    )


def _adopted(service: AvatarService, request: gr.Request, *uploads: str | None) -> tuple[list[str], str]:
    """The uploads that were given, and the session with which they are deleted; plain HTTP calls have one each."""
    session = request.session_hash or secrets.token_hex()
    paths = [path for path in uploads if path]
    service.sessions.adopt(session, paths)
    return paths, session


def _last(updates: Iterator, progress: gr.Progress, gone: Callable[[], bool]):
    """Show a run's progress to the API client and return what it made.

    Raises:
        gradio.Error: the client is `gone`; the run was stopped.
    """
    with closing(updates):
        for update in updates:
            if isinstance(update, Done):
                return update.value
            if gone():
                raise gr.Error("Nobody waits for this call any more.", print_exception=False)
            if isinstance(update, StageProgress):
                progress(update.fraction, desc=stage_title(update.stage))
            elif isinstance(update, Waiting):
                progress(0.0, desc=f"{update.before} before you")
