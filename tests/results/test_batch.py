"""Many photos on one process, and on two that go on from what a killed one left; tiny networks, real captures."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import av
import pytest
from PIL import Image

from studio_avatar.cli.main import main
from studio_avatar.errors import InvalidInputError
from studio_avatar.imaging.files import remove_staging
from studio_avatar.results.batch import NO_CAPTURE, SUMMARY_FILE, Job, find_jobs, find_left_out, is_finished
from studio_avatar.results.folder import ResultFiles
from studio_avatar.results.settings import CreationSettings
from studio_avatar.weights.locate import weights_revision

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "selfie.mp4"
FRAMES = (0, 6, 12)
FAST = ["--size", "128", "--inversion-steps", "1", "--steps", "1"]
SETTINGS = CreationSettings(size=128, inversion_steps=1, steps=1)
LAUNCH = (
    "-m",
    "accelerate.commands.launch",
    "--multi_gpu",
    "--num_processes",
    "2",
    "--main_process_port",
    "0",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three photos of the example, a broken video and a file that is neither.

    The video comes last by name: of two processes each then has two files, and makes one photo's avatar after a kill.
    """
    folder = tmp_path_factory.mktemp("captures")
    with av.open(str(EXAMPLE)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in FRAMES:
                frame.to_image().save(folder / f"person_{number:02d}.png")
    (folder / "torn.mp4").write_bytes(EXAMPLE.read_bytes()[:3000])
    (folder / "notes.txt").write_text("no capture")
    return folder


@pytest.fixture(scope="module")
def one_process(folder, tiny_weights, tmp_path_factory):
    output = tmp_path_factory.mktemp("one") / "out"
    assert (
        main(["batch", str(folder), "-o", str(output), "--weights", str(tiny_weights), "--quiet", *FAST]) == 0
    )
    return output


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def result_bytes(output: Path) -> dict[str, bytes]:
    """Everything but timings, by path."""
    found = {}
    for path in sorted(output.rglob("*")):
        if path.name == "report.json":
            report = json.loads(path.read_text())
            found[path.relative_to(output).as_posix()] = json.dumps({**report, "timings": None}).encode()
        elif path.is_file() and path.name != SUMMARY_FILE:
            found[path.relative_to(output).as_posix()] = path.read_bytes()
    return found


def test_every_capture_has_a_line_and_a_folder(one_process, folder):
    reports = lines((one_process / SUMMARY_FILE).read_text())
    people = [f"person_{n:02d}.png" for n in FRAMES]
    assert [report["video"] for report in reports] == [*people, "torn.mp4", "notes.txt"]
    *rest, torn, notes = reports
    assert notes["status"] == "left out" and notes["error"] == NO_CAPTURE
    assert torn["status"] == "failed" and torn["folder"] is None and torn["error"].endswith(".")
    for report in rest:
        assert report["status"] == "done" and 0 < report["seen_share"] < 1 and report["error"] is None
        assert {path.name for path in (one_process / report["folder"]).iterdir()} == ResultFiles.names()
    assert {path.name for path in one_process.iterdir()} == {SUMMARY_FILE, *(r["folder"] for r in rest)}


def left_by_a_killed_process(one_process: Path, output: Path) -> Path:
    """What a process leaves on the disk that was killed in its second photo; the report of its first.

    Folders appear whole, by one renaming (`new_folder`), so that nothing else can be there.
    """
    shutil.copytree(one_process / "person_00", output / "person_00")  # with its times
    (output / f".{FRAMES[0]}").mkdir()  # not ours
    (output / ".person_12.0123456789ab").mkdir()
    return output / "person_00" / "report.json"


def test_two_processes_go_on_from_a_killed_one_and_give_the_same_bytes(
    folder, tiny_weights, one_process, tmp_path
):
    output = tmp_path / "out"
    finished = left_by_a_killed_process(one_process, output)
    written = finished.stat().st_mtime_ns
    arguments = ["-m", "studio_avatar", "batch", folder, "-o", output, "--weights", tiny_weights, *FAST]
    done = subprocess.run(
        [sys.executable, *LAUNCH, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    reports = {report["video"]: report for report in lines(done.stdout)}
    assert reports.pop("notes.txt")["status"] == "left out"
    assert len(reports) == len(FRAMES) + 1
    statuses = [report["status"] for report in reports.values()]
    assert statuses.count("failed") == statuses.count("skipped") == 1 and statuses.count("done") == 2
    assert reports["person_00.png"]["status"] == "skipped" and finished.stat().st_mtime_ns == written
    assert [line["video"] for line in lines((output / SUMMARY_FILE).read_text())] == [
        *sorted(reports),
        "notes.txt",
    ]
    assert result_bytes(output) == result_bytes(one_process)
    assert {path.name for path in output.glob(".*")} == {f".{FRAMES[0]}"}


def test_a_finished_result_is_one_of_the_same_settings_weights_and_video(
    one_process, folder, tiny_weights, tmp_path
):
    job = Job(folder / "person_00.png", one_process / "person_00")
    revision = weights_revision(str(tiny_weights))
    assert is_finished(job, SETTINGS, revision)
    assert not is_finished(job, dataclasses.replace(SETTINGS, seed=1), revision)
    assert not is_finished(job, SETTINGS, "other weights")
    newer = tmp_path / "person_00.png"
    newer.write_bytes(job.source.read_bytes())
    assert not is_finished(Job(newer, job.target), SETTINGS, revision)
    assert not is_finished(Job(job.source, tmp_path / "nowhere"), SETTINGS, revision)


def test_equal_stems_keep_their_suffix(tmp_path):
    for name in ("a.mp4", "a.MOV", "b.jpg", ".hidden.mp4", "c.txt"):
        (tmp_path / name).touch()
    (tmp_path / "d.mp4").mkdir()
    jobs = find_jobs(tmp_path, Path("out"))
    assert [job.target.name for job in jobs] == ["a.MOV", "a.mp4", "b"]


def test_captures_are_found_by_content_and_the_rest_has_a_line(tmp_path):
    Image.new("RGB", (80, 80)).save(tmp_path / "a.JPG_large", format="JPEG")
    (tmp_path / "clip").write_bytes(EXAMPLE.read_bytes())
    for suffix in ("mts", "m2ts", "ts", "wmv", "flv", "mpg", "3g2", "ogv", "gif", "jfif"):
        (tmp_path / f"x.{suffix}").touch()  # gets a job, whose line will say that it is empty
    (tmp_path / "list.txt").write_text("#EXTM3U\nclip\n")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "raw.dng").write_bytes(b"II*\0")
    assert len(find_jobs(tmp_path, Path("out"))) == 12
    lines = {report.video: report.error for report in find_left_out(tmp_path)}
    assert lines == {
        "list.txt": "list.txt is a playlist, not a video: please give the video file that it names.",
        "empty.txt": "empty.txt is empty (0 bytes): please record or copy it again.",
        "raw.dng": "raw.dng is a raw photo, which is not supported: please export a JPEG of it.",
    }


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_a_folder_without_captures_is_a_sentence(name, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInputError):
        find_jobs(tmp_path / name, tmp_path)


def test_only_staging_of_the_same_target_is_removed(tmp_path):
    for name in (".a.0123456789ab", ".b.0123456789ab", ".a.txt", "a"):
        (tmp_path / name).mkdir()
    remove_staging(tmp_path / "a")
    assert {path.name for path in tmp_path.iterdir()} == {".b.0123456789ab", ".a.txt", "a"}


def test_a_lone_process_under_accelerate_is_told(monkeypatch, capsys):
    for name, value in {"ACCELERATE_MIXED_PRECISION": "no", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("RANK", raising=False)
    from studio_avatar.cli.commands.batch import _warn_of_lone_process

    _warn_of_lone_process()
    assert "--multi_gpu" in capsys.readouterr().err
