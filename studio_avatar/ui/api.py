"""The named endpoints: stateless calls, files in and file paths out."""

import secrets
from collections.abc import Callable, Iterator

import gradio as gr

from studio_avatar.results.settings import CreationSettings, stage_title

from .service import AvatarService
from .toasts import with_toasts
from .worker import Done, StageProgress

SIZE = 4  # place of the size among the settings
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


def add_endpoints(service: AvatarService, on_gpu: Callable) -> None:
    """Put `/create_avatar`, `/check_capture` and `/texture` into the current `gr.Blocks`.

    on_gpu: wraps a generator that needs the accelerator.
    """
    make, paint = on_gpu(service.create), on_gpu(service.texture)

    def create_avatar(
        video: str,
        seed: int,
        steps: int,
        inversion_steps: int,
        guidance: float,
        size: int,
        skin_tone: float | None = None,
        request: gr.Request = None,  # gradio's own: a default because of the one before it
        progress=gr.Progress(),  # noqa: B008
    ) -> tuple[str, str, str, str]:
        settings = _settings(seed, steps, inversion_steps, guidance, size, skin_tone)
        paths, session = _adopted(service, request, video)
        result = _last(with_toasts(make, paths, settings, session), progress)
        files = result.files
        return str(files.texture), str(files.avatar), str(files.report), str(result.archive)

    def check_capture(
        video: str,
        size: int,
        request: gr.Request,
        progress=gr.Progress(),  # noqa: B008
    ) -> tuple[dict, str, str, str]:
        paths, session = _adopted(service, request, video)
        check = _last(with_toasts(service.check, paths, int(size), session), progress)
        return check.findings, str(check.sheet), str(check.phone_texture), str(check.seen)

    def texture(
        phone_texture: str,
        seen: str,
        seed: int,
        steps: int,
        inversion_steps: int,
        guidance: float,
        size: int,
        skin_tone: float | None = None,
        request: gr.Request = None,  # gradio's own: a default because of the one before it
        progress=gr.Progress(),  # noqa: B008
    ) -> str:
        settings = _settings(seed, steps, inversion_steps, guidance, size, skin_tone)
        _, session = _adopted(service, request, phone_texture, seen)
        return str(_last(with_toasts(paint, phone_texture, seen, settings, session), progress))

    # Hidden components: unlike Video and Image, File takes what it is given and re-encodes nothing.
    def file(label: str) -> gr.File:
        return gr.File(label=label, visible=False)

    def endpoint(function, inputs: list, outputs: list, description: str, queue: str) -> None:
        gr.Button(visible=False).click(
            function, inputs, outputs, api_name=function.__name__, api_description=description,
            concurrency_id=queue, concurrency_limit=1,
        )  # fmt: skip

    settings = _settings_components()
    endpoint(
        create_avatar, [file("video"), *settings], [file(name) for name in ("texture", "avatar", "report", "archive")],
        CREATE_DESCRIPTION, "avatar",
    )  # fmt: skip
    endpoint(
        check_capture, [file("video"), settings[SIZE]],
        [gr.JSON(label="report", visible=False), *(file(name) for name in ("contact_sheet", "phone_texture", "seen"))],
        CHECK_DESCRIPTION, "check",
    )  # fmt: skip
    endpoint(
        texture,
        [file("phone_texture"), file("seen"), *settings],
        [file("texture")],
        TEXTURE_DESCRIPTION,
        "avatar",
    )


def _settings_components() -> list:
    """Components of `_settings`, in its order, for the API alone: the page's presets do not touch them."""
    defaults = CreationSettings()
    return [
        gr.Number(defaults.seed, label="seed", precision=0, visible=False),
        gr.Number(defaults.steps, label="steps", precision=0, minimum=1, maximum=8, visible=False),
        gr.Number(
            defaults.inversion_steps,
            label="inversion_steps",
            precision=0,
            minimum=0,
            maximum=300,
            visible=False,
        ),
        gr.Number(defaults.guidance, label="guidance", minimum=0, maximum=1, visible=False),
        gr.Number(defaults.size, label="size", precision=0, minimum=128, maximum=2048, visible=False),
        gr.Number(defaults.skin_tone, label="skin_tone", visible=False),
    ]


def _settings(
    seed: float, steps: float, inversion_steps: float, guidance: float, size: float, skin_tone: float | None
) -> CreationSettings:
    return CreationSettings(
        int(seed), int(steps), int(inversion_steps), float(guidance), int(size), skin_tone
    )


def _adopted(service: AvatarService, request: gr.Request, *uploads: str | None) -> tuple[list[str], str]:
    """The uploads that were given, and the session with which they are deleted; plain HTTP calls have one each."""
    session = request.session_hash or secrets.token_hex()
    paths = [path for path in uploads if path]
    service.sessions.adopt(session, paths)
    return paths, session


def _last(updates: Iterator, progress: gr.Progress):
    """Show a run's progress to the API client and return what it made."""
    for update in updates:
        if isinstance(update, Done):
            return update.value
        if isinstance(update, StageProgress):
            progress(update.fraction, desc=stage_title(update.stage))
