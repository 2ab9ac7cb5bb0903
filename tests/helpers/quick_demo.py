"""A demo that looks at captures in no time, in this process, and clients that do over HTTP what its page does."""

import contextlib
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import numpy as np

from studio_avatar.ui.service import AvatarService, CaptureCheck
from studio_avatar.ui.sessions import SessionFolders
from studio_avatar.ui.worker import Done, StageProgress

FINDINGS = {
    "verdict": "good",
    "frames_used": 1,
    "frames_sampled": 1,
    "frames_rejected": {},
    "findings": [],
    "advice": [],
}


class Phone:
    """Stands for a `PhoneTexture`: large, and it can be watched."""

    def __init__(self):
        self.rgb = np.zeros((64, 64, 3), np.float32)


class QuickService(AvatarService):
    """Looks at a capture in no time, and knows which of its captures are still in memory."""

    def __init__(self, sessions):
        super().__init__("nowhere", sessions, lambda weights: None)
        self.alive = weakref.WeakSet()
        self.stopped = threading.Event()
        self.held = False  # whether checks, too, never end

    def create(self, paths, settings, session, check=None, earlier=None):
        """Never ends by itself."""
        try:
            while True:
                time.sleep(0.05)
                yield StageProgress("invert", 0.5)
        finally:
            self.stopped.set()

    def check(self, paths, size, session):
        phone, folder = Phone(), self.sessions.new(session)
        self.alive.add(phone)
        pictures = [folder / f"{name}.png" for name in ("sheet", "phone", "seen")]
        for picture in pictures:
            picture.write_bytes(b"1")
        while self.held:
            time.sleep(0.05)
            yield StageProgress("fit", 0.5)
        yield Done(CaptureCheck(tuple(paths), phone, FINDINGS, 0.1, *pictures))


@dataclass(frozen=True)
class QuickDemo:
    """A served demo: its service, where it is, and what runs behind it."""

    service: QuickService
    url: str
    demo: object


@contextlib.contextmanager
def quick_demo(monkeypatch) -> Iterator[QuickDemo]:
    """The page and its endpoints on a free port of this machine."""
    from studio_avatar.ui.app import build_app
    from studio_avatar.ui.server import app_arguments

    sessions = SessionFolders()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(sessions.root))
    service = QuickService(sessions)
    demo = build_app(service, lambda function: function)
    page = demo.blocks
    page.queue(max_size=20)
    page.launch(
        prevent_thread_lock=True, quiet=True, ssr_mode=False, _frontend=False,
        app_kwargs=app_arguments(service, demo),
        server_name="127.0.0.1",
    )  # fmt: skip
    yield QuickDemo(service, page.local_url.rstrip("/"), demo)
    page.close()


def upload(url: str, client=httpx, content: bytes = b"1") -> dict:
    """A file as a call names it, after its upload."""
    (path,) = client.post(f"{url}/gradio_api/upload", files={"files": ("selfie.mp4", content)}).json()
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def begin_a_check(url: str, session: str, client=httpx, content: bytes | None = None) -> dict:
    """What the page does when a video was chosen; the upload.

    content: of the video, or None for some that nobody else has. client: an `httpx.Client`, which keeps cookies as a
    browser does, or httpx itself, which keeps none.
    """
    config = client.get(f"{url}/config").json()
    video = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == "video")
    event = next(d for d in config["dependencies"] if [video, "change"] in d["targets"])
    file = upload(url, client, content or session.encode())
    values = [None, file, None, None, 512]
    body = {"fn_index": event["id"], "session_hash": session, "data": values, "trigger_id": video}
    # Which tab is open is a state of the session: the second tab is the video's.
    _, select, *_ = (
        d["id"] for d in config["dependencies"] if any(name == "select" for _, name in d["targets"])
    )
    client.post(
        f"{url}/gradio_api/run/predict", json={"fn_index": select, "session_hash": session, "data": []}
    )
    assert client.post(f"{url}/gradio_api/queue/join", json=body).status_code == 200
    return file


def look_at_a_capture(url: str, session: str, client=httpx) -> str:
    """`begin_a_check` to its end; the last answer, as JSON."""
    begin_a_check(url, session, client)
    with client.stream("GET", f"{url}/gradio_api/queue/data?session_hash={session}", timeout=60) as answer:
        last = [line for line in answer.iter_lines() if "process_completed" in line]
    assert '"success":true' in last[0]
    return last[0]


@contextlib.contextmanager
def open_page(url: str, session: str, client=httpx):
    """A page's heartbeat; gradio takes its end for the page's."""
    opened, leave = threading.Event(), threading.Event()

    def stay():
        with client.stream("GET", f"{url}/gradio_api/heartbeat/{session}", timeout=60) as answer:
            lines = answer.iter_lines()  # kept: a forgotten generator closes the answer
            next(lines)
            opened.set()
            leave.wait(60)

    thread = threading.Thread(target=stay, daemon=True)
    thread.start()
    assert opened.wait(30)
    yield
    leave.set()
    thread.join()
