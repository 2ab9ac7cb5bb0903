"""The demo as `make app` serves it, with its networks: each thing really done once, over the API and on the page.

An avatar is made once, on the page. What needs no networks is looked at on a stand-in for them: the page in test_page.py,
the endpoints, /create_avatar among them, in test_api.py.
"""

import json
import time
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pytest
from helpers.demo_server import CHROMIUM, ROOT, comes, launch_chromium, open_demo, picture_of, running_server
from helpers.glb_reader import Glb
from PIL import Image

FACE_SUFFIXES = {".mp4", ".png", ".glb", ".json", ".zip"}
PATIENCE_MS = 240_000  # a busy machine
STOP_SECONDS = 5.0  # of a busy machine; alone it takes half a second
# Previews stand for a second or two: too short to be waited for on a busy machine.
NOTICE_PREVIEWS = """() => new MutationObserver((_, observer) => {
    window.previewsSeen = Boolean(document.querySelector("#previews img"));
    if (window.previewsSeen) observer.disconnect();
}).observe(document.body, {childList: true, subtree: true})"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The app as `make app` starts it, with room for small files."""
    with running_server(tmp_path_factory.mktemp("server"), "--largest-upload", "2mb") as server:
        yield server
    assert list(server.temporary.glob("studio-avatar-*")) == []  # faces do not outlive the server


# ---------------------------------------------------------------------------------------------- over the API


@pytest.fixture(scope="module")
def client(server, tmp_path_factory):
    gradio_client = pytest.importorskip("gradio_client")
    downloads = str(tmp_path_factory.mktemp("downloads"))
    client = gradio_client.Client(server.url, verbose=False, download_files=downloads)
    yield client
    client.close()


@pytest.fixture(scope="module")
def checked(client, short_weak_clip):
    """What `/check_capture` answers to the weak example, small, and the stages that it told of."""
    from gradio_client import handle_file

    running, stages = client.submit(handle_file(short_weak_clip), 256, api_name="/check_capture"), set()
    while not running.done():
        stages |= {unit.desc for unit in running.status().progress_data or []}
        time.sleep(0.1)
    return running.result(), stages


def test_check_capture_gives_verdict_and_advice_and_tells_its_progress(checked):
    (report, sheet, phone_texture, seen), stages = checked
    assert report["verdict"] == "poor"
    assert sum(bool(finding["advice"]) for finding in report["findings"]) >= 3
    assert Image.open(phone_texture).size == Image.open(seen).size == (256, 256)
    assert min(Image.open(sheet).size) > 256
    assert "Fitting the head" in stages


def test_texture_goes_on_from_a_checked_capture(client, checked):
    from gradio_client import handle_file

    (*_, phone_texture, seen), _ = checked
    arguments = [handle_file(phone_texture), handle_file(seen), 5, 1, 1, 0.5, 256]
    first, again, darker = (
        client.predict(*arguments, *tone, api_name="/texture") for tone in ((), (), (-50.0,))
    )
    assert Image.open(first).size == (256, 256)
    assert Path(first).read_bytes() == Path(again).read_bytes()
    assert np.mean(Image.open(darker)) < np.mean(Image.open(first)) - 20


def refused(client, *arguments, api_name):
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError) as error:
        client.predict(*arguments, api_name=api_name)
    message = str(error.value)
    assert message.endswith(".") and "Traceback" not in message and len(message) < 220
    return message


def test_bad_files_are_one_readable_sentence(client, checked, tmp_path):
    from gradio_client import handle_file

    (_, sheet, _, seen), _ = checked
    text = tmp_path / "text.mp4"
    text.write_text("hello, I am no video\n" * 100)
    for name in ("/create_avatar", "/check_capture"):
        message = refused(client, handle_file(text), api_name=name)
        assert "text.mp4" in message and str(tmp_path) not in message
    assert "Give one video" in refused(client, None, api_name="/create_avatar")
    assert "no readable picture" in refused(client, handle_file(text), handle_file(seen), api_name="/texture")
    assert "must have shape" in refused(client, handle_file(sheet), handle_file(seen), api_name="/texture")


def test_too_large_a_file_is_refused(client, tmp_path):
    from gradio_client import handle_file

    large = tmp_path / "large.mp4"
    large.write_bytes(bytes(3_000_000))
    with pytest.raises(Exception, match="(?i)exceed|too large"):
        client.predict(handle_file(large), api_name="/create_avatar")


def test_other_files_of_the_server_are_not_served(server):
    for path in ("/etc/hostname", str(ROOT / "pyproject.toml"), str(server.log)):
        assert httpx.get(f"{server.url}/gradio_api/file={path}", timeout=60).status_code in (403, 404)


def health(server) -> dict:
    return httpx.get(f"{server.url}/health", timeout=60).json()


def test_health(server):
    assert health(server)["status"] in ("loading", "ready", "busy") and health(server)["waiting"] == 0


# ---------------------------------------------------------------------------------------------- on the page


@pytest.fixture
def page(server):
    """The page in Debian's Chromium; no request leaves the machine."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed: apt install chromium")
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install -e .[dev]"
    )
    with sync_api.sync_playwright() as playwright:
        browser = launch_chromium(playwright)
        page = browser.new_page(viewport={"width": 1000, "height": 700}, reduced_motion="reduce")
        strangers = open_demo(page, server.url, PATIENCE_MS)
        yield page
        browser.close()
    assert strangers == []


@pytest.mark.browser
def test_a_weak_capture_gets_advice_and_becomes_an_avatar_all_the_same(
    page, server, short_weak_clip, tmp_path
):
    assert page.locator("#example-good").is_visible() and page.locator("#example-weak").is_visible()
    page.get_by_text("Settings").click()
    page.locator("#size input").click()
    page.get_by_role("option", name="512 × 512").click()
    page.get_by_role("tab", name="Video").click()
    page.locator("#video input[type=file]").set_input_files(short_weak_clip)
    page.wait_for_selector("#check-card .card.poor")
    assert page.locator("#check-card .tips li").count() >= 3
    page.wait_for_function("document.querySelector('#check-pictures img').naturalWidth > 0")
    cancel_frees_the_machine(page, server)
    page.get_by_label("Turbo").check()
    page.evaluate(NOTICE_PREVIEWS)
    page.get_by_role("button", name="Create anyway").click()
    page.wait_for_selector("#status:has-text('Done')")
    assert page.evaluate("window.previewsSeen")
    page.wait_for_selector("studio-head[data-drawn]")
    look_at_the_result(page)
    look_at_the_files(download(page, tmp_path), server)
    correct_the_tone(page)


def cancel_frees_the_machine(page, server):
    steps = page.locator("#inversion-steps input[type=number]")  # long enough for a busy browser to show it
    steps.fill("300")
    steps.press("Enter")
    page.get_by_role("button", name="Create anyway").click()
    page.wait_for_selector("#status .running:has-text('Inverting') .bar")
    page.locator("#cancel").click()
    pressed = time.monotonic()
    while health(server)["status"] == "busy":
        time.sleep(0.05)
    assert time.monotonic() - pressed < STOP_SECONDS
    page.wait_for_selector("#status:has-text('Stopped')")


def look_at_the_result(page):
    """The head is drawn, left of the divider in the phone's texture; account and tones are there; pictures have words."""
    assert page.locator("#tones .swatch").count() == 2
    assert "The phone saw" in page.locator("#account").inner_text()
    assert page.locator("img:not([alt]):visible, img[alt='']:visible").count() == 0
    canvas = page.locator("studio-head canvas")
    studio = picture_of(canvas)
    page.locator("studio-head .divider").press("End")
    assert studio.std() > 20 and comes(page, lambda: np.abs(picture_of(canvas) - studio).mean() > 0.5)


def download(page, folder) -> list[Path]:
    """Texture, head and archive."""
    saved = []
    for name in ("texture", "head", "archive"):
        with page.expect_download() as download:
            page.locator(f"#{name}-file").click()
        saved.append(folder / download.value.suggested_filename)
        download.value.save_as(saved[-1])
    assert [path.name for path in saved] == ["selfie_texture.png", "selfie_avatar.glb", "selfie_all.zip"]
    return saved


def look_at_the_files(files, server):
    """They are what was asked for, of one run, and the server keeps its own in private folders alone."""
    texture, avatar, archive = files
    assert Image.open(texture).convert("RGB").size == (512, 512)
    assert len(Glb(avatar).primitive["targets"]) == 52
    with zipfile.ZipFile(archive) as bundle:
        assert set(bundle.namelist()) == {
            f"selfie_{name}"
            for name in ("texture.png", "phone_texture.png", "provenance.png", "avatar.glb", "report.json")
        }
        assert bundle.read("selfie_texture.png") == texture.read_bytes()
        report = json.loads(bundle.read("selfie_report.json"))
    assert report["resolution"] == [512, 512] and set(report["skin_tone"]) == {"phone", "studio"}
    assert report["seen_by_region"]["face"] > report["seen_by_region"]["scalp"]
    kept = {path for path in server.temporary.rglob("*") if path.suffix in FACE_SUFFIXES}
    assert kept and all(
        path.relative_to(server.temporary).parts[0].startswith("studio-avatar-") for path in kept
    )


def correct_the_tone(page):
    """The same capture again in the visitor's tone: capture and inversion are not done again."""
    first = page.locator("studio-head").get_attribute("glb")
    page.locator("#tone-correction input[type=number]").fill("-30")
    page.locator("#tone-correction input[type=number]").press("Enter")
    page.locator("#other-hair input").click()
    page.get_by_role("option", name="Bob 1").click()
    page.locator("#make-again").click()
    page.wait_for_selector(f"studio-head:not([glb='{first}'])")
    again = page.locator("studio-head").get_attribute("glb")
    glb = page.evaluate("async (glb) => (await fetch(glb)).text()", again)
    assert '"style":"bob01"' in glb
    timings = page.locator("#account .timings:not(:has-text('Inverting'))").inner_text()
    assert "Relighting" in timings and "Capturing" not in timings


def test_logs_name_no_file_and_no_person(server):
    log = server.log.read_text()
    assert "selfie" not in log and "text.mp4" not in log and "Traceback" not in log
