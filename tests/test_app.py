"""The web demo: its worker, its session folders, its words, and the served page driven as a client would."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from glb_reader import Glb
from PIL import Image

from studio_avatar.errors import InvalidInputError, NoFaceError
from studio_avatar.ui import presentation
from studio_avatar.ui.handlers import UNEXPECTED, AvatarService, user_sentence
from studio_avatar.ui.sessions import KEEP_SECONDS, SessionFolders
from studio_avatar.ui.worker import Done, StageProgress, follow

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "selfie.mp4"
START_SECONDS = 180  # a cold disk and a busy machine
FACE_SUFFIXES = {".mp4", ".png", ".glb", ".json", ".zip"}


# ---------------------------------------------------------------------------------------------- worker


def test_follow_yields_stages_and_then_the_result():
    def task(progress):
        for stage in ("one", "two"):
            progress(stage, 0.0)
            progress(stage, 1.0)
        return 42

    *stages, last = follow(task)
    assert last == Done(42)
    assert [update.stage for update in stages if update.fraction == 1.0] == ["one", "two"]


def test_follow_passes_the_tasks_own_error_on():
    def task(progress):
        progress("one", 0.5)
        raise NoFaceError("There is no face.")

    with pytest.raises(NoFaceError, match="There is no face."):
        list(follow(task))


def test_closing_follow_stops_the_task_at_its_next_report():
    stopped = threading.Event()
    steps = []

    def task(progress):
        try:
            for step in range(1000):
                steps.append(step)
                progress("work", step / 1000)
                time.sleep(0.01)
        finally:
            stopped.set()

    with closing(follow(task)) as updates:
        assert isinstance(next(updates), StageProgress)
    assert stopped.wait(5) and len(steps) < 500


def test_follow_yields_while_a_stage_says_nothing():
    release = threading.Event()

    def task(progress):
        progress("slow", 0.0)
        release.wait(10)

    with closing(follow(task)) as updates:
        assert [next(updates) for _ in range(3)] == [StageProgress("slow", 0.0)] * 3
        release.set()


# ---------------------------------------------------------------------------------------------- sessions


def test_a_session_folder_is_private_and_forgotten(tmp_path):
    sessions = SessionFolders()
    upload, example = sessions.root / "upload.mp4", tmp_path / "example.mp4"
    for path in (upload, example):
        path.write_bytes(b"1")
    sessions.adopt("a", [str(upload), str(example)])
    first, second = sessions.new("a"), sessions.new("b")
    assert sessions.root.stat().st_mode & 0o077 == 0
    (first / "face.png").write_bytes(b"1")
    sessions.forget("a")
    assert not first.exists() and second.exists()
    assert not upload.exists() and example.exists()


@pytest.mark.parametrize("name", ["../../outside", "/etc", "", "a/b"])
def test_a_session_name_cannot_leave_the_root(name):
    sessions = SessionFolders()
    assert sessions.new(name).resolve().parents[1] == sessions.root.resolve()


def test_old_sessions_are_swept():
    sessions = SessionFolders()
    old = sessions.new("old").parent
    past = time.time() - KEEP_SECONDS - 1
    os.utime(old, (past, past))
    sessions.new("fresh")
    assert not old.exists()


# ---------------------------------------------------------------------------------------------- words


def test_only_our_own_errors_reach_the_browser(caplog):
    assert user_sentence(InvalidInputError("Give one video.")) == "Give one video."
    assert user_sentence(RuntimeError("/secret/path")) == UNEXPECTED
    assert "/secret/path" in caplog.text


def test_the_service_refuses_before_it_loads_anything(tmp_path):
    def load(weights):
        raise AssertionError("the networks were loaded")

    service = AvatarService("anywhere", SessionFolders(), load)
    with pytest.raises(InvalidInputError):
        list(service.create([], None, "session"))


def test_the_stage_log_shows_what_is_done_and_what_runs():
    log = presentation.StageLog()
    log.add(StageProgress("landmarks", 1.0))
    log.add(StageProgress("invert", 0.25))
    html = log.html()
    assert '<li class="done">Finding the face</li>' in html
    assert 'class="running">Inverting' in html and "width:25%" in html


def test_findings_are_escaped_and_advice_is_shown_only_where_there_is_some():
    finding = {"name": "sharp<ness", "value": 0.123456, "unit": "%", "threshold": 0.5}
    html = presentation.findings_list(
        {
            "summary": "Weak & blurred.",
            "findings": [
                finding | {"verdict": "poor", "advice": "Hold <still>."},
                finding | {"verdict": "good", "advice": ""},
            ],
        }
    )
    assert "Weak &amp; blurred." in html and "Sharp&lt;ness" in html and "0.123 %" in html
    assert html.count('class="advice"') == 1 and "Hold &lt;still&gt;." in html
    assert '<div class="poor">' in html and '<div class="good">' in html


def test_the_overlay_tints_only_what_was_completed():
    texture = np.full((4, 4, 3), 100, np.uint8)
    seen = np.zeros((4, 4), np.float32)
    seen[:2] = 1.0
    overlay = np.asarray(presentation.provenance_overlay(texture, seen))
    assert (overlay[:2] == 100).all()
    assert (overlay[2:, :, 0] > 150).all() and (overlay[2:, :, 2] < 100).all()


# ---------------------------------------------------------------------------------------------- the served page


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The app in a process of its own, as `make app` starts it: its URL and its temporary folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    temporary = tmp_path_factory.mktemp("tmp")
    log = tmp_path_factory.mktemp("log") / "app.log"
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port), "TMPDIR": str(temporary)}
    environment.pop("GRADIO_TEMP_DIR", None)
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        _wait_for_port(port, process, log)
        yield f"http://127.0.0.1:{port}", temporary
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    assert list(temporary.glob("studio-avatar-*")) == []  # faces do not outlive the server


def _wait_for_port(port: int, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.3)
    raise AssertionError(f"The app did not start: {log.read_text()}")


@pytest.fixture(scope="module")
def client(server, tmp_path_factory):
    gradio_client = pytest.importorskip("gradio_client")
    client = gradio_client.Client(
        server[0], verbose=False, download_files=str(tmp_path_factory.mktemp("downloads"))
    )
    yield client
    client.close()


def test_one_public_endpoint(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert list(endpoints) == ["/create_avatar"]
    assert [value["label"] for value in endpoints["/create_avatar"]["returns"]] == [
        "texture", "avatar", "report", "archive",
    ]  # fmt: skip
    names = [value["parameter_name"] for value in endpoints["/create_avatar"]["parameters"]]
    assert names == ["video", "seed", "steps", "inversion_steps", "guidance"]


def test_the_api_call_returns_the_result_files(client, server):
    from gradio_client import handle_file

    texture, avatar, report, archive = client.predict(
        handle_file(EXAMPLE), seed=3, steps=2, inversion_steps=20, api_name="/create_avatar"
    )
    assert Image.open(texture).size == (1024, 1024)
    assert len(Glb(avatar).primitive["targets"]) == 52
    assert json.loads(Path(report).read_text())["seed"] == 3
    with zipfile.ZipFile(archive) as bundle:
        assert set(bundle.namelist()) == {
            "texture.png", "phone_texture.png", "provenance.png", "avatar.glb", "report.json",
        }  # fmt: skip
        assert bundle.read("texture.png") == Path(texture).read_bytes()
    kept = {path for path in server[1].rglob("*") if path.suffix in FACE_SUFFIXES}
    assert kept and all(path.relative_to(server[1]).parts[0].startswith("studio-avatar-") for path in kept)


def test_a_text_file_is_one_readable_sentence(client, tmp_path):
    from gradio_client import handle_file
    from gradio_client.exceptions import AppError

    text = tmp_path / "text.mp4"
    text.write_text("hello, I am no video\n" * 100)
    with pytest.raises(AppError) as error:
        client.predict(handle_file(text), api_name="/create_avatar")
    message = str(error.value)
    assert message.endswith(".") and "Traceback" not in message and "text.mp4" in message
    assert str(tmp_path) not in message and len(message) < 200


def test_no_file_is_one_readable_sentence(client):
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError, match="Give one video"):
        client.predict(None, api_name="/create_avatar")


def test_other_files_of_the_server_are_not_served(server):
    import httpx

    for path in ("/etc/hostname", str(ROOT / "pyproject.toml")):
        assert httpx.get(f"{server[0]}/gradio_api/file={path}").status_code in (403, 404)


def test_the_page_asks_nothing_of_other_servers(server):
    import httpx

    page = httpx.get(server[0]).text
    assert "Create avatar" in page
    assert "fonts.googleapis.com" not in page and "fonts.gstatic.com" not in page
