"""The page: its layout and the wires from its components to what visitors ask for."""

import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import gradio as gr

from studio_avatar.results.exports import FORMATS, ExportSettings
from studio_avatar.results.settings import SETTINGS

from . import presentation
from .api import add_endpoints
from .calls import ApiSessions
from .examples import Examples
from .handover import WAIT_SECONDS, code_html, phone_address
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
    handover_part,
    output_column,
    settings_accordion,
)
from .listeners import Listeners
from .owners import browser_of
from .service import AvatarResult, AvatarService
from .sessions import KEEP_SECONDS, SWEEP_SECONDS
from .shares import address_of
from .toasts import OneSentence
from .visitors import Visitor, Visitors
from .work import Work
from .worker import HEARTBEAT_SECONDS

PRIVATE = {"api_visibility": "private"}  # for events that no API client should see
QUIET = {**PRIVATE, "queue": False, "show_progress": "hidden"}
# A handler only watches a run; the runs themselves wait in `Work`.
WATCHING = {**PRIVATE, "concurrency_limit": None, "show_progress": "hidden"}

CHECKED = {
    "good": "A good capture. Go on, or look at what was measured.",
    "fair": "This will work. The advice below would make it better.",
    "poor": "This capture is weak: film again with the advice below, or go on anyway.",
}
CAPTURE_FIRST = "First film yourself, bring a video or photos, or try an example."
TONE_FIRST = "First choose the skin tone: this capture does not show it."
DONE = "Done. Turn the head, move its light, drag the divider."
PACKED = "The files are made: see More files."
STOPPED = "Stopped. Your files go when you close the page."
STOPPED_WITH_RESULT = "Stopped. Your last avatar is still here, below."
EXAMPLE_TITLES = {
    "good": "A clip by the window: one click to the avatar",
    "weak": "Dark and never turning: see what the check says",
    "person-1": "One photo: a man of about 70 (generated)",
    "person-2": "One photo: a woman of about 60 (generated)",
    "person-3": "One photo: a young woman (generated)",
}
PERSON_TITLE = "One photo (a generated person)"
# The tab's secret: a reload brings it back, closing the tab forgets it. Not `randomUUID`, which plain HTTP lacks.
# And the address of the result that is to be shown: after the #, which browsers keep to themselves.
TELL_SECRET_AND_TOKEN = """
() => {
  const [, token] = /^#result=([0-9a-f]{32})$/.exec(location.hash) || ["", ""];
  const made = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
  try {
    if (!sessionStorage.getItem("studio-avatar")) sessionStorage.setItem("studio-avatar", made());
    return [sessionStorage.getItem("studio-avatar"), token];
  } catch { return ["", token]; }
}
"""
TELL_ORIGIN_AND_SECRET = """
() => { try { return [location.origin, sessionStorage.getItem("studio-avatar")]; } catch { return ["", ""]; } }
"""
NO_HANDOVER = "This browser or this network keeps the phone out: film here, or bring a video."
NO_PAGE = "This call has no session: load the page."


@dataclass(frozen=True)
class _Page:
    """Everything the wires run between."""

    work: Work
    visitors: Visitors
    examples: Examples
    inputs: Inputs
    actions: Actions
    outputs: Outputs

    def shown(self) -> list:
        """All components that show what a visitor has."""
        return [*vars(self.outputs).values(), self.actions.create, self.actions.cancel]


@dataclass(frozen=True)
class Demo:
    """The page and what runs behind it."""

    blocks: gr.Blocks
    work: Work
    visitors: Visitors
    listeners: Listeners


def build_app(
    service: AvatarService,
    on_gpu: Callable,
    examples: Examples = Examples(),  # noqa: B008
    longest_queue: int = 20,
) -> Demo:
    """The page, not yet served.

    Args:
        service: looks at captures and makes avatars; its session folders must already hold gradio's uploads.
        on_gpu: wraps a generator that needs the accelerator.
        examples: captures to offer below the form.
        longest_queue: how many runs may wait.
    """
    work, visitors = Work(service, on_gpu(service.create), longest_queue), Visitors(service.sessions)
    with OneSentence(
        title="Studio Avatar", analytics_enabled=False, delete_cache=(SWEEP_SECONDS, KEEP_SECONDS)
    ) as blocks:
        gr.HTML(MASTHEAD, elem_id="masthead")
        with gr.Row(equal_height=False, elem_id="columns"):
            with gr.Column(scale=4, min_width=300):
                captures = capture_tabs()
                handover, handover_code = handover_part()
                create, cancel = action_row()
                with gr.Row(elem_id="examples"):
                    example_buttons = {
                        name: gr.Button(
                            EXAMPLE_TITLES.get(name, PERSON_TITLE), elem_id=f"example-{name}", min_width=140
                        )
                        for name in examples.named()
                    }
                gr.HTML(GUIDE, elem_id="guide")
                inputs = Inputs(*captures, settings_accordion())
                gr.HTML(PRIVACY, elem_id="privacy")
            with gr.Column(scale=9, min_width=300):
                outputs = output_column(handover_code, examples.heads)
        secret, token = gr.Textbox(visible=False), gr.Textbox(visible=False)
        actions = Actions(create, cancel, handover, example_buttons)
        page = _Page(work, visitors, examples, inputs, actions, outputs)
        _wire(page)
        origin = gr.Textbox(visible=False)
        handover.click(_handover(page), [origin, secret], page.shown(), js=TELL_ORIGIN_AND_SECRET, **WATCHING)
        told = [secret, token]
        blocks.load(_resumer(page), told, page.shown(), js=TELL_SECRET_AND_TOKEN, **WATCHING)
        listeners = Listeners()
        add_endpoints(service, work, on_gpu, listeners, ApiSessions(service.sessions, listeners))
        blocks.unload(_leaver(visitors))
    # No calls past the queue: there is no stream that would tell whether anybody waits.
    blocks.api_open = False
    return Demo(blocks, work, visitors, listeners)


def _wire(page: _Page) -> None:
    """A new capture is checked; Create makes the avatar; an example does one or both; Cancel stops either."""
    inputs, actions, outputs = page.inputs, page.actions, page.outputs
    watching = {"outputs": page.shown(), **WATCHING}
    size = inputs.settings.values["size"]
    for field in (inputs.camera, inputs.video, inputs.photos):
        field.change(_checker(page), [*inputs.captures(), size], **watching)
    settings = inputs.settings.components()
    actions.create.click(_creator(page), [*inputs.captures(), outputs.tone_answer, *settings], **watching)
    changes = [outputs.tone_correction, outputs.other_hair, outputs.hair_color, outputs.other_shapes]
    outputs.make_again.click(_changer(page), changes, **watching)
    outputs.tone_dots.input(lambda degrees: degrees, outputs.tone_dots, outputs.tone_correction, **QUIET)
    outputs.still.click(_stiller(page), outputs=outputs.head, **QUIET)
    outputs.pack.click(_packer(page), outputs.more_files, **watching)
    form = [inputs.video, inputs.photos, inputs.tabs, inputs.source]
    for name, path in page.examples.named().items():
        # Apart, because gradio's page applies what a generator yields next to the very object that a field holds: a field
        # filled by a handler that goes on yielding was sent back half changed when the page was slow.
        actions.examples[name].click(_form_filler(page, path), outputs=form, **QUIET)
        actions.examples[name].click(_example(page, path, create=name != "weak"), settings, **watching)
    actions.cancel.click(_canceller(page), outputs=page.shown(), **QUIET)


# -------------------------------------------------------------------------------------------- what visitors do


def _resumer(page: _Page) -> Callable:
    """A page was loaded, perhaps again, or by a result's address: show what its visitor has, and go on watching a run."""

    def resume(secret: str, token: str, request: gr.Request):
        visitors, browser = page.visitors, browser_of(request)
        visitor = visitors.enter(request.session_hash, secret, address_of(request), browser, token)
        problem = "" if visitor.working else visitors.why_not_shown(token, visitor)
        yield from _watched(page, visitor, request.session_hash, toast=False)
        if problem:
            yield {page.outputs.status: presentation.notice(problem, "problem", visitor.run, "gone")}

    return resume


def _checker(page: _Page) -> Callable:
    def check(camera, video, photos, source, size, request: gr.Request):
        paths = _capture_of(camera, video, photos, source)
        visitor = _visitor(page, request)
        if not paths or Path(paths[0]) in page.examples.named().values():
            yield gr.skip()  # emptied, or an example, whose button starts the run
            return
        yield from _started(page, visitor, request, lambda: page.work.look_at(visitor, paths, int(size)))

    return check


def _creator(page: _Page) -> Callable:
    def create(request: gr.Request, camera, video, photos, source, tone, *values):
        visitor = _visitor(page, request)
        paths = _capture_of(camera, video, photos, source) or visitor.paths
        settings = page.inputs.settings.chosen(values)
        if not paths:
            yield {page.outputs.status: presentation.notice(CAPTURE_FIRST, "problem", visitor.run, "failed")}
            return
        if settings.skin_tone is None and _tone_question(visitor) and visitor.check.paths == tuple(paths):
            if tone is None:
                yield {page.outputs.status: presentation.notice(TONE_FIRST, "problem", visitor.run, "tone")}
                return
            settings = replace(settings, skin_tone=tone)
        yield from _started(page, visitor, request, lambda: page.work.create(visitor, paths, settings))

    return create


def _changer(page: _Page) -> Callable:
    def change(skin_tone: float, hair: str, hair_color: str, shapes: str, request: gr.Request):
        visitor = _visitor(page, request)
        if (result := visitor.result) is None:
            return
        kept, picked = result.settings, presentation.hex_of_picker(hair_color)
        # What was not touched stays as it was: an estimate is none of the visitor's words.
        changes = {
            "skin_tone": kept.skin_tone if skin_tone == _shown_tone(result) else skin_tone,
            "hair": hair,
            "hair_color": kept.hair_color if picked == _shown_hair_color(result) else picked,
            "shapes": shapes,
        }
        yield from _started(page, visitor, request, lambda: page.work.make_again(visitor, **changes))

    return change


def _shown_hair_color(result: AvatarResult) -> str:
    """What the picker of the hair's color shows, "#rrggbb"."""
    from studio_avatar.avatar.hair.color import UNSEEN

    worn = result.avatar.worn
    return presentation.hex_of_linear(UNSEEN if worn is None or worn.color is None else worn.color)


def _shown_tone(result: AvatarResult) -> int:
    """Where the slider of the tone stands, degrees."""
    low, high, _ = SETTINGS["skin_tone"].slider
    return round(min(max(result.tones["studio"].ita, low), high))


def _stiller(page: _Page) -> Callable:
    """The browser cannot draw the head: a picture of it stands in its place."""

    def still(request: gr.Request):
        visitor = _visitor(page, request)
        if visitor.result is None:
            return gr.skip()
        return presentation.still_head(page.work.still(visitor))

    return still


def _packer(page: _Page) -> Callable:
    def pack(chosen: list[str], request: gr.Request):
        visitor = _visitor(page, request)
        if visitor.result is not None:
            yield from _started(
                page, visitor, request, lambda: page.work.export(visitor, pack_settings(chosen))
            )

    return pack


def pack_settings(chosen: list[str]) -> ExportSettings:
    """What names of `MORE_FILES` mean."""
    flags = {name: name in chosen for name in ("preview", "light", "animation", "turntable")}
    return ExportSettings(also=tuple(name for name in FORMATS if name in chosen), **flags)


def _form_filler(page: _Page, path: Path) -> Callable[[], dict]:
    """The handler that shows an example in the form, as if it had been uploaded."""
    inputs = page.inputs
    tab, field, value = ("video", inputs.video, str(path))
    if path in page.examples.people:
        tab, field, value = ("photos", inputs.photos, [str(path)])

    def fill() -> dict:
        return {field: value, inputs.tabs: gr.Tabs(selected=tab), inputs.source: tab}

    return fill


def _example(page: _Page, path: Path, create: bool) -> Callable:
    """The handler of an example's button: checks the capture or makes its avatar."""

    def show(request: gr.Request, *values):
        visitor, settings = _visitor(page, request), page.inputs.settings.chosen(values)
        if create:
            begin = lambda: page.work.create(visitor, [str(path)], settings)  # noqa: E731
        else:
            begin = lambda: page.work.look_at(visitor, [str(path)], settings.size)  # noqa: E731
        yield from _started(page, visitor, request, begin)

    return show


def _canceller(page: _Page) -> Callable:
    def cancel(request: gr.Request):
        visitor = _visitor(page, request)
        if visitor.job is not None:
            visitor.job.stop()
        return _all_of(page, visitor)

    return cancel


def _handover(page: _Page) -> Callable:
    """Shows the code with which a phone becomes this visitor's as well, then what the phone starts."""

    def hand_over(origin: str, secret: str, request: gr.Request):
        visitor, address = _visitor(page, request), phone_address(origin, secret)
        if address is None or secret not in visitor.secrets:
            raise gr.Error(NO_HANDOVER, title="That did not work", print_exception=False)
        yield {page.outputs.handover_code: code_html(address)}
        before, asked = visitor.job, time.monotonic()
        while visitor.job is before and time.monotonic() - asked < WAIT_SECONDS:
            time.sleep(HEARTBEAT_SECONDS)
            yield gr.skip()
        yield {page.outputs.handover_code: ""}
        if visitor.job is not before:
            yield from _watched(page, visitor, request.session_hash, toast=False)

    return hand_over


def _leaver(visitors: Visitors) -> Callable[[gr.Request], None]:
    def leave(request: gr.Request) -> None:
        visitors.close(request.session_hash)

    return leave


def _visitor(page: _Page, request: gr.Request) -> Visitor:
    """Who sent an event; one without a session is no page's, and would be everybody's who sends none."""
    if not request.session_hash:
        raise gr.Error(NO_PAGE, print_exception=False)
    return page.visitors.of(request.session_hash)


def _capture_of(camera, video, photos, source: str) -> list[str]:
    """Paths of what the open tab holds."""
    if source == "photos":
        return list(photos or [])
    given = camera if source == "camera" else video
    return [given] if given else []


# -------------------------------------------------------------------------------------------- what they see


def _started(page: _Page, visitor: Visitor, request: gr.Request, begin: Callable) -> Iterator[dict]:
    visitor.begun_on = request.session_hash
    begin()
    yield from _watched(page, visitor, request.session_hash, toast=True)


def _watched(page: _Page, visitor: Visitor, here: str, toast: bool) -> Iterator[dict]:
    """What changes on the page, until the visitor's run is over; then, with `toast`, its error as one.

    A page that goes away ends the watching, not the run. here: the page; a run that another tab begins meanwhile is watched
    from then on, and one of this page is left to the handler that began it.
    """
    shown: dict[str, Hashable] = {}
    while True:
        job = visitor.job
        for _ in job.watch() if job else [None]:
            if visitor.job is not job:
                break
            sections = _sections(visitor)
            news = {name for name, content in sections.items() if shown.get(name, shown) != content}
            shown = sections
            yield _updates(page, visitor, news) or gr.skip()
        if visitor.job is job:
            break
        if visitor.begun_on == here:
            return
    if toast and job is not None and job.problem:
        # toasts fade; the panel keeps the sentence
        raise gr.Error(job.problem, title="That did not work", print_exception=False)


def _all_of(page: _Page, visitor: Visitor) -> dict:
    return _updates(page, visitor, set(_sections(visitor)))


def _tone_question(visitor: Visitor) -> str | None:
    """What is asked before an avatar is made of the capture that was looked at last."""
    check, result = visitor.check, visitor.result
    if check is None or (result is not None and result.paths == check.paths):
        return None
    return presentation.tone_question(check.findings)


def _looked_at(visitor: Visitor) -> bool:
    """Whether a check goes on, but has something to show already."""
    return visitor.working and visitor.job.goal == "check" and visitor.check is not None


def _may_create(visitor: Visitor) -> bool:
    """Whether an avatar may be asked for: a check that goes on becomes its first part."""
    return not visitor.working or _looked_at(visitor)


def _sections(visitor: Visitor) -> dict[str, Hashable]:
    """What decides on each part of the page; a part is sent again when this changes."""
    previews = tuple(visitor.previews.items()) if visitor.working else ()
    return {
        "status": _status(visitor),
        "welcome": bool(visitor.check or visitor.result or previews),
        "previews": previews,
        "question": (_tone_question(visitor), visitor.check and visitor.check.sheet),
        "check": visitor.check and visitor.check.sheet,
        "result": visitor.result and visitor.result.archive,
        "pack": visitor.pack,
        "files": visitor.result.archive if visitor.result else previews,
        "actions": (
            _may_create(visitor),
            visitor.working,
            visitor.check and visitor.check.findings["verdict"],
        ),
    }


def _updates(page: _Page, visitor: Visitor, names: set[str]) -> dict:
    """Updates of the named parts of the page."""
    outputs, updates = page.outputs, {}
    if "status" in names:
        updates[outputs.status] = _status(visitor)
    if "welcome" in names:
        updates[outputs.welcome] = gr.HTML(visible=not _sections(visitor)["welcome"])
    if "previews" in names:
        updates |= _preview_updates(outputs, visitor)
    if "question" in names:
        question = _tone_question(visitor)
        updates[outputs.ask_tone] = gr.Column(visible=question is not None)
        updates[outputs.tone_question] = presentation.notice(question or "")
        if visitor.job and visitor.job.goal == "check":  # of another capture, perhaps of another person
            updates[outputs.tone_answer] = gr.Radio(value=None)
    if "check" in names:
        updates |= _check_updates(outputs, visitor)
    if "result" in names:
        updates |= _result_updates(outputs, visitor)
    if "files" in names:
        updates |= _file_updates(outputs, visitor)
    if "pack" in names:
        pack = visitor.pack
        updates[outputs.pack_file] = gr.DownloadButton(
            value=str(pack) if pack else None, visible=pack is not None
        )
    if "actions" in names:
        poor = visitor.check is not None and visitor.check.findings["verdict"] == "poor"
        updates[page.actions.create] = gr.Button(
            CREATE_ANYWAY if poor else CREATE, interactive=_may_create(visitor)
        )
        updates[page.actions.cancel] = gr.Button(interactive=visitor.working)
    return updates


def _status(visitor: Visitor) -> str:
    """The status panel: where the run is, or what came of it."""
    job = visitor.job
    if job is None:
        return presentation.notice(READY)
    if job.state == "working":
        return presentation.working(job, "check" if _looked_at(visitor) else "work")
    if job.state == "failed":
        return presentation.notice(job.problem, "problem", job.number, "failed")
    if job.state == "stopped":
        return presentation.notice(STOPPED_WITH_RESULT if visitor.result else STOPPED)
    if job.goal == "files":
        return presentation.notice(PACKED, "done", job.number, "files")
    if job.goal == "avatar":
        return presentation.notice(DONE, "done", job.number, "result")
    verdict = visitor.check.findings["verdict"]
    kind = "problem" if verdict == "poor" else "done"
    return presentation.notice(CHECKED[verdict], kind, job.number, "check")


def _preview_updates(outputs: Outputs, visitor: Visitor) -> dict:
    """The pictures of an avatar while it is made."""
    titles = presentation.PREVIEW_TITLES
    pictures = {name: path for name, path in visitor.previews.items() if name in titles}
    if pictures and visitor.check:  # a face that is known first, then the unrolled ones
        pictures = {"sheet": visitor.check.sheet, **pictures}
    if not visitor.working or not pictures:
        return {outputs.previews: gr.HTML("", visible=False)}
    return {outputs.previews: gr.HTML(presentation.previews(pictures), visible=True)}


def _check_updates(outputs: Outputs, visitor: Visitor) -> dict:
    """The check of the capture."""
    check = visitor.check
    if check is None:
        return {outputs.check_group: gr.Column(visible=False)}
    text = (
        "Contact sheet: the pictures used, the fitted head drawn over them, the unrolled face, the seen parts"
    )
    pictures = {"What was used, and what it gives": (check.sheet, text)}
    return {
        outputs.check_group: gr.Column(visible=True),
        outputs.check_card: presentation.capture_card(check.findings),
        outputs.check_pictures: presentation.figures(pictures),
    }


def _file_updates(outputs: Outputs, visitor: Visitor) -> dict:
    """The downloads: those of the last avatar, or, before there is one, each file as soon as it is complete."""
    result, ready = visitor.result, visitor.previews
    if result is not None:
        paths = (result.files.texture, result.files.avatar, result.archive)
    else:
        paths = (ready.get("texture"), ready.get("avatar"), None) if visitor.working else (None,) * 3
    return {
        outputs.downloads: gr.Row(visible=any(paths)),
        **{
            button: gr.DownloadButton(value=str(path) if path else None, interactive=path is not None)
            for button, path in zip(outputs.files(), paths)
        },
    }


def _result_updates(outputs: Outputs, visitor: Visitor) -> dict:
    """The finished avatar; it stays until another one stands."""
    result = visitor.result
    if result is None:
        return {outputs.result_group: gr.Column(visible=False)}
    files = result.files
    return {
        outputs.result_group: gr.Column(visible=True),
        outputs.head: presentation.head_viewer(files.avatar, result.phone_head, files.provenance),
        outputs.compare: presentation.texture_compare(files.phone_texture, files.texture, result.overlays),
        outputs.tones: presentation.skin_tone_rows(result.tones),
        outputs.tone_dots: gr.Radio(value=None),
        outputs.tone_correction: gr.Slider(value=_shown_tone(result)),
        outputs.other_hair: gr.Dropdown(value=result.settings.hair),
        outputs.hair_color: gr.ColorPicker(value=_shown_hair_color(result)),
        outputs.other_shapes: gr.Dropdown(value=result.settings.shapes),
        outputs.account: presentation.account(result.invented, result.timings),
        outputs.address: presentation.result_address(visitor.token),
    }
