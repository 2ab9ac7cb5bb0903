"""The page: its layout, and the wires from its components to `AvatarService`."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from gradio.events import Dependency

from ..creation import CreationSettings, stage_title
from ..weights import find_weights
from . import presentation
from .handlers import AvatarResult, AvatarService, user_sentence
from .sessions import KEEP_SECONDS, SessionFolders
from .theme import CSS, studio_theme
from .worker import Done
from .zerogpu import on_gpu, prepare

LARGEST_UPLOAD = "500mb"
LONGEST_QUEUE = 20
SWEEP_SECONDS = 600
PHOTO_TYPES = ["image", ".heic", ".heif"]
VIEWER_HEIGHT = 420
FRONT_VIEW = (90, 85, None)  # degrees around, degrees from above, automatic distance

MASTHEAD = """
# Studio Avatar
Film your face with a phone. Get a complete, evenly lit face texture on a head that you can animate.
Nothing leaves the machine that runs this page; your files are deleted when you close it.
"""

GUIDE = """
- Hold the phone at arm's length, at the height of your eyes.
- Turn your head slowly: left, right, up, down. Five to ten seconds are enough.
- Soft light from the front; glasses off, hair out of the face, mouth closed.
"""

API_DESCRIPTION = (
    "One video, or one photo, of one person in; out come the paths of the studio texture (PNG), the "
    "animatable head (GLB), the report (JSON) and all result files (ZIP)."
)

PRIVATE = {"api_visibility": "private"}  # for events that no API client should see

READY = "Your avatar will appear here."
DONE = "Done. Drag the divider; turn the head."
FAILED = "No avatar was made."


@dataclass(frozen=True)
class _Inputs:
    """Components that the user fills in."""

    video: gr.Video
    photos: gr.File
    tabs: gr.Tabs
    source: gr.State  # "video" or "photos": the open tab
    seed: gr.Number
    steps: gr.Slider
    inversion_steps: gr.Slider
    guidance: gr.Slider

    def settings(self) -> list:
        """The components behind `CreationSettings`, in the order of `_settings`."""
        return [self.seed, self.steps, self.inversion_steps, self.guidance]


@dataclass(frozen=True)
class _Outputs:
    """Components that show a result."""

    status: gr.HTML
    slider: gr.ImageSlider
    head: gr.Model3D
    completed: gr.Image
    report: gr.HTML
    timings: gr.Markdown
    texture_file: gr.DownloadButton
    head_file: gr.DownloadButton
    archive_file: gr.DownloadButton

    def results(self) -> list:
        """All but the status panel."""
        return [component for name, component in vars(self).items() if name != "status"]


def build_app(service: AvatarService, example: Path | None = None) -> gr.Blocks:
    """The page, not yet served.

    Args:
        service: makes the avatars; its session folders must already hold gradio's uploads.
        example: a capture to offer below the form, or None.
    """
    with gr.Blocks(
        title="Studio Avatar", analytics_enabled=False, delete_cache=(SWEEP_SECONDS, KEEP_SECONDS)
    ) as page:
        gr.Markdown(MASTHEAD, elem_id="masthead")
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=320):
                inputs = _input_column()
                with gr.Row():
                    create = gr.Button("Create avatar", variant="primary", scale=3, min_width=160)
                    cancel = gr.Button("Cancel", interactive=False, scale=1, min_width=90)
                example_shown = _example_row(inputs, example)
            with gr.Column(scale=9, min_width=320):
                outputs = _output_column()
        make = on_gpu(service.create)
        _wire_buttons(make, service.sessions, inputs, outputs, create, cancel, example_shown)
        _wire_api(make, service.sessions, inputs)
        page.unload(_forget(service.sessions))
    return page


def launch(weights: str | os.PathLike | None = None, example: Path | None = None) -> None:
    """Serve the page until interrupted, on 127.0.0.1:7860 or GRADIO_SERVER_NAME:GRADIO_SERVER_PORT.

    Args:
        weights: as `find_weights` takes it.
        example: a capture to offer on the page; left out if the file is not there.
    Raises:
        WeightsError: there are no weights.
    """
    prepare()
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    sessions = SessionFolders()
    sessions.hold_uploads()
    # SIGTERM, too, must end through atexit, so that the session folders are deleted.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    service = AvatarService(find_weights(weights), sessions)
    if _on_space():
        service.warm_up()
    page = build_app(service, example if example and example.is_file() else None)
    page.queue(max_size=LONGEST_QUEUE, default_concurrency_limit=1).launch(
        theme=studio_theme(), css=CSS, max_file_size=LARGEST_UPLOAD, ssr_mode=False, footer_links=["api"]
    )


# ---------------------------------------------------------------------------------------------- layout


def _input_column() -> _Inputs:
    defaults = CreationSettings()
    source = gr.State("video")
    with gr.Tabs() as tabs:
        with gr.Tab("Video", id="video") as video_tab:
            # include_audio: leaving the sound out would re-encode every upload
            video = gr.Video(
                label="Selfie video", sources=["upload", "webcam"], include_audio=True, elem_id="capture"
            )
        with gr.Tab("Photos", id="photos") as photos_tab:
            photos = gr.File(
                label="Photos of one person", file_count="multiple", file_types=PHOTO_TYPES, height=320
            )
    video_tab.select(lambda: "video", outputs=source, queue=False, **PRIVATE)
    photos_tab.select(lambda: "photos", outputs=source, queue=False, **PRIVATE)
    gr.Markdown(GUIDE, elem_id="guide")
    with gr.Accordion("Advanced", open=False):
        seed = gr.Number(defaults.seed, label="Seed", precision=0, minimum=0, info="Same seed, same result.")
        steps = gr.Slider(1, 8, defaults.steps, step=1, label="Upscaler steps")
        inversion_steps = gr.Slider(
            0, 300, defaults.inversion_steps, step=10, label="Inversion steps",
            info="More steps follow the capture more closely and take longer.",
        )  # fmt: skip
        guidance = gr.Slider(
            0, 1, defaults.guidance, step=0.05, label="Detail guidance",
            info="How strongly the capture's own detail is kept.",
        )  # fmt: skip
    return _Inputs(video, photos, tabs, source, seed, steps, inversion_steps, guidance)


def _example_row(inputs: _Inputs, example: Path | None) -> Dependency | None:
    """Show the example; the returned event has put it into the video field."""
    if example is None:
        return None
    gr.set_static_paths([example])  # served from where it is; not a session's file
    row = gr.Examples(
        [[str(example)]], [inputs.video], label="Example: click to run", elem_id="example", **PRIVATE
    )
    return row.load_input_event


def _output_column() -> _Outputs:
    status = gr.HTML(presentation.notice(READY), elem_id="status", container=True, padding=True)
    with gr.Row():
        slider = gr.ImageSlider(
            label="Phone / studio", format="png", type="filepath", interactive=False, min_width=300,
            height=VIEWER_HEIGHT, max_height=VIEWER_HEIGHT,
        )  # fmt: skip
        head = gr.Model3D(
            label="Head", height=VIEWER_HEIGHT, camera_position=FRONT_VIEW, interactive=False, min_width=300
        )
    with gr.Row():
        texture_file = gr.DownloadButton("Texture (PNG)", interactive=False, size="md", min_width=140)
        head_file = gr.DownloadButton("Head (GLB)", interactive=False, size="md", min_width=140)
        archive_file = gr.DownloadButton("Everything (ZIP)", interactive=False, size="md", min_width=140)
    with gr.Row():
        completed = gr.Image(
            label="Completed by the model: orange", format="png", type="filepath", interactive=False,
            buttons=["fullscreen"], height=VIEWER_HEIGHT // 2 + 60, scale=2, min_width=260,
        )  # fmt: skip
        with gr.Column(scale=5, min_width=320):
            timings = gr.Markdown()
            report = gr.HTML(elem_id="report")
    return _Outputs(status, slider, head, completed, report, timings, texture_file, head_file, archive_file)


# ---------------------------------------------------------------------------------------------- wires

Make = Callable[..., Iterator]  # AvatarService.create, perhaps on a borrowed GPU


def _wire_buttons(
    make: Make,
    sessions: SessionFolders,
    inputs: _Inputs,
    outputs: _Outputs,
    create: gr.Button,
    cancel: gr.Button,
    example_shown: Dependency | None,
) -> None:
    """Create, the example and Cancel."""
    # Shown by an event of its own: the 3D viewer stays empty when a generator fills it (gradio 6.31).
    result = gr.State()

    def run(video, photos, source, seed, steps, inversion_steps, guidance, request: gr.Request):
        paths = (photos if source == "photos" else [video] if video else None) or []
        sessions.adopt(request.session_hash, paths)
        stages = presentation.StageLog()
        settings = _settings(seed, steps, inversion_steps, guidance)
        for update in _with_toasts(make, paths, settings, request.session_hash):
            if isinstance(update, Done):
                yield {result: update.value, outputs.status: presentation.notice(DONE)}
            else:
                stages.add(update)
                yield {outputs.status: stages.html(), cancel: gr.Button(interactive=True)}

    start = {
        "fn": run,
        "inputs": [inputs.video, inputs.photos, inputs.source, *inputs.settings()],
        "outputs": [result, outputs.status, cancel],
        "show_progress": "hidden",  # the status panel shows it
        "concurrency_id": "avatar",
        "concurrency_limit": 1,
        **PRIVATE,
    }
    runs = [create.click(**start)]
    if example_shown is not None:
        # The example fills the video field, so that tab opens and counts.
        chosen = example_shown.then(
            lambda: (gr.Tabs(selected="video"), "video"), outputs=[inputs.tabs, inputs.source], **PRIVATE
        )
        runs.append(chosen.then(**start))
    for event in runs:
        event.then(lambda: gr.Button(interactive=False), outputs=cancel, **PRIVATE)
        # A cancelled run counts as failed.
        event.failure(lambda: presentation.notice(FAILED), outputs=outputs.status, **PRIVATE)
        event.success(
            lambda shown: _result_updates(outputs, shown),
            inputs=result,
            outputs=outputs.results(),
            show_progress="hidden",
            **PRIVATE,
        )
    cancel.click(None, cancels=runs, **PRIVATE)


def _wire_api(make: Make, sessions: SessionFolders, inputs: _Inputs) -> None:
    """`/create_avatar`: one stateless call, a file in and file paths out."""

    def create_avatar(
        video,
        seed,
        steps,
        inversion_steps,
        guidance,
        request: gr.Request,
        progress=gr.Progress(),  # noqa: B008
    ):
        paths = [video] if video else []
        sessions.adopt(request.session_hash, paths)
        settings = _settings(seed, steps, inversion_steps, guidance)
        for update in _with_toasts(make, paths, settings, request.session_hash):
            if isinstance(update, Done):
                files = update.value.files
                return str(files.texture), str(files.avatar), str(files.report), str(update.value.archive)
            progress(update.fraction, desc=stage_title(update.stage))

    # Hidden File components: unlike Video they take a photo as well, and re-encode nothing.
    capture = gr.File(label="video", visible=False)
    results = [gr.File(label=label, visible=False) for label in ("texture", "avatar", "report", "archive")]
    gr.Button(visible=False).click(
        create_avatar,
        inputs=[capture, *inputs.settings()],
        outputs=results,
        api_name="create_avatar",
        api_description=API_DESCRIPTION,
        concurrency_id="avatar",
        concurrency_limit=1,
    )


def _with_toasts(make: Make, paths: list[str], settings: CreationSettings, session: str) -> Iterator:
    """The updates of one run; its errors become toasts of one sentence."""
    try:
        with closing(make(paths, settings, session)) as updates:
            yield from updates
    except Exception as error:
        raise gr.Error(user_sentence(error), title="No avatar was made", print_exception=False) from None


def _settings(seed: float, steps: float, inversion_steps: float, guidance: float) -> CreationSettings:
    return CreationSettings(
        seed=int(seed), steps=int(steps), inversion_steps=int(inversion_steps), guidance=float(guidance)
    )


def _result_updates(outputs: _Outputs, result: AvatarResult) -> dict:
    """What a finished avatar changes on the page."""
    files = result.files
    return {
        outputs.slider: (str(files.phone_texture), str(files.texture)),
        outputs.head: str(files.avatar),
        outputs.completed: str(result.overlay),
        outputs.report: presentation.findings_list(result.findings),
        outputs.timings: presentation.timings_line(result.timings, result.seen_share),
        outputs.texture_file: gr.DownloadButton(value=str(files.texture), interactive=True),
        outputs.head_file: gr.DownloadButton(value=str(files.avatar), interactive=True),
        outputs.archive_file: gr.DownloadButton(value=str(result.archive), interactive=True),
    }


def _forget(sessions: SessionFolders) -> Callable[[gr.Request], None]:
    def forget(request: gr.Request) -> None:
        sessions.forget(request.session_hash)

    return forget


def _on_space() -> bool:
    return bool(os.environ.get("SPACE_ID"))
