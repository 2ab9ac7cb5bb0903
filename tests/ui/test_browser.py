"""The web demo in Debian's Chromium: what a visitor sees, downloads, and never sees."""

import io
import time

import numpy as np
import pytest
from helpers.demo_server import (
    CHROMIUM,
    GOOD_CAPTURE,
    fake_camera,
    launch_chromium,
    running_server,
)
from helpers.glb_reader import Glb
from PIL import Image

if not CHROMIUM.exists():
    pytest.skip(f"{CHROMIUM} is not installed: apt install chromium", allow_module_level=True)
sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install -e .[dev]"
)

pytestmark = pytest.mark.browser

PATIENCE_MS = 240_000  # a busy machine
DESKTOP = {"width": 1000, "height": 700}
STOP_SECONDS, LEAVE_SECONDS = 2.0, 20.0


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with sync_api.sync_playwright() as playwright:
        browser = launch_chromium(playwright, fake_camera(GOOD_CAPTURE, tmp_path_factory.mktemp("camera")))
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, server):
    """Opens the page as a visitor of their own; notes requests to anyone else."""
    contexts, strangers = [], []

    def open_page(viewport=DESKTOP):
        context = chromium.new_context(
            viewport=viewport, permissions=["camera", "microphone"], accept_downloads=True
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda request: strangers.append(request.url)
                if not request.url.startswith((server.url, "data:", "blob:")) else None)  # fmt: skip
        page.goto(server.url)
        page.wait_for_selector("#create")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert strangers == []  # no request leaves the machine


def upload(page, path):
    page.get_by_role("tab", name="Video").click()
    page.locator("#video input[type=file]").set_input_files(path)


def picture_of(locator) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("RGB"), np.float32)


def test_one_click_from_the_example_to_the_downloads(visit, tmp_path):
    page = visit()
    page.get_by_text("Settings").click()
    page.get_by_label("Turbo").check()
    page.locator("#example-good").click()
    page.wait_for_selector("#status .running .bar")
    page.wait_for_selector("#check-card .card")
    page.wait_for_selector("#previews img")
    page.wait_for_selector("studio-head[data-drawn]")
    expect = sync_api.expect
    expect(page.locator("#status")).to_contain_text("Done")
    expect(page.locator("#tones .swatch")).to_have_count(2)
    expect(page.locator("#account")).to_contain_text("The phone saw")
    assert page.locator("img:not([alt]):visible, img[alt='']:visible").count() == 0
    saved = {}
    for name in ("texture-file", "head-file", "archive-file"):
        with page.expect_download() as download:
            page.locator(f"#{name}").click()
        saved[name] = tmp_path / download.value.suggested_filename
        download.value.save_as(saved[name])
    assert {path.name for path in saved.values()} == {
        "selfie_texture.png",
        "selfie_avatar.glb",
        "selfie_all.zip",
    }
    assert Image.open(saved["texture-file"]).convert("RGB").size == (1024, 1024)
    assert len(Glb(saved["head-file"]).primitive["targets"]) == 52
    look_at_the_viewer(page)
    look_at_the_clip(page, tmp_path / "clip.webm")
    correct_the_tone(page)


def correct_the_tone(page):
    """The same capture again in the visitor's tone: capture and inversion are not done again."""
    page.locator("#tone-correction input[type=number]").fill("-30")
    page.locator("#tone-correction input[type=number]").press("Enter")
    page.locator("#correct-tone").click()
    sync_api.expect(page.locator("#status")).to_contain_text("Adding detail", timeout=30_000)
    done = page.locator("#status .done").all_inner_texts()
    assert "Relighting" in done and "Inverting" not in done and "Fitting the head" not in done
    assert page.locator("studio-head").is_visible()  # the first one stays
    page.locator("#cancel").click()
    sync_api.expect(page.locator("#status .running")).to_have_count(0)


def look_at_the_viewer(page):
    """The canvas shows a head, and light, key, divider and face change the picture."""
    canvas = page.locator("studio-head canvas")
    page.locator("studio-head .turning").uncheck()
    canvas.press("ArrowLeft")  # the head stops swaying
    pictures = [picture_of(canvas)]
    assert pictures[0].std() > 20

    def changed(action):
        action()
        page.wait_for_timeout(500)
        pictures.append(picture_of(canvas))
        assert np.abs(pictures[-1] - pictures[-2]).mean() > 0.5

    changed(lambda: canvas.press("ArrowRight"))
    changed(lambda: page.locator("studio-head .light").select_option("Bare lamp"))
    changed(lambda: page.locator("studio-head .azimuth").fill("80"))
    changed(lambda: page.locator("studio-head .divider").press("Home"))
    changed(lambda: page.locator("studio-head .face").select_option("Surprise"))
    changed(lambda: page.locator("studio-head .completed").check())


def look_at_the_clip(page, target):
    """The turning clip is a film of several seconds whose pictures differ."""
    import av

    with page.expect_download() as download:
        page.locator("studio-head .clip").click()
    assert download.value.suggested_filename in ("selfie_turntable.webm", "selfie_turntable.mp4")
    download.value.save_as(target)
    with av.open(str(target)) as clip:
        assert min(clip.streams.video[0].width, clip.streams.video[0].height) >= 720
        frames = [frame.to_ndarray(format="gray").astype(np.float32) for frame in clip.decode(video=0)]
    assert len(frames) > 3 and np.abs(frames[0] - frames[len(frames) // 2]).mean() > 2


def test_a_weak_capture_gets_advice_and_cancel_frees_the_machine(visit, server):
    import httpx

    page = visit()
    page.locator("#example-weak").click()
    page.wait_for_selector("#check-card .card.poor")
    assert page.locator("#check-card .tips li").count() >= 3
    assert page.locator("#check-pictures img").first.evaluate("image => image.naturalWidth") > 0
    create = page.get_by_role("button", name="Create anyway")
    create.click()
    page.wait_for_selector("#status .running:has-text('Inverting')")
    page.locator("#cancel").click()
    pressed = time.monotonic()
    page.wait_for_selector("#status:has-text('Stopped')")
    while httpx.get(f"{server.url}/health").json()["status"] == "busy":
        time.sleep(0.05)
    assert time.monotonic() - pressed < STOP_SECONDS
    create.click()  # and it can be taken up again
    page.wait_for_selector("#status .running:has-text('Inverting')")
    page.close()  # who leaves stops the work as well
    left = time.monotonic()
    while httpx.get(f"{server.url}/health").json()["status"] == "busy":
        assert time.monotonic() - left < LEAVE_SECONDS
        time.sleep(0.2)


def test_a_text_file_is_a_toast_of_one_sentence(visit, tmp_path):
    text = tmp_path / "clip.mp4"
    text.write_text("hello, I am no video\n" * 100)
    page = visit()
    upload(page, text)
    toast = page.locator(".toast-body.error", has_text="clip.mp4")
    toast.wait_for()
    assert "Traceback" not in page.locator(".toast-wrap").inner_text()
    page.wait_for_selector("#status .notice.problem")


def test_the_camera_is_guided_recorded_and_checked(visit):
    page = visit()
    guide = page.locator("#camera-guide")
    assert not guide.is_visible()
    page.get_by_text("Click to Access Webcam").click()
    guide.wait_for()
    page.get_by_label("start recording").click()
    page.wait_for_timeout(3500)
    page.get_by_label("start recording").click()  # gradio's button keeps its name while it records
    page.wait_for_selector("#check-card .card")
    assert not guide.is_visible()
