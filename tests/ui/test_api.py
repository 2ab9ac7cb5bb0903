"""The endpoints as programs call them: names, queue, and the README's examples, on a stand-in for the networks."""

import inspect
import re
import shutil
import subprocess

import httpx
import pytest
from helpers.demo_server import GOOD_CAPTURE, ROOT, wait_until
from helpers.standin_demo import StandInService, stand_in_demo

from studio_avatar.results.settings import SETTINGS
from studio_avatar.ui.service import AvatarService

gradio_client = pytest.importorskip("gradio_client")
PATIENCE = 60  # seconds; a busy machine


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    """With room for one waiting call."""
    with stand_in_demo(tmp_path_factory.mktemp("demo"), longest_queue=1) as demo:
        yield demo


@pytest.fixture
def connect(stand_in, tmp_path):
    """Makes clients of the endpoints."""
    clients = []

    def client():
        clients.append(gradio_client.Client(stand_in.url, verbose=False, download_files=str(tmp_path)))
        return clients[-1]

    yield client
    stand_in.service.held = False
    for client in clients:
        client.close()


def test_the_stand_in_takes_what_the_service_takes():
    """The page's tests make avatars with the service itself, by the very methods that the endpoints call."""
    for name in ("check", "create"):
        theirs, ours = (inspect.signature(getattr(kind, name)) for kind in (AvatarService, StandInService))
        assert list(theirs.parameters) == list(ours.parameters)


def test_the_endpoints_are_named_typed_and_described(connect, stand_in):
    endpoints = connect().view_api(return_format="dict")["named_endpoints"]
    assert {
        name: ([p["parameter_name"] for p in entry["parameters"]], [r["label"] for r in entry["returns"]])
        for name, entry in endpoints.items()
    } == {
        "/create_avatar": (["video", *SETTINGS], ["texture", "avatar", "report", "archive"]),
        "/check_capture": (["video", "size"], ["report", "contact_sheet", "phone_texture", "seen"]),
        "/texture": (["phone_texture", "seen", *SETTINGS], ["texture"]),
    }
    described = httpx.get(f"{stand_in.url}/gradio_api/info", timeout=PATIENCE).json()["named_endpoints"]
    assert all(len(entry["description"]) > 40 for entry in described.values())
    assert all(
        p["type"]["type"] for entry in described.values() for p in entry["parameters"] if "type" in p["type"]
    )


def test_the_api_page_shows_calls_with_a_video(stand_in):
    described = httpx.get(f"{stand_in.url}/gradio_api/info", timeout=PATIENCE).json()["named_endpoints"]
    files = {
        name: [p["example_input"]["path"] for p in entry["parameters"] if p["component"] == "File"]
        for name, entry in described.items()
    }
    assert files == {
        "/create_avatar": ["selfie.mp4"],
        "/check_capture": ["selfie.mp4"],
        "/texture": ["phone_texture.png", "seen.png"],
    }


@pytest.mark.parametrize(
    "file, sentence",
    [
        ({"path": "/etc/hostname", "meta": {"_type": "gradio.FileData"}}, "not uploaded here"),
        ({"path": "selfie.mp4", "meta": {"_type": "gradio.FileData"}}, "not uploaded here"),
        ({"path": "selfie.mp4"}, "cannot be read"),
        ("selfie.mp4", "cannot be read"),
        ([7], "cannot be read"),
    ],
)
def test_a_file_that_is_refused_says_why(stand_in, capfd, file, sentence):
    call = f"{stand_in.url}/gradio_api/call/check_capture"
    event = httpx.post(call, json={"data": [file, 512]}, timeout=PATIENCE).json()["event_id"]
    answer = httpx.get(f"{call}/{event}", timeout=PATIENCE).text
    assert "event: error" in answer and sentence in answer and "/gradio_api/upload" in answer
    printed = capfd.readouterr()
    assert "Traceback" not in printed.err and "hostname" not in printed.err  # logs name no file


def test_progress_reaches_the_caller_and_a_full_queue_says_so(connect, stand_in):
    from gradio_client.exceptions import AppError

    call = {"video": gradio_client.handle_file(GOOD_CAPTURE), "api_name": "/create_avatar"}
    first, second, third = connect(), connect(), connect()
    stand_in.service.held = True
    running = first.submit(**call)
    wait_until(
        lambda: [unit.desc for unit in running.status().progress_data or []] == ["Inverting"], PATIENCE
    )
    waiting = second.submit(**call)
    wait_until(lambda: httpx.get(f"{stand_in.url}/health", timeout=PATIENCE).json()["waiting"] == 1, PATIENCE)
    with pytest.raises(AppError, match="Too many people are waiting"):
        third.predict(**call)
    waiting.cancel()
    wait_until(lambda: httpx.get(f"{stand_in.url}/health", timeout=PATIENCE).json()["waiting"] == 0, PATIENCE)
    stand_in.service.held = False
    assert len(running.result(timeout=PATIENCE)) == 4


def readme_snippet(language: str) -> str:
    section = (ROOT / "README.md").read_text().split("\n## API\n")[1].split("\n## ")[0]
    (snippet,) = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    return snippet


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder of somebody who has filmed a selfie."""
    (tmp_path / "selfie.mp4").symlink_to(GOOD_CAPTURE)
    monkeypatch.chdir(tmp_path)


def test_the_readme_s_python_works_as_written(stand_in, folder, capsys):
    exec(readme_snippet("python").replace("http://127.0.0.1:7860", stand_in.url), {})
    verdict, paths = capsys.readouterr().out.strip().splitlines()
    assert verdict.startswith("good") and "avatar.glb" in paths
    assert (stand_in.service.created[-1][1].steps, stand_in.service.created[-1][1].inversion_steps) == (1, 10)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_readme_s_shell_works_as_written(stand_in, folder):
    code = readme_snippet("bash").replace("http://127.0.0.1:7860", stand_in.url)
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert "event: complete" in done.stdout and "avatar.glb" in done.stdout
    assert (stand_in.service.created[-1][1].steps, stand_in.service.created[-1][1].inversion_steps) == (1, 10)
