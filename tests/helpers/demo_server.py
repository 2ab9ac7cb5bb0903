"""The demo as its users meet it: the app in a process of its own, and Debian's Chromium."""

import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
GOOD_CAPTURE = ROOT / "examples" / "selfie.mp4"
WEAK_CAPTURE = ROOT / "examples" / "weak_selfie.mp4"
CHROMIUM = Path("/usr/bin/chromium")
# WebGL without a graphics card; a camera that needs no permission
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)
CAMERA_SIZE, CAMERA_FRAMES = (360, 640), 60
START_SECONDS = 180  # a cold disk and a busy machine


@dataclass(frozen=True)
class Server:
    """url: of the page; pid: of the process; temporary: its TMPDIR; log: what it printed."""

    url: str
    pid: int
    temporary: Path
    log: Path


@contextmanager
def running_server(folder: Path, *options: str, **environment: str) -> Iterator[Server]:
    """`python app.py` with `options`, its temporary files and log in `folder`; ended by SIGTERM."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    temporary, log = folder / "tmp", folder / "app.log"
    temporary.mkdir()
    variables = os.environ | {"TMPDIR": str(temporary), **environment}
    variables.pop("GRADIO_TEMP_DIR", None)
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "app.py", "--port", str(port), *options],
            cwd=ROOT, env=variables, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        _wait_for_port(port, process, log)
        yield Server(f"http://127.0.0.1:{port}", process.pid, temporary, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def _wait_for_port(port: int, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.3)
    raise AssertionError(f"The app did not start: {log.read_text()}")


def launch_chromium(playwright, *flags: str):
    """Debian's Chromium, headless."""
    return playwright.chromium.launch(executable_path=str(CHROMIUM), args=[*CHROMIUM_FLAGS, *flags])


def fake_camera(capture: Path, folder: Path) -> str:
    """The flag that makes Chromium's camera show the beginning of `capture`, decoded to a Y4M file in `folder`."""
    import av

    target, (width, height) = folder / "camera.y4m", CAMERA_SIZE
    with av.open(str(capture)) as source, target.open("wb") as clip:
        clip.write(f"YUV4MPEG2 W{width} H{height} F15:1 Ip A1:1 C420jpeg\n".encode())
        for frame in islice(source.decode(video=0), 0, CAMERA_FRAMES, 2):
            small = frame.reformat(width=width, height=height, format="yuv420p")
            clip.write(b"FRAME\n" + small.to_ndarray().tobytes())
    return f"--use-file-for-fake-video-capture={target}"


def open_demo(page, url: str, patience_ms: int) -> list[str]:
    """Go to the demo in a new browser page; the list that is returned gets every request that leaves the machine."""
    strangers = []
    page.set_default_timeout(patience_ms)
    page.on("request", lambda request: strangers.append(request.url)
            if not request.url.startswith((url, "data:", "blob:")) else None)  # fmt: skip
    page.goto(url)
    page.wait_for_selector("#create")
    return strangers


def wait_until(condition, seconds: float) -> None:
    """Until it is so, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def picture_of(locator) -> np.ndarray:
    """(H, W, 3) float32: what an element of the page looks like, in [0, 255]."""
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("RGB"), np.float32)


def comes(page, condition) -> bool:
    """Whether it is so a moment after the click, when the page has settled; on a busy machine it gets longer."""
    for _ in range(20):
        page.wait_for_timeout(300)
        if condition():
            return True
    return False
