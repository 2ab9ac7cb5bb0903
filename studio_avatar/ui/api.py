"""The named endpoints: stateless calls, files in and file paths out."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import gradio as gr
from gradio.context import LocalContext

from studio_avatar.results.settings import SETTINGS, CreationSettings, stage_title

from .calls import ApiSessions
from .jobs import Lane, Waiting
from .listeners import Listeners
from .progress import CAPTURE_SECONDS, expected_seconds
from .service import AvatarService
from .settings import api_component, taking_settings
from .shares import address_of
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


def add_endpoints(
    service: AvatarService, work: Work, on_gpu: Callable, listeners: Listeners, calls: ApiSessions
) -> None:
    """Put `/create_avatar`, `/check_capture` and `/texture` into the current `gr.Blocks`.

    work: where calls wait for their turn among the page's runs. on_gpu: wraps a generator that needs the accelerator.
    listeners: know which calls nobody waits for any more; they stop. calls: delete what callers left.
    """
    answers = _Answers(service, work, on_gpu(service.create), on_gpu(service.texture), listeners, calls)
    settings = {name: api_component(setting) for name, setting in SETTINGS.items()}
    _endpoint(
        taking_settings(answers.create_avatar), [_file("video", "selfie.mp4"), *settings.values()],
        [_file(name) for name in ("texture", "avatar", "report", "archive")],
        CREATE_DESCRIPTION,
    )  # fmt: skip
    _endpoint(
        answers.check_capture, [_file("video", "selfie.mp4"), settings["size"]],
        [gr.JSON(label="report", visible=False), *(_file(name) for name in ("contact_sheet", "phone_texture", "seen"))],
        CHECK_DESCRIPTION,
    )  # fmt: skip
    _endpoint(
        taking_settings(answers.texture),
        [_file("phone_texture", "phone_texture.png"), _file("seen", "seen.png"), *settings.values()],
        [_file("texture")],
        TEXTURE_DESCRIPTION,
    )


def _endpoint(function: Callable, inputs: list, outputs: list, description: str) -> None:
    gr.Button(visible=False).click(
        function, inputs, outputs, api_name=function.__name__, api_description=description,
        concurrency_limit=None,  # they wait in `work`, where each address has its share
    )  # fmt: skip


def _file(label: str, example: str = "") -> gr.File:
    """A hidden component: unlike Video and Image, File takes what it is given and re-encodes nothing.

    example: the name in the code that "Use via API" shows, where gradio has a sample_file.pdf of its own.
    """
    component = gr.File(label=label, visible=False)
    if example:
        component.example_payload = lambda: {"path": example, "meta": {"_type": "gradio.FileData"}}
    return component


@dataclass(frozen=True)
class _Answers:
    """What the endpoints do; arguments as for `add_endpoints`.

    make, paint: `service.create` and `service.texture`, perhaps on a borrowed GPU.
    """

    service: AvatarService
    work: Work
    make: Callable
    paint: Callable
    listeners: Listeners
    calls: ApiSessions

    def create_avatar(
        self,
        request: gr.Request,
        video: str,
        settings: CreationSettings,
        progress=gr.Progress(),  # noqa: B008
    ) -> tuple[str, str, str, str]:
        def run(session: str) -> Iterator:
            return self.make([video] if video else [], settings, session)

        expected = expected_seconds(settings, captured=False)
        result = self._in_turn(self.work.avatar, expected, run, [video], request, progress)
        files = result.files
        return str(files.texture), str(files.avatar), str(files.report), str(result.archive)

    def check_capture(
        self,
        video: str,
        size: int,
        request: gr.Request,
        progress=gr.Progress(),  # noqa: B008
    ) -> tuple[dict, str, str, str]:
        def run(session: str) -> Iterator:
            return self.service.check([video] if video else [], int(size), session)

        check = self._in_turn(self.work.check, CAPTURE_SECONDS, run, [video], request, progress)
        return check.findings, str(check.sheet), str(check.phone_texture), str(check.seen)

    def texture(
        self,
        request: gr.Request,
        phone_texture: str,
        seen: str,
        settings: CreationSettings,
        progress=gr.Progress(),  # noqa: B008
    ) -> str:
        def run(session: str) -> Iterator:
            return self.paint(phone_texture, seen, settings, session)

        expected = expected_seconds(settings, captured=True)
        return str(self._in_turn(self.work.avatar, expected, run, [phone_texture, seen], request, progress))

    def _in_turn(
        self,
        lane: Lane,
        expected: dict[str, float],
        run: Callable[[str], Iterator],
        uploads: list[str | None],
        request: gr.Request,
        progress: gr.Progress,
    ):
        """What `run(session)` makes in its turn; the uploads go with the session. Plain HTTP calls have one each."""
        session, began = request.session_hash or secrets.token_hex(), time.monotonic()
        event = LocalContext.event_id.get(None)
        with self.calls.calling(session):
            self.service.sessions.adopt(session, filter(None, uploads))
            seconds, owner = sum(expected.values()), address_of(request)
            updates = with_toasts(lane.in_turn, seconds, lambda: run(session), owner)
            return _last(updates, progress, lambda: self.listeners.gone(request.session_hash, began, event))


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
