"""What the page does while it works, waits, is loaded again and is left, on a desktop and on a phone.

One server on a stand-in for the networks serves all tests; see `helpers/standin_demo.py`.
"""

import base64
import importlib.util
import re
import zipfile
from pathlib import Path

import av
import cv2
import httpx
import numpy as np
import pytest
from helpers.demo_server import (
    CHROMIUM,
    GOOD_CAPTURE,
    ROOT,
    WEAK_CAPTURE,
    comes,
    fake_camera,
    launch_chromium,
    open_demo,
    picture_of,
    wait_until,
)
from helpers.standin_demo import stand_in_demo

from studio_avatar.capture.io.video import read_frames
from studio_avatar.ui import visitors
from studio_avatar.ui.sessions import KEEP_SECONDS

if not CHROMIUM.exists():
    pytest.skip(f"{CHROMIUM} is not installed: apt install chromium", allow_module_level=True)
sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install -e .[dev]"
)
pytestmark = pytest.mark.browser

PATIENCE_MS = 60_000  # a busy machine
WHITE = "rgb(255, 255, 255)"
CLIP_MS = 240_000  # each picture of a film is drawn without a graphics card
sync_api.expect.set_options(timeout=PATIENCE_MS)
CALM = {"reduced_motion": "reduce"}  # a head that sways keeps a core busy
DESKTOP = {"viewport": {"width": 1280, "height": 860}, **CALM}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    **CALM,
}


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    with stand_in_demo(tmp_path_factory.mktemp("demo"), longest_queue=1) as demo:
        yield demo


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with sync_api.sync_playwright() as playwright:
        browser = launch_chromium(playwright, fake_camera(GOOD_CAPTURE, tmp_path_factory.mktemp("camera")))
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, stand_in):
    """Opens the page as a visitor of their own."""
    contexts, strangers = [], []

    def open_page(script: str = "", shorter_clip: bool = False, **device):
        """script: JavaScript that changes the browser before the page is loaded. shorter_clip: it turns in one second and
        not in four, as each picture takes seconds where there is no graphics card."""
        context = chromium.new_context(
            **(device or DESKTOP), permissions=["camera", "microphone"], accept_downloads=True
        )
        contexts.append(context)
        page = context.new_page()
        page.add_init_script(script)
        if shorter_clip:
            page.route(f"{stand_in.url}/", with_shorter_clip)
        strangers.append(open_demo(page, stand_in.url, PATIENCE_MS))
        return page

    yield open_page
    stand_in.service.held, stand_in.service.held_in = False, ""
    for context in contexts:
        context.close()
    assert not any(strangers)  # no request leaves the machine


def with_shorter_clip(route):
    page = route.fetch()
    assert "CLIP_SECONDS = 4" in page.text()
    route.fulfill(response=page, body=page.text().replace("CLIP_SECONDS = 4", "CLIP_SECONDS = 1"))


def top_and_bottom(page, selector: str) -> tuple[float, float]:
    """Where an element is in the window [CSS pixels]."""
    box = page.locator(selector).bounding_box()
    return box["y"], box["y"] + box["height"]


def press(page, selector: str) -> None:
    """A tap or click, as the device has it."""
    locator = page.locator(selector)
    locator.scroll_into_view_if_needed()
    locator.tap() if page.evaluate("navigator.maxTouchPoints > 0") else locator.click()


def status_is_in_view(page) -> bool:
    def is_in_view() -> bool:
        top, bottom = top_and_bottom(page, "#status")
        return top >= 0 and bottom <= page.viewport_size["height"]

    return comes(page, is_in_view)


def wait_for(page, text: str) -> None:
    sync_api.expect(page.locator("#status")).to_contain_text(text, timeout=PATIENCE_MS)


@pytest.mark.parametrize("device", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_what_happens_is_in_view_and_a_result_stays(visit, stand_in, device):
    page = visit(**device)
    height = page.viewport_size["height"]
    stand_in.service.held = True  # or the verdict would come into view before anybody looks
    press(page, "#example-weak")
    assert status_is_in_view(page)
    stand_in.service.held = False
    wait_for(page, "This capture is weak")
    # The verdict is brought into view, unless it is already: beside the form nothing jumps.
    assert comes(page, lambda: 0 <= top_and_bottom(page, "#check-card")[0] < height / 2)
    stand_in.service.held = True
    press(page, "#create")
    assert status_is_in_view(page)
    stand_in.service.held = False
    wait_for(page, "Done.")
    page.wait_for_selector("studio-head[data-drawn]")
    assert comes(page, lambda: top_and_bottom(page, "studio-head")[0] < height / 2)
    if device is DESKTOP:
        assert page.evaluate("scrollY") == 0 and page.locator("#downloads").is_visible()
    first = page.locator("studio-head").get_attribute("glb")

    stand_in.service.held = True
    press(page, "#make-again")
    assert status_is_in_view(page)
    assert page.locator("studio-head").is_visible() and page.locator("#downloads").is_visible()
    press(page, "#cancel")
    wait_for(page, "Your last avatar is still here")
    assert page.locator("studio-head").get_attribute("glb") == first
    page.go_back()  # leads up to the form
    page.wait_for_function("scrollY === 0")
    assert page.locator("studio-head").get_attribute("glb") == first

    stand_in.service.held = False
    press(page, "#make-again")
    page.wait_for_selector(f"studio-head[data-drawn]:not([glb='{first}'])")
    assert page.locator("studio-compare .divider").is_visible() and not page.locator("#still").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def pinch(page, selector: str, spread: float) -> None:
    """Two fingers on an element that go apart by `spread` pixels each."""
    box = page.locator(selector).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page)

    def fingers(kind, apart):
        places = [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places if apart else []})

    fingers("touchStart", 30)
    for step in range(1, 5):
        fingers("touchMove", 30 + spread * step / 4)
    fingers("touchEnd", 0)


def test_the_viewer_shows_everything_it_can_and_more_files_are_made(visit, tmp_path):
    page = visit(**PHONE)
    press(page, "#example-good")
    page.wait_for_selector("studio-head[data-drawn]")
    state = lambda name: page.evaluate(f"document.querySelector('studio-head').state.{name}")  # noqa: E731
    canvas = page.locator("studio-head canvas")
    canvas.scroll_into_view_if_needed()
    pinch(page, "studio-head canvas", 60)
    zoomed = state("zoom")
    assert zoomed > 1.5 and abs(state("yaw")) < 3
    page.locator("studio-head .reset").click()
    assert state("zoom") == 1
    canvas.hover()
    page.mouse.wheel(0, -300)
    page.wait_for_function("document.querySelector('studio-head').state.zoom > 1.2")
    canvas.press("Shift+ArrowRight")
    assert state("pan")[0] > 0
    canvas.press("0")
    assert state("pan") == [0, 0] and state("zoom") == 1

    def changed(action) -> None:
        before = picture_of(canvas)
        action()
        assert comes(page, lambda: np.abs(picture_of(canvas) - before).mean() > 0.3)

    canvas.press("ArrowLeft")  # the head stops swaying
    assert picture_of(canvas).std() > 20
    changed(lambda: canvas.press("ArrowRight"))
    changed(lambda: page.locator("studio-head .light").select_option("Bare lamp"))
    changed(lambda: page.locator("studio-head .azimuth").fill("80"))
    changed(lambda: page.locator("studio-head .divider").press("Home"))
    changed(lambda: page.locator("studio-head .face").select_option("Surprise"))
    changed(lambda: page.locator("studio-head .completed").check())
    changed(lambda: page.locator("studio-head .look").select_option("Clay"))
    changed(lambda: page.locator("studio-head .look").select_option("Normals"))
    page.locator("studio-head .sliders summary").click()
    assert page.locator("studio-head .sliders input").count() == 52
    changed(lambda: page.locator("studio-head [data-name=jawOpen]").fill("1"))
    more_files_are_made(page, tmp_path)
    page.locator("studio-compare .view").select_option("completed")
    assert "filled in by the model" in page.locator("studio-compare .said").inner_text()


def more_files_are_made(page, folder):
    page.get_by_text("More files").click()
    page.get_by_label("Picture under three lights").uncheck()  # drawing is what takes long
    page.get_by_label("OBJ with MTL").check()
    press(page, "#pack")
    assert status_is_in_view(page)
    with page.expect_download() as download:
        page.locator("#pack-file").click()
    download.value.save_as(folder / "everything.zip")
    with zipfile.ZipFile(folder / "everything.zip") as bundle:
        names = bundle.namelist()
    assert {"texture.png", "report.json", "selfie_avatar.glb", "selfie_avatar_light.glb"} <= set(names)
    assert any(name.endswith(".obj") for name in names)


def saved_clip(page, folder) -> tuple[str, tuple[int, int], list[float], list[np.ndarray]]:
    """Kind of the file, size, time stamps [s] and pictures (H, W) of a turning clip of the good example."""
    press(page, "#example-good")
    page.wait_for_selector("studio-head[data-drawn]")
    with page.expect_download(timeout=CLIP_MS) as download:
        page.locator("studio-head .clip").click()
    stem, kind = download.value.suggested_filename.split(".")
    assert stem == "selfie_turntable"
    download.value.save_as(folder / f"clip.{kind}")
    with av.open(str(folder / f"clip.{kind}")) as clip:
        stream = clip.streams.video[0]
        frames = [
            (frame.time, frame.to_ndarray(format="gray").astype(np.float32)) for frame in clip.decode(video=0)
        ]
        return kind, (stream.width, stream.height), [time for time, _ in frames], [gray for _, gray in frames]


def test_the_turning_clip_is_smooth_however_slow_the_machine_is(visit, tmp_path):
    kind, size, times, frames = saved_clip(visit(shorter_clip=True), tmp_path)
    assert kind == "mp4" and min(size) == 720
    assert np.allclose(times, np.arange(30) / 30, atol=1e-3)
    differences = [np.abs(one - other).mean() for one, other in zip(frames, [*frames[1:], frames[0]])]
    assert min(differences) > 0.05 and max(differences) < 5 * np.median(
        differences
    )  # an even turn that closes
    assert np.abs(frames[0] - frames[15]).mean() > 2  # its back
    assert frames[0][0, 0] > 20  # the stage is there, not black


def test_the_benchmark_measures_what_a_visitor_does(visit, stand_in):
    """benchmarks/demo.py, up to the corrected tone."""
    spec = importlib.util.spec_from_file_location("demo_benchmark", ROOT / "benchmarks" / "demo.py")
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    page = visit()
    page.locator("#example-good").click()
    wait_for(page, "Done.")
    page.wait_for_selector("studio-head[data-drawn]")
    assert 0 < benchmark.measure_correction(page) < PATIENCE_MS / 1000
    assert [settings.skin_tone for _, settings in stand_in.service.created[-2:]] == [None, -20]


def test_a_browser_that_cannot_encode_records_the_turn(visit, tmp_path):
    _, size, times, frames = saved_clip(visit("delete window.VideoEncoder;"), tmp_path)
    assert min(size) >= 720
    assert len(frames) > 3 and np.abs(frames[0] - frames[len(frames) // 2]).mean() > 2


def test_a_browser_that_films_nothing_says_so(visit):
    page = visit("delete window.VideoEncoder; delete window.MediaRecorder;")
    press(page, "#example-good")
    page.wait_for_selector("studio-head[data-drawn]")
    button = page.locator("studio-head .clip")
    button.click()
    sync_api.expect(page.locator("studio-head .refused")).to_contain_text("under More files")
    sync_api.expect(button).to_be_enabled()


NO_WEBGL = """const get = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind.startsWith("webgl") ? null : get.call(this, kind, ...rest); };"""
NO_CAMERA = "Object.defineProperty(navigator, 'mediaDevices', { value: undefined });"


def test_what_a_browser_lacks_is_a_sentence_and_no_dead_control(visit):
    page = visit(NO_WEBGL + NO_CAMERA, **PHONE)
    refusal = page.locator("#no-camera")
    sync_api.expect(refusal).to_contain_text("secure addresses")
    assert not page.locator("#camera").is_visible()
    with page.expect_file_chooser():
        refusal.get_by_role("button").click()
    press(page, "#example-good")
    still = page.locator("#head .still")
    sync_api.expect(still).to_contain_text("WebGL 2", timeout=PATIENCE_MS)
    assert (
        still.locator("img").evaluate("async (one) => { await one.decode(); return one.naturalWidth; }") > 0
    )
    assert page.locator("#head :is(select, input, button)").count() == 0
    assert page.locator("studio-compare .divider").is_visible()


def test_finished_heads_open_at_once_in_the_place_of_the_picture(visit, stand_in):
    page, opened, created = visit(), [], len(stand_in.service.created)
    page.on("response", lambda answer: opened.append(answer.status) if "avatar.glb" in answer.url else None)
    page.get_by_role("button", name="Finished head 1").click()
    page.wait_for_selector(".welcome studio-head[data-drawn]")
    assert opened == [200] and page.locator(".welcome img.shown").count() == 0
    assert not page.locator(".welcome .consent").is_visible()
    page.get_by_role("button", name="Move this head").click()
    sync_api.expect(page.locator(".welcome .consent")).to_be_visible()
    assert opened == [200]  # the very head that stands there
    assert len(stand_in.service.created) == created  # nothing was made


def test_the_camera_moves_the_head_before_anything_was_made_until_a_run_starts(visit, stand_in):
    page, asked = visit(), []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/mirror") else None)
    page.get_by_role("button", name="Move this head").click()
    head = page.locator(".welcome studio-head")
    sync_api.expect(head.locator(".consent")).to_contain_text("They are not kept.", timeout=PATIENCE_MS)
    assert asked == []  # nothing before the visitor agrees
    head.locator(".sliders summary").click()
    head.locator(".agree").click()
    page.wait_for_function(
        "Math.abs(document.querySelector('studio-head').state.turn[1]) > 0.3"
    )  # filmed: 42°
    page.wait_for_function("[...document.querySelectorAll('.sliders input')].some((one) => one.value > 0.1)")
    assert set(asked) == {f"{stand_in.url}/mirror"}

    stand_in.service.held = True
    press(page, "#example-weak")
    sync_api.expect(head.locator(".refused")).to_contain_text("The mirror stopped", timeout=PATIENCE_MS)
    assert page.evaluate("document.querySelector('studio-head').state.turn") == [0, 0, 0]
    assert not head.locator("video").is_visible()
    page.evaluate(NO_CAMERA)
    head.locator(".mirror").click()
    head.locator(".agree").click()
    sync_api.expect(head.locator(".refused")).to_contain_text("secure addresses")


def test_a_reload_comes_back_to_the_run_and_to_the_result(visit, stand_in):
    stand_in.service.held = True
    page = visit(**PHONE)
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    asked = []
    press(page, "#example-good")
    page.wait_for_selector("#status [data-phase=work]")
    number = page.locator("#status [data-phase]").get_attribute("data-run")
    page.reload()
    assert asked == ["beforeunload"]  # it asks while it works
    page.wait_for_selector(f"#status [data-phase=work][data-run='{number}']")
    stand_in.service.held = False
    wait_for(page, "Done.")
    glb = page.locator("studio-head").get_attribute("glb")
    assert len(stand_in.service.created) and asked == ["beforeunload"]
    page.reload()
    wait_for(page, "Done.")
    assert page.locator("studio-head").get_attribute("glb") == glb and asked == ["beforeunload"]
    stranger = visit()  # somebody else has another secret
    stranger.wait_for_timeout(1000)
    assert stranger.locator("studio-head").count() == 0
    stand_in.service.held = True
    press(page, "#create")  # the capture is known, although the form is empty
    page.wait_for_selector("#status [data-phase=work]")
    press(page, "#cancel")


def made_avatar(page) -> tuple[str, str]:
    """Makes the good example's: the address that the page then has, and the head's."""
    press(page, "#example-good")
    page.wait_for_selector("#head studio-head[data-drawn]")
    page.wait_for_function("/^#result=[0-9a-f]{32}$/.test(location.hash)")
    return page.url, head_in(page)


def head_in(page) -> str:
    page.wait_for_selector("#head studio-head[data-drawn]")
    return page.locator("#head studio-head").get_attribute("glb")


def nothing_is_shown_at(page, address: str, why: str) -> None:
    page.goto(address)
    wait_for(page, why)
    assert page.locator("#head studio-head").count() == 0
    assert status_is_in_view(page)
    page.wait_for_function("location.hash === ''")  # so a reload does not say it again


def test_a_results_address_shows_it_in_other_tabs_of_this_browser_alone(visit, stand_in, monkeypatch):
    page, told = visit(), []
    page.context.on("request", lambda request: told.append(request.url + request.headers.get("referer", "")))
    address, head = made_avatar(page)
    page.reload()
    assert head_in(page) == head and page.url == address
    tab = page.context.new_page()
    tab.set_default_timeout(PATIENCE_MS)
    tab.goto(address)
    assert head_in(tab) == head and tab.url == address
    nothing_is_shown_at(
        visit(**PHONE), address, "only in the browser that made it"
    )  # entered on an open page

    page.close()
    tab.wait_for_timeout(1000)
    tab.reload()
    assert head_in(tab) == head and is_served(f"{stand_in.url}/{head}")
    # The new tab is the visitor's as well: it goes on from the result, and its goodbye is the last one.
    press(tab, "#make-again")
    tab.wait_for_selector(f"#head studio-head[data-drawn]:not([glb='{head}'])")
    press(tab, "#create")
    wait_for(tab, "Done.")
    tab.go_back()
    tab.wait_for_function("scrollY === 0")
    assert tab.url == address
    files = f"{stand_in.url}/{head_in(tab)}"
    monkeypatch.setattr(visitors, "LEAVING_SECONDS", 1.0)
    context, _ = tab.context, tab.close()
    wait_until(lambda: not is_served(files), 30)
    late = context.new_page()
    late.set_default_timeout(PATIENCE_MS)
    nothing_is_shown_at(late, address, "The result at this address is gone")
    token = address.partition("=")[2]
    assert told and not any(token in one for one in told)


def test_a_run_that_another_tab_begins_is_watched_by_both(visit, stand_in):
    page = visit()
    address, _ = made_avatar(page)
    tab = page.context.new_page()
    tab.set_default_timeout(PATIENCE_MS)
    tab.goto(address)
    head_in(tab)
    stand_in.service.held = True
    press(page, "#make-again")
    page.wait_for_selector("#status [data-phase=work]")
    press(tab, "#example-weak")  # in the place of the other run
    tab.wait_for_selector("#status [data-phase=work]")
    stand_in.service.held = False
    for one in (tab, page):
        wait_for(one, "This capture is weak")


def test_a_results_address_ends_with_its_hour(visit, stand_in):
    page = visit(**PHONE)
    address, head = made_avatar(page)
    (owner,) = (one for one in stand_in.demo.visitors._of_secret.values() if one.token in address)
    owner.since -= KEEP_SECONDS + 1
    stand_in.service.sessions.sweep()
    page.reload()
    wait_for(page, "is gone: it is deleted when its page is closed, and after an hour")
    page.wait_for_function("location.hash === ''")
    again, other = made_avatar(page)
    assert again != address and other != head


def test_who_waits_is_told_how_long_and_may_leave(visit, stand_in):
    stand_in.service.held = True
    first, second, third = visit(), visit(**PHONE), visit()
    press(first, "#example-weak")
    first.wait_for_selector("#status .bar")
    press(second, "#example-weak")
    wait_for(second, "1 before you, about")
    assert status_is_in_view(second)
    spinner = "getComputedStyle(document.querySelector('#status .waiting'), '::before').borderTopWidth"
    assert second.evaluate(spinner) == "2px"
    assert not second.locator("#check-card").is_visible()
    press(third, "#example-weak")
    wait_for(third, "Too many people are waiting")
    second.locator("#status .stop").tap()
    wait_for(second, "Stopped")
    press(third, "#example-weak")
    wait_for(third, "1 before you, about")
    press(first, "#cancel")
    third.wait_for_selector("#status .bar")
    press(third, "#cancel")
    wait_for(third, "Stopped")


# The page asks every five seconds whether the server is there.
TEN_TIMES_AS_OFTEN = """const plain = window.setInterval;
window.setInterval = (task, wait, ...rest) => plain(task, wait === 5000 ? 500 : wait, ...rest);"""


def test_a_server_that_is_gone_is_noticed_and_its_return_too(visit):
    page = visit(TEN_TIMES_AS_OFTEN)
    page.route("**/health", lambda route: route.abort())
    page.locator("#server-lost").wait_for()
    page.unroute("**/health")
    page.locator("#server-lost").wait_for(state="detached")  # the page has loaded itself again


@pytest.fixture
def soon_forgotten(monkeypatch):
    """Who has left is forgotten sooner than a page can be loaded again."""
    monkeypatch.setattr(visitors, "LEAVING_SECONDS", 1.0)


def test_who_closes_the_page_leaves_nothing_and_stops_the_work(visit, stand_in, soon_forgotten):
    page = visit()
    press(page, "#example-weak")
    page.wait_for_selector("#check-pictures img")
    picture = f"{stand_in.url}/{page.locator('#check-pictures img').get_attribute('src')}"
    stand_in.service.held = True
    press(page, "#create")
    page.wait_for_selector("#status .running:has-text('Inverting')")
    assert is_served(picture) and stand_in.service.state == "busy"
    page.close()
    wait_until(lambda: not is_served(picture), 30)
    wait_until(lambda: stand_in.service.state == "ready", 30)


def is_served(address: str) -> bool:
    answer = httpx.get(address, timeout=PATIENCE_MS / 1000).status_code
    assert answer in (200, 403)
    return answer == 200


def test_an_error_is_one_toast_and_stays_in_the_panel(visit, tmp_path):
    page = visit()
    film = tmp_path / "nobody.mp4"
    film.write_bytes(WEAK_CAPTURE.read_bytes())
    page.get_by_role("tab", name="Video").click()
    page.locator("#video input[type=file]").set_input_files(film)
    wait_for(page, "There is no face in the video.")
    page.locator(".toast-body.error").wait_for()
    assert page.locator(".toast-body").count() == 1
    assert "Traceback" not in page.locator(".toast-wrap").inner_text()
    assert status_is_in_view(page)


def test_a_text_that_is_called_a_film_is_one_message(visit, tmp_path):
    page = visit()
    text = tmp_path / "nobody.mp4"
    text.write_text("No film.\n" * 100)
    page.get_by_role("tab", name="Video").click()
    page.locator("#video input[type=file]").set_input_files(text)
    wait_for(page, "There is no face in the video.")
    page.locator(".toast-body.error").wait_for()
    page.wait_for_timeout(1000)  # the player's own would have come by now
    assert "(2)" not in page.locator(".toast-body").inner_text()
    assert "not playable" not in page.locator("body").inner_text()
    assert "NaN" not in page.locator("#video").inner_text()


DROP = """async (place, [kind, name, data]) => {
  const files = new DataTransfer();
  files.items.add(new File([Uint8Array.from(atob(data), (one) => one.charCodeAt(0))], name, { type: kind }));
  place.dispatchEvent(new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true }));
}"""


def test_a_photo_dropped_on_the_video_tab_is_a_photo_and_the_other_way_round(visit, stand_in):
    page, looked_at = visit(), stand_in.service.looked_at
    one, other = (ROOT / f"examples/person_{number}.jpg" for number in (1, 2))
    for dropped, at, tab, taken in (
        (one, "Video", "Photos", [one]),
        (WEAK_CAPTURE, "Photos", "Video", [WEAK_CAPTURE]),
        (other, "Video", "Photos", [one, other]),  # of the same person
        (GOOD_CAPTURE, "Photos", "Video", [GOOD_CAPTURE]),
    ):
        kind = "video/mp4" if tab == "Video" else "image/jpeg"
        page.get_by_role("tab", name=at).click()
        data = base64.b64encode(dropped.read_bytes()).decode()
        seen = len(looked_at)
        place = page.locator(f"#{at.lower()} button").first
        place.evaluate(DROP, [kind, dropped.name, data])
        wait_until_in(page, lambda seen=seen: len(looked_at) > seen)
        assert [Path(path).name for path in looked_at[-1]] == [path.name for path in taken]
        sync_api.expect(page.get_by_role("tab", name=tab)).to_have_attribute("aria-selected", "true")
        assert page.locator(".toast-body.error").count() == 0


def wait_until_in(page, condition) -> None:
    for _ in range(PATIENCE_MS // 100):
        if condition():
            return
        page.wait_for_timeout(100)
    raise AssertionError


def test_a_clip_of_unknown_length_shows_its_length(visit, tmp_path):
    """As browsers record them: the file says nothing of its end."""
    with av.open(str(tmp_path / "clip.webm"), "w", options={"live": "1"}) as clip:
        stream = clip.add_stream("libvpx", rate=15)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for shade in range(45):
            picture = np.full((120, 160, 3), 5 * shade, np.uint8)
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        clip.mux(stream.encode())
    with av.open(str(tmp_path / "clip.webm")) as clip:
        assert clip.duration is None
    page = visit()
    page.get_by_role("tab", name="Video").click()
    page.locator("#video input[type=file]").set_input_files(tmp_path / "clip.webm")
    time_shown = page.locator("#video .time")
    sync_api.expect(time_shown).to_have_text("0:00 / 0:03")


def test_a_capture_without_color_asks_for_the_skin_tone_first(visit, stand_in, tmp_path):
    page = visit(**PHONE)
    film = tmp_path / "grey.mp4"
    film.write_bytes(WEAK_CAPTURE.read_bytes())
    page.get_by_role("tab", name="Video").click()
    page.locator("#video input[type=file]").set_input_files(film)
    wait_for(page, "good capture")
    sync_api.expect(page.locator("#ask-tone")).to_contain_text("no color: choose the skin tone")

    labels = page.locator("#tone-answer label")
    assert labels.evaluate_all("all => all.every((one) => one.scrollWidth <= one.clientWidth)")
    created = len(stand_in.service.created)
    press(page, "#create")
    wait_for(page, "First choose the skin tone")
    top, bottom = top_and_bottom(page, "#ask-tone")
    assert len(stand_in.service.created) == created and 0 <= top < bottom <= page.viewport_size["height"]
    page.get_by_text("Brown", exact=True).first.click()
    press(page, "#create")
    wait_for(page, "Done.")
    assert [settings.skin_tone for _, settings in stand_in.service.created[created:]] == [-10]
    assert not page.locator("#ask-tone").is_visible()  # the result says what the tone is, and takes another


@pytest.fixture
def looked_at_once(visit, stand_in, tmp_path):
    """A page whose check has something to show and stays in its last stage, in which it is made better."""
    page, stand_in.service.held_in = visit(), "fuse"
    film = tmp_path / "me.mp4"
    film.write_bytes(GOOD_CAPTURE.read_bytes())
    page.get_by_role("tab", name="Video").click()
    page.locator("#video input[type=file]").set_input_files(film)
    page.wait_for_selector("#check-card .card.good")
    return page


def test_a_check_is_seen_while_it_is_made_better_and_create_goes_on_from_it(looked_at_once, stand_in):
    page, service = looked_at_once, stand_in.service
    first = page.locator("#check-pictures img").get_attribute("src")
    assert page.locator("#status .stop").is_visible() and page.locator("#status .bar").is_visible()
    looked_at = len(service.looked_at)
    press(page, "#create")
    page.wait_for_selector("#status [data-phase=work]")
    sync_api.expect(page.locator("#create")).to_be_disabled()
    service.held_in = ""
    wait_for(page, "Done.")
    assert len(service.looked_at) == looked_at  # nobody looked a second time
    assert page.locator("#check-pictures img").get_attribute("src") != first


def test_cancel_ends_the_check_that_create_goes_on_from(looked_at_once, stand_in):
    page, service = looked_at_once, stand_in.service
    created = len(service.created)
    press(page, "#create")
    page.wait_for_selector("#status [data-phase=work]")
    press(page, "#cancel")
    wait_for(page, "Stopped")
    service.held_in = ""
    wait_until_in(page, lambda: not stand_in.demo.work.check.busy)
    assert len(service.created) == created


# The connection stays open: its end would be taken for the page's.
STATUS_OF = "address => fetch(address).then((answer) => (window.kept = answer).status)"


def test_two_visitors_never_see_each_others_files(visit, soon_forgotten):
    first, second = visit(**DESKTOP), visit(**PHONE)
    for page in (first, second):
        page.files = set()
        page.on("request", lambda request, files=page.files: files.add(request.url)
                if "/file=" in request.url and "session-" in request.url else None)  # fmt: skip
        page.heartbeats = set()
        page.on("request", lambda request, found=page.heartbeats: found.add(request.url)
                if "/heartbeat/" in request.url else None)  # fmt: skip
        page.reload()
        page.get_by_role("tab", name="Video").click()
        page.locator("#video input[type=file]").set_input_files(WEAK_CAPTURE)
        page.wait_for_selector("#check-card .card")
        page.locator("#check-pictures img").last.wait_for()
    assert first.files and second.files and not first.files & second.files
    assert all(map(is_served, first.files | second.files))
    shown = second.content()
    assert not any(address.split("/file=")[1] in shown for address in first.files)
    # A session hash of one browser is nothing in another's.
    heartbeat, *_ = first.heartbeats
    assert [second.evaluate(STATUS_OF, heartbeat), first.evaluate(STATUS_OF, heartbeat)] == [403, 200]
    first.close()
    wait_until(lambda: not any(map(is_served, first.files)), 30)
    assert all(map(is_served, second.files))
    second_fits_a_phone(second)


def second_fits_a_phone(page):
    """Nothing is wider than a phone, and the check's text is large enough to read."""
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["viewport"]["width"]
    assert picture_of(page.locator("#check-card .card")).std() > 5
    sizes = page.locator("#check-card :is(p, li, dd)").evaluate_all(
        "all => all.map(one => parseFloat(getComputedStyle(one).fontSize))"
    )
    assert min(sizes) >= 12


def test_what_is_cut_off_a_clip_can_be_chosen(visit, stand_in):
    page, looked_at = visit(**PHONE), stand_in.service.looked_at
    press(page, "#example-weak")
    wait_for(page, "This capture is weak")
    press(page, "#video [aria-label='Trim video to selection']")
    cut = page.locator("#video .edit-buttons button", has_text="Trim")
    cut.wait_for()
    box, button = page.locator("#video").bounding_box(), cut.bounding_box()
    assert button["y"] + button["height"] <= box["y"] + box["height"]
    seen = len(looked_at)
    cut.tap()
    wait_until_in(page, lambda: len(looked_at) > seen)  # the browser cuts, with gradio's own program
    assert Path(looked_at[-1][0]) != WEAK_CAPTURE


def test_create_without_a_capture_says_what_is_missing(visit, stand_in):
    page, created = visit(**PHONE), len(stand_in.service.created)
    press(page, "#create")
    wait_for(page, "First film yourself, bring a video or photos, or try an example.")
    assert status_is_in_view(page)
    assert len(stand_in.service.created) == created and page.locator(".toast-body").count() == 0


def test_a_setting_that_is_touched_counts(visit, stand_in):
    page, created = visit(), stand_in.service.created
    page.locator("#settings button").first.click()
    page.locator("#skin-tone input[type=range]").press("ArrowLeft")
    sync_api.expect(page.get_by_label("Set the skin tone")).to_be_checked()
    assert page.locator("#shapes input").input_value() == "ARKit"
    press(page, "#example-good")
    head_in(page)
    assert created[-1][1].skin_tone == 29
    dark = page.locator("#tone-dots label", has_text="Dark")
    dark.click()
    assert dark.evaluate("one => getComputedStyle(one).boxShadow") != "none"
    page.locator("#head .whole").click()
    sync_api.expect(page.locator("#head .whole")).to_have_text("Leave full screen")
    assert page.locator("#head .controls label").first.evaluate("one => getComputedStyle(one).color") == WHITE
    page.locator("#head .whole").click()
    sync_api.expect(page.locator("#head .whole")).to_have_text("Full screen")


def test_the_keyboard_reaches_everything_that_can_be_used(visit):
    page = visit()
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert {"Camera", "create", "example-good", "example-weak"} <= reached
    assert any(name.startswith("Settings") for name in reached)


def test_a_phone_films_for_the_page_on_the_desktop(visit, stand_in, monkeypatch):
    monkeypatch.setattr("studio_avatar.ui.handover.network_address", lambda: "192.168.0.7")
    desktop, phone = visit(**DESKTOP), visit(**PHONE)
    assert not desktop.locator("#handover").is_visible()  # plain http: the phone would get no camera
    desktop.evaluate("document.documentElement.classList.add('may-hand-over')")
    desktop.locator("#handover").click()
    code = desktop.locator("#handover-code svg")
    code.wait_for()
    address = ""

    def is_read():
        nonlocal address
        # the plain QRCodeDetector cannot read 3 to 10 in 100 codes, at any size, and this one is new each time
        address, *_ = cv2.QRCodeDetectorAruco().detectAndDecode(picture_of(code).astype(np.uint8))
        return address

    assert comes(desktop, is_read)  # the page may still be moving
    assert re.fullmatch(r"http://192\.168\.0\.7:\d+/#film=[0-9a-f]{32}", address)

    phone.goto(f"{stand_in.url}/{address.split('/')[-1]}")
    phone.reload()  # an address that differs after the # alone is the page that is open
    phone.wait_for_selector("#create")
    assert "film" not in phone.url  # the secret does not stay in the address
    phone.get_by_role("tab", name="Video").click()
    phone.locator("#video input[type=file]").set_input_files(WEAK_CAPTURE)
    for page in (phone, desktop):
        wait_for(page, "This capture is weak")
    assert not code.is_visible()
    desktop.locator("#create").click()  # of what the phone filmed
    wait_for(desktop, "Done.")
    assert Path(stand_in.service.created[-1][0][0]).name == WEAK_CAPTURE.name


def test_the_camera_is_guided_and_what_it_records_is_a_film(visit, stand_in):
    page = visit()
    guide = page.locator("#camera-guide")
    assert not guide.is_visible()
    page.get_by_text("Click to Access Webcam").click()
    guide.wait_for()
    record, count, checked = (
        page.get_by_label("start recording"),
        guide.locator(".count"),
        len(stand_in.service.looked_at),
    )
    record.click()
    sync_api.expect(count).to_have_text("3")
    record.click()  # called off
    sync_api.expect(count).to_have_text("")
    record.click()
    sync_api.expect(count).to_have_text("1")
    page.wait_for_selector("#camera-guide.recording")
    sync_api.expect(count).to_have_text("8 s")
    page.evaluate("const now = performance.now.bind(performance); performance.now = () => now() + 9000")
    page.wait_for_selector("#check-card .card")  # it ended by itself
    assert len(stand_in.service.looked_at) == checked + 1
    assert not guide.is_visible()
    pictures = [frame.rgb for frame in read_frames(stand_in.service.looked_at[-1][0])]
    assert len(pictures) > 3 and pictures[-1].std() > 20
