"""The page: its layout and the wires from its components to `AvatarService`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from studio_avatar.results.settings import SETTINGS

from . import presentation
from .api import add_endpoints
from .examples import Examples
from .layout import (
    CREATE,
    CREATE_ANYWAY,
    GUIDE,
    MASTHEAD,
    PRIVACY,
    READY,
    Actions,
    Inputs,
    Outputs,
    action_row,
    capture_tabs,
    output_column,
    settings_accordion,
)
from .progress import CAPTURE_SECONDS, RunProgress, expected_seconds
from .service import AvatarResult, AvatarService, CaptureCheck
from .sessions import KEEP_SECONDS, SWEEP_SECONDS
from .toasts import with_toasts
from .worker import Done, Ready, StageProgress

PRIVATE = {"api_visibility": "private"}  # for events that no API client should see
QUIET = {**PRIVATE, "queue": False, "show_progress": "hidden"}

CHECKED = {
    "good": "A good capture. Go on, or look at what was measured.",
    "fair": "This will work. The advice below would make it better.",
    "poor": "This capture is weak: film again with the advice below, or go on anyway.",
}
DONE = "Done. Turn the head, move its light, drag the divider."
WAITING = "Starting ..."
STOPPED = "Stopped. Your files go when you close the page."
EXAMPLE_TITLES = {
    "good": "Uneven light, head turning: one click to the avatar",
    "weak": "Dark and never turning: see what the check says",
}
# On a phone the results are below the form.
SHOW_STATUS = (
    "() => document.getElementById('status').scrollIntoView({ block: 'nearest', behavior: 'smooth' })"
)


@dataclass(frozen=True)
class _Page:
    """Everything the wires run between."""

    service: AvatarService
    make: Callable[..., Iterator]  # service.create, perhaps on a borrowed GPU
    examples: Examples
    inputs: Inputs
    actions: Actions
    outputs: Outputs
    checked: gr.State  # whether the capture was looked at; its CaptureCheck is in `service.sessions.captures`


def build_app(service: AvatarService, on_gpu: Callable, examples: Examples = Examples()) -> gr.Blocks:  # noqa: B008
    """The page, not yet served.

    Args:
        service: looks at captures and makes avatars; its session folders must already hold gradio's uploads.
        on_gpu: wraps a generator that needs the accelerator.
        examples: captures to offer below the form.
    """
    with gr.Blocks(
        title="Studio Avatar", analytics_enabled=False, delete_cache=(SWEEP_SECONDS, KEEP_SECONDS)
    ) as blocks:
        gr.HTML(MASTHEAD, elem_id="masthead")
        with gr.Row(equal_height=False, elem_id="columns"):
            with gr.Column(scale=4, min_width=300):
                captures = capture_tabs()
                create, cancel = action_row()
                with gr.Row(elem_id="examples"):
                    example_buttons = {
                        name: gr.Button(EXAMPLE_TITLES[name], elem_id=f"example-{name}", min_width=140)
                        for name in examples.named()
                    }
                gr.HTML(GUIDE, elem_id="guide")
                inputs = Inputs(*captures, settings_accordion())
                gr.HTML(PRIVACY, elem_id="privacy")
            with gr.Column(scale=9, min_width=300):
                outputs = output_column()
        checked = gr.State(False, time_to_live=KEEP_SECONDS)
        actions = Actions(create, cancel, example_buttons)
        _wire(_Page(service, on_gpu(service.create), examples, inputs, actions, outputs, checked))
        add_endpoints(service, on_gpu)
        blocks.unload(_forget(service))
    return blocks


def _wire(page: _Page) -> None:
    """A new capture is checked; Create makes the avatar; an example does one or both; Cancel stops either."""
    inputs, actions, outputs = page.inputs, page.actions, page.outputs
    shown = list(vars(outputs).values())
    # The status panel shows the progress; gradio's own tracker adds how many wait before this visitor.
    tracked = {
        **PRIVATE,
        "concurrency_limit": 1,
        "show_progress": "minimal",
        "show_progress_on": outputs.status,
    }
    check = {
        "inputs": [*inputs.captures(), inputs.settings.values["size"]],
        "outputs": [page.checked, *shown, actions.create, actions.cancel],
        "concurrency_id": "check",
        **tracked,
    }
    create = {
        "fn": _creator(page),
        "inputs": [*inputs.captures(), page.checked, *inputs.settings.components()],
        "outputs": [*shown, actions.cancel],
        "concurrency_id": "avatar",
        **tracked,
    }
    running = [
        field.change(_checker(page, ignored=page.examples), **check)
        for field in (inputs.camera, inputs.video, inputs.photos)
    ]
    running.append(actions.create.click(**create))
    in_this_tone = inputs.settings.components(skin_tone=outputs.tone_correction)
    corrected = [*inputs.captures(), page.checked, *in_this_tone]
    running.append(outputs.correct_tone.click(**create | {"inputs": corrected}))
    for name, path in page.examples.named().items():
        filled = actions.examples[name].click(
            lambda path=path: (str(path), gr.Tabs(selected="video"), "video"),
            outputs=[inputs.video, inputs.tabs, inputs.source],
            **PRIVATE,
        )
        looked = filled.then(_checker(page), **check)
        running += [filled, looked]
        if name == "good":
            running.append(looked.success(**create))
    for button in (actions.create, outputs.correct_tone, *actions.examples.values()):
        button.click(None, js=SHOW_STATUS, **PRIVATE)
    actions.cancel.click(
        lambda: (presentation.notice(STOPPED), gr.HTML("", visible=False), gr.Button(interactive=False)),
        outputs=[outputs.status, outputs.previews, actions.cancel],
        cancels=running,
        **QUIET,
    )
    for event in running:
        # gradio counts a cancelled run as failed; its last progress may arrive after Cancel's own answer
        event.failure(_stopped_if_running, outputs.status, outputs.status, **QUIET)


def _stopped_if_running(status: str) -> str:
    """What the panel says after a failed run: its error, or, if it still shows progress, that it was stopped."""
    return presentation.notice(STOPPED) if presentation.shows_progress(status) else status


def _checker(page: _Page, ignored: Examples | None = None) -> Callable:
    """The handler that looks at a capture; `ignored` captures are looked at by another event."""
    actions, outputs = page.actions, page.outputs

    def check(camera, video, photos, source, size, request: gr.Request):
        paths = _capture_of(camera, video, photos, source)
        if ignored and paths and Path(paths[0]) in ignored.named().values():
            yield gr.skip()  # a generator without a yield would empty every output
            return
        captures = page.service.sessions.captures
        captures.drop(request.session_hash)
        yield {page.checked: False, actions.create: gr.Button(CREATE), **_cleared(outputs, READY)}
        if not paths:
            return
        page.service.sessions.adopt(request.session_hash, paths)
        progress = RunProgress(CAPTURE_SECONDS)
        for update in _reported(page.service.check, paths, int(size), request.session_hash):
            if isinstance(update, str):
                yield {
                    outputs.status: presentation.notice(update, "problem"),
                    actions.cancel: gr.Button(interactive=False),
                }
            elif isinstance(update, StageProgress):
                progress.add(update)
                yield {
                    outputs.status: presentation.run_progress(progress),
                    actions.cancel: gr.Button(interactive=True),
                }
            elif isinstance(update, Done):
                captures.hold(request.session_hash, update.value)
                yield {page.checked: True, **_check_updates(page, update.value)}

    return check


def _creator(page: _Page) -> Callable:
    """The handler that makes the avatar, going on from a finished check where there is one."""
    outputs, cancel = page.outputs, page.actions.cancel

    def create(request: gr.Request, camera, video, photos, source, checked, *values):
        paths = _capture_of(camera, video, photos, source)
        page.service.sessions.adopt(request.session_hash, paths)
        check = page.service.sessions.captures.of(request.session_hash) if checked else None
        settings = page.inputs.settings.chosen(values)
        progress = RunProgress(
            expected_seconds(settings, captured=check is not None),
            {"invert": settings.inversion_steps, "upscale": settings.steps},
        )
        previews: dict[str, Path] = {}
        yield {
            **_cleared(outputs, WAITING),
            outputs.check_group: gr.Column(visible=checked),
            outputs.welcome: gr.HTML(visible=not checked),
            **({} if checked else {outputs.check_pictures: ""}),
            cancel: gr.Button(interactive=True),
        }
        for update in _reported(page.make, paths, settings, request.session_hash, check):
            if isinstance(update, str):
                yield {
                    outputs.status: presentation.notice(update, "problem"),
                    cancel: gr.Button(interactive=False),
                }
            elif isinstance(update, StageProgress):
                progress.add(update)
                yield {outputs.status: presentation.run_progress(progress)}
            elif isinstance(update, Ready):
                yield _ready_updates(outputs, update, previews) or gr.skip()
            elif isinstance(update, Done):
                yield {**_result_updates(outputs, update.value), cancel: gr.Button(interactive=False)}

    return create


def _reported(run: Callable[..., Iterator], *arguments) -> Iterator:
    """`with_toasts`, which puts the error's sentence, a str, before the toast: toasts fade, the page keeps it."""
    try:
        yield from with_toasts(run, *arguments)
    except gr.Error as error:
        yield str(error.message)
        raise


def _capture_of(camera, video, photos, source: str) -> list[str]:
    """Paths of what the open tab holds."""
    if source == "photos":
        return list(photos or [])
    given = camera if source == "camera" else video
    return [given] if given else []


def _cleared(outputs: Outputs, status: str) -> dict:
    """The page as it was before any result, with a line of status."""
    return {
        outputs.status: presentation.notice(status),
        outputs.previews: gr.HTML("", visible=False),
        outputs.check_group: gr.Column(visible=False),
        outputs.result_group: gr.Column(visible=False),
        outputs.welcome: gr.HTML(visible=True),
        outputs.downloads: gr.Row(visible=False),
        **{button: gr.DownloadButton(value=None, interactive=False) for button in outputs.files()},
    }


def _check_updates(page: _Page, check: CaptureCheck) -> dict:
    """What a finished check changes on the page."""
    outputs, actions, verdict = page.outputs, page.actions, check.findings["verdict"]
    text = (
        "Contact sheet: the pictures used, the fitted head drawn over them, the unrolled face, the seen parts"
    )
    pictures = {"What was used, and what it gives": (check.sheet, text)}
    return {
        outputs.status: presentation.notice(CHECKED[verdict], "problem" if verdict == "poor" else "done"),
        outputs.welcome: gr.HTML(visible=False),
        outputs.check_group: gr.Column(visible=True),
        outputs.check_card: presentation.capture_card(check.findings),
        outputs.check_pictures: presentation.figures(pictures),
        actions.create: gr.Button(CREATE_ANYWAY if verdict == "poor" else CREATE),
        actions.cancel: gr.Button(interactive=False),
    }


def _ready_updates(outputs: Outputs, ready: Ready, previews: dict[str, Path]) -> dict:
    """Show a preview, or open the download of a file that is complete."""
    buttons = {"texture": outputs.texture_file, "avatar": outputs.head_file}
    if ready.name in presentation.PREVIEW_TITLES:
        previews[ready.name] = ready.path
        return {
            outputs.welcome: gr.HTML(visible=False),
            outputs.previews: gr.HTML(presentation.previews(previews), visible=True),
        }
    if ready.name in buttons:
        return {
            outputs.downloads: gr.Row(visible=True),
            buttons[ready.name]: gr.DownloadButton(value=str(ready.path), interactive=True),
        }
    return {}


def _result_updates(outputs: Outputs, result: AvatarResult) -> dict:
    """What a finished avatar changes on the page."""
    files, (low, high, _) = result.files, SETTINGS["skin_tone"].slider
    return {
        outputs.status: presentation.notice(DONE, "done"),
        outputs.welcome: gr.HTML(visible=False),
        outputs.previews: gr.HTML("", visible=False),
        outputs.result_group: gr.Column(visible=True),
        outputs.head: presentation.head_viewer(files.avatar, result.phone_head, files.provenance),
        outputs.compare: presentation.texture_compare(files.phone_texture, files.texture, result.overlay),
        outputs.tones: presentation.skin_tone_rows(result.tones),
        outputs.tone_correction: gr.Slider(value=round(min(max(result.tones["studio"].ita, low), high))),
        outputs.account: presentation.account(result.invented, result.timings),
        outputs.archive_file: gr.DownloadButton(value=str(result.archive), interactive=True),
        outputs.check_group: gr.Column(visible=True),
        outputs.check_card: presentation.capture_card(result.findings),
    }


def _forget(service: AvatarService) -> Callable[[gr.Request], None]:
    def forget(request: gr.Request) -> None:
        service.sessions.forget(request.session_hash)

    return forget
