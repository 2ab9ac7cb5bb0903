"""What is left of visitors who closed their pages: nothing, neither in memory nor on the disk."""

import contextlib
import json
import re
import time
from pathlib import Path

import httpx
import pytest
from helpers.demo_server import wait_until
from helpers.quick_demo import begin_a_check, look_at_a_capture, open_page, quick_demo, upload

from studio_avatar.results.settings import SETTINGS
from studio_avatar.ui import calls, listeners, sessions
from studio_avatar.ui.sessions import LOCK_FILE
from studio_avatar.ui.shares import MOST_RUNS

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
            look_at_a_capture(url, f"visitor{number}")
        assert len(service.sessions.captures) == len(service.alive) == VISITORS
        assert len(list(service.sessions.root.rglob("*.png"))) == 3 * VISITORS
    deadline = time.monotonic() + 30
    while (service.alive or list(service.sessions.root.rglob("*.*"))) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(service.alive) == len(service.sessions.captures) == 0
    assert what_is_left(service) == [LOCK_FILE] and not (service.sessions.root / LOCK_FILE).read_bytes()


def what_is_left(service) -> list[str]:
    """Files and folders; the server's own mark that the folder is in use knows nothing of anybody."""
    return [str(path.relative_to(service.sessions.root)) for path in service.sessions.root.rglob("*")]


def test_a_call_that_nobody_waits_for_stops(served, monkeypatch):
    monkeypatch.setattr(listeners, "GONE_SECONDS", 1.0)
    service, url = served
    video = upload(url)
    settings = [setting.default for setting in SETTINGS.values()]
    called = httpx.post(f"{url}/gradio_api/call/create_avatar", json={"data": [video, *settings]})
    address = f"{url}/gradio_api/call/create_avatar/{called.json()['event_id']}"
    with httpx.stream("GET", address, timeout=30):
        assert not service.stopped.wait(2.5)
    assert service.stopped.wait(20)


def answer_of(url: str, called) -> str:
    address = f"{url}/gradio_api/call/check_capture/{called.json()['event_id']}"
    return httpx.get(address, timeout=30).text


def test_what_a_call_made_goes_minutes_after_it_was_told(served, monkeypatch):
    service, url = served
    called = httpx.post(f"{url}/gradio_api/call/check_capture", json={"data": [upload(url), 512]})
    result = json.loads(re.search("event: complete\ndata: (.*)", answer_of(url, called))[1])[1]
    service.sessions.sweep()
    assert httpx.get(result["url"]).content == b"1"
    monkeypatch.setattr(calls, "KEEP_SECONDS", 0.0)
    monkeypatch.setattr(sessions, "EMPTY_SECONDS", 0.0)
    service.sessions.sweep()
    assert httpx.get(result["url"]).status_code in (403, 404)
    assert what_is_left(service) == [LOCK_FILE]


def test_a_call_past_the_queue_is_refused(served):
    """Nobody could tell whether its caller still waits."""
    _, url = served
    refused = httpx.post(f"{url}/gradio_api/run/check_capture", json={"data": [upload(url), 512]})
    assert refused.status_code == 404 and "join the queue" in refused.text


def waiting(url: str) -> int:
    return httpx.get(f"{url}/health").json()["waiting"]


def test_who_leaves_while_queued_makes_room_and_leaves_nothing(served, monkeypatch):
    monkeypatch.setattr(listeners, "GONE_SECONDS", 0.5)
    service, url = served
    service.held = True
    with open_page(url, "first"):
        kept = begin_a_check(url, "first")
        with open_page(url, "second"):
            left = begin_a_check(url, "second")
            wait_until(lambda: waiting(url) == 1, 20)
        wait_until(lambda: waiting(url) == 0 and not Path(left["path"]).exists(), 20)
        called = httpx.post(f"{url}/gradio_api/call/check_capture", json={"data": [upload(url), 512]})
        address = f"{url}/gradio_api/call/check_capture/{called.json()['event_id']}"
        with httpx.stream("GET", address, timeout=30):
            wait_until(lambda: waiting(url) == 1, 20)
        wait_until(lambda: waiting(url) == 0, 20)
        assert Path(kept["path"]).exists()
    service.held = False


def test_one_address_has_a_share_of_the_calls(served):
    service, url = served
    service.held = True

    def call(address: str):
        asked = {"x-forwarded-for": address}
        return httpx.post(
            f"{url}/gradio_api/call/check_capture", json={"data": [upload(url), 512]}, headers=asked
        )

    mine = [call("203.0.113.5") for _ in range(MOST_RUNS)]
    wait_until(lambda: waiting(url) == MOST_RUNS - 1, 20)
    assert "already have 4 runs here" in answer_of(url, call("203.0.113.5"))
    others = call("203.0.113.6")
    wait_until(lambda: waiting(url) == MOST_RUNS, 20)
    service.held = False
    assert all("event: complete" in answer_of(url, called) for called in (*mine, others))
