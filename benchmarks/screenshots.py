"""Pictures of every state of the web demo: `python benchmarks/screenshots.py` writes docs/screenshots/.

Needs Debian's Chromium and playwright (extra `dev`). Runs the demo as it is, with the examples; takes some minutes.
"""

import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from helpers.demo_server import GOOD_CAPTURE, fake_camera, launch_chromium, running_server  # noqa: E402

OUT = ROOT / "docs" / "screenshots"
WELCOME = (
    ROOT / "studio_avatar" / "ui" / "static" / "welcome.jpg"
)  # the page's first picture is the example's avatar
DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
PATIENCE_MS = 300_000


class Photographer:
    """A visitor who saves what the page looks like and then leaves."""

    def __init__(self, browser, url: str, viewport: dict, dark: bool = False):
        self.browser, self.url = browser, url
        phone = {"has_touch": True, "is_mobile": True} if viewport is PHONE else {}
        self.context = browser.new_context(
            viewport=viewport, color_scheme="dark" if dark else "light", permissions=["camera", "microphone"],
            reduced_motion="reduce", **phone,
        )  # fmt: skip
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.goto(url)
        self.page.wait_for_selector("#create")
        self.page.wait_for_timeout(1000)

    def __enter__(self) -> "Photographer":
        return self

    def __exit__(self, *error) -> None:
        self.context.close()

    def take(self, name: str, full_page: bool = False) -> None:
        path = OUT / f"{name}.jpg"
        self.page.screenshot(path=path, type="jpeg", quality=45 if full_page else 78, full_page=full_page)
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e3:.0f} kB")

    def wait(self, selector: str) -> None:
        self.page.wait_for_selector(selector)
        self.page.wait_for_timeout(700)


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    with served() as (browser, url):
        for visit, viewport in (
            (good_capture, DESKTOP),
            (weak_capture, DESKTOP),
            (photo_on_a_phone, PHONE),
        ):
            with Photographer(browser, url, viewport, dark=viewport is PHONE) as visitor:
                visit(visitor)
    with served() as (browser, url):  # started again: its first picture is the one taken just now
        for suffix, viewport in (("", DESKTOP), ("_phone_dark", PHONE)):
            with Photographer(browser, url, viewport, dark=viewport is PHONE) as visitor:
                first_look(visitor, suffix)


@contextmanager
def served():
    """A browser, and the address of a demo of its own."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder)) as server,
        sync_playwright() as playwright,
    ):
        browser = launch_chromium(playwright, fake_camera(GOOD_CAPTURE, Path(folder)))
        yield browser, server.url
        browser.close()


def first_look(visitor: Photographer, suffix: str) -> None:
    visitor.take(f"welcome{suffix}")
    visitor.page.get_by_text("Click to Access Webcam").click()
    visitor.wait("#camera-guide")
    visitor.page.wait_for_timeout(1500)
    visitor.take(f"camera{suffix}")
    visitor.page.get_by_role("button", name="Move this head").click()
    visitor.wait("studio-head .consent:not([hidden])")
    visitor.page.locator("studio-head .agree").scroll_into_view_if_needed()
    visitor.take(f"mirror_asks{suffix}")
    visitor.page.locator("studio-head .agree").click()
    visitor.page.wait_for_function("document.querySelector('studio-head').mirror.wanted")
    visitor.page.wait_for_timeout(1500)
    visitor.take(f"mirror{suffix}")


def weak_capture(visitor: Photographer) -> None:
    visitor.page.locator("#example-weak").click()
    visitor.wait("#check-card .card")
    visitor.take("check_weak")
    visitor.page.get_by_role("tab", name="Photos").click()
    visitor.page.locator("#photos input[type=file]").set_input_files(ROOT / "LICENSE")
    visitor.wait(".toast-body")
    visitor.take("error")


def good_capture(visitor: Photographer) -> None:
    visitor.page.locator("#example-good").click()
    visitor.wait("#status .bar")
    visitor.take("checking")
    with Photographer(visitor.browser, visitor.url, PHONE) as second:
        second.page.locator("#example-weak").click()
        second.wait("#status .waiting:has-text('before you')")
        second.take("queue_phone")
    visitor.wait("#previews img >> nth=1")
    visitor.take("working")
    show_result(visitor)
    visitor.take("result")
    visitor.page.locator("studio-head .light").select_option("Bare lamp")
    visitor.page.locator("studio-head .azimuth").fill("65")
    visitor.page.locator("studio-head .face").select_option("Smile")
    visitor.page.wait_for_timeout(700)
    visitor.take("result_lamp")
    visitor.page.add_style_tag(content="studio-head .corner { display: none !important; }")
    visitor.page.locator("studio-head .stage").screenshot(path=WELCOME, type="jpeg", quality=82)
    visitor.page.locator("studio-compare .view").select_option("light")
    visitor.page.wait_for_timeout(700)
    visitor.take("result_whole", full_page=True)


def photo_on_a_phone(visitor: Photographer) -> None:
    visitor.page.locator("#example-person-1").click()
    visitor.wait("#status .bar")
    visitor.take("working_phone_dark")
    show_result(visitor)
    visitor.take("result_phone_dark")
    visitor.page.locator("studio-compare").scroll_into_view_if_needed()
    visitor.page.locator("studio-compare .view").select_option("kept")
    visitor.page.wait_for_timeout(700)
    visitor.take("kept_phone_dark")


def show_result(visitor: Photographer) -> None:
    visitor.wait("studio-head[data-drawn]")
    visitor.page.locator("studio-head .turning").uncheck()
    canvas = visitor.page.locator("studio-head canvas")
    canvas.press("ArrowLeft")  # the head stops swaying
    visitor.page.evaluate("document.querySelector('studio-head').state.yaw = -12")
    visitor.page.locator("studio-head .azimuth").fill("-35")
    canvas.blur()
    visitor.page.wait_for_timeout(700)


if __name__ == "__main__":
    main()
