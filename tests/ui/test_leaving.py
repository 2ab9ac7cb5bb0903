"""What is left of visitors who closed their pages: nothing, neither in memory nor on the disk."""

import contextlib
import time

import httpx
import pytest
from helpers.quick_demo import look_at_a_capture, open_page, quick_demo

from studio_avatar.results.settings import SETTINGS
from studio_avatar.ui import listeners
from studio_avatar.ui.sessions import LOCK_FILE

gradio = pytest.importorskip("gradio")
VISITORS = 6


@pytest.fixture
def served(monkeypatch):
    """The service and the address of its page, in this process."""
    with quick_demo(monkeypatch) as demo:
        yield demo.service, demo.url


def test_nothing_is_kept_of_who_left(served):
    service, url = served
    with contextlib.ExitStack() as pages:
        for number in range(VISITORS):
            pages.enter_context(open_page(url, f"visitor{number}"))
            look_at_a_capture(url, service, f"visitor{number}")
        assert len(service.sessions.captures) == len(service.alive) == VISITORS
        assert len(list(service.sessions.root.rglob("*.png"))) == 3 * VISITORS
    deadline = time.monotonic() + 30
    while (service.alive or list(service.sessions.root.rglob("*.*"))) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(service.alive) == len(service.sessions.captures) == 0
    # What is left is the server's own mark that the folder is in use; it knows nothing of anybody.
    left = [path.name for path in service.sessions.root.rglob("*") if path.is_file()]
    assert left == [LOCK_FILE] and not (service.sessions.root / LOCK_FILE).read_bytes()


def test_a_call_that_nobody_waits_for_stops(served, monkeypatch):
    monkeypatch.setattr(listeners, "GONE_SECONDS", 1.0)
    service, url = served
    uploaded = httpx.post(f"{url}/gradio_api/upload", files={"files": ("selfie.mp4", b"1")}).json()
    video = {"path": uploaded[0], "meta": {"_type": "gradio.FileData"}}
    settings = [setting.default for setting in SETTINGS.values()]
    called = httpx.post(f"{url}/gradio_api/call/create_avatar", json={"data": [video, *settings]})
    address = f"{url}/gradio_api/call/create_avatar/{called.json()['event_id']}"
    with httpx.stream("GET", address, timeout=30):
        assert not service.stopped.wait(2.5)
    assert service.stopped.wait(20)
