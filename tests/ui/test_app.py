"""The parts of the web demo, without networks and without a browser."""

import gc
import os
import re
import resource
import socket
import ssl
import subprocess
import sys
import threading
import time
import weakref
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from helpers.demo_server import ROOT, WEAK_CAPTURE
from PIL import Image

from studio_avatar.cli.main import main
from studio_avatar.errors import InvalidInputError, NoFaceError
from studio_avatar.pipeline.skin_tone import SkinTone
from studio_avatar.results.settings import PRESETS, CreationSettings
from studio_avatar.results.summary import what_was_invented
from studio_avatar.ui import presentation, server
from studio_avatar.ui.progress import SHARED, RunProgress, expected_seconds
from studio_avatar.ui.sentences import UNEXPECTED, user_sentence
from studio_avatar.ui.server import ServerOptions, launch, secured
from studio_avatar.ui.service import AvatarService, file_stem
from studio_avatar.ui.sessions import (
    BROKEN_SECONDS,
    KEEP_SECONDS,
    UNASKED_SECONDS,
    HeldCaptures,
    SessionFolders,
)
from studio_avatar.ui.worker import Done, Ready, StageProgress, follow

# ---------------------------------------------------------------------------------------------- worker


def test_follow_yields_stages_and_then_the_result():
    def task(report):
        for stage in ("one", "two"):
            report(StageProgress(stage, 0.0))
            report(StageProgress(stage, 1.0))
        return 42

    *stages, last = follow(task)
    assert last == Done(42)
    assert [update.stage for update in stages if update.fraction == 1.0] == ["one", "two"]


def test_follow_passes_the_tasks_own_error_on():
    def task(report):
        report(StageProgress("one", 0.5))
        raise NoFaceError("There is no face.")

    with pytest.raises(NoFaceError, match="There is no face."):
        list(follow(task))


def test_closing_follow_stops_the_task_at_its_next_report():
    stopped = threading.Event()
    steps = []

    def task(report):
        try:
            for step in range(1000):
                steps.append(step)
                report(StageProgress("work", step / 1000))
                time.sleep(0.01)
        finally:
            stopped.set()

    with closing(follow(task)) as updates:
        assert isinstance(next(updates), StageProgress)
    assert stopped.wait(5) and len(steps) < 500


def test_follow_passes_every_file_on():
    files = [Ready(name, Path(name)) for name in "abc"]

    def task(report):
        for file in files:
            report(file)

    assert list(follow(task)) == [*files, Done(None)]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_a_run_has_freed_goes_back_to_the_system():
    def resident_mb():
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6

    kept = []

    def task(report):
        arrays = [np.ones(1000) for _ in range(50_000)]  # 400 MB in pieces that glibc keeps
        kept.extend(arrays[::50])
        return resident_mb()

    *_, done = follow(task)
    deadline = time.monotonic() + 20
    while resident_mb() > done.value - 200 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert resident_mb() < done.value - 200 and kept


def test_follow_yields_while_a_stage_says_nothing():
    release = threading.Event()

    def task(report):
        report(StageProgress("slow", 0.0))
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


class BigCapture:
    """Stands for a capture in memory; can be watched."""


def test_a_capture_is_freed_when_its_page_closes():
    sessions = SessionFolders()
    capture = BigCapture()
    watched = weakref.ref(capture)
    sessions.captures.hold("a", capture)
    del capture
    assert sessions.captures.of("a") is watched() is not None and sessions.captures.of("b") is None
    sessions.forget("a")
    gc.collect()
    assert watched() is None and len(sessions.captures) == 0
    sessions.captures.hold("a", BigCapture())  # a check that ended too late
    assert len(sessions.captures) == 0


def test_captures_in_memory_are_few_and_of_the_last_hour():
    captures = HeldCaptures(most=2)
    for visitor in "abc":
        captures.hold(visitor, visitor.upper())
    captures.hold("b", "B2")
    assert [captures.of(visitor) for visitor in "abc"] == [None, "B2", "C"]
    captures.drop_older_than(time.time() + 1)
    assert len(captures) == 0


@pytest.mark.parametrize("name", ["../../outside", "/etc", "", "a/b"])
def test_a_session_name_cannot_leave_the_root(name):
    sessions = SessionFolders()
    assert sessions.new(name).resolve().parents[1] == sessions.root.resolve()


def test_a_shared_upload_stays_until_the_last_session_leaves():
    sessions = SessionFolders()
    upload = sessions.root / "same.mp4"
    upload.write_bytes(b"1")
    for visitor in ("a", "b"):
        sessions.adopt(visitor, [str(upload)])
    sessions.forget("a")
    assert upload.exists()
    sessions.forget("b")
    assert not upload.exists()


def test_who_leaves_takes_nothing_of_who_has_just_come_with_the_same_file():
    """The second's file has the first's name; no event has told yet whose it is."""
    sessions = SessionFolders()
    upload = sessions.root / "upload.mp4"
    upload.write_bytes(b"1")
    sessions.adopt("first", [str(upload)])
    newer = sessions.root / "newer"
    newer.write_bytes(b"1")
    newer.rename(upload)
    sessions.forget("first")
    assert upload.exists()
    sessions.adopt("second", [str(upload)])
    sessions.forget("second")
    assert not upload.exists()


def test_old_sessions_and_uploads_are_swept():
    sessions = SessionFolders()
    old, upload, fresh = sessions.new("old").parent, sessions.root / "hash", sessions.new("fresh")
    upload.mkdir()
    (upload / "face.mp4").write_bytes(b"1")
    past = time.time() - KEEP_SECONDS - 1
    for folder in (old, upload):
        os.utime(folder, (past, past))
    sessions.sweep()
    assert not old.exists() and not upload.exists() and fresh.exists()


def test_uploads_that_broke_off_or_that_nobody_asked_for_go_earlier():
    sessions = SessionFolders()
    broken, unasked, asked = sessions.root / "tmpabc", sessions.root / "hash1", sessions.root / "hash2"
    broken.write_bytes(b"1")
    for folder in (unasked, asked):
        folder.mkdir()
        (folder / "face.mp4").write_bytes(b"1")
    sessions.adopt("a", [str(asked / "face.mp4")])

    def sweep_after(seconds):
        for path in (broken, unasked, asked):
            if path.exists():
                os.utime(path, (time.time() - seconds,) * 2)
        sessions.sweep()
        return [path.exists() for path in (broken, unasked, asked)]

    assert sweep_after(BROKEN_SECONDS - 10) == [True, True, True]
    assert sweep_after(BROKEN_SECONDS + 10) == [False, True, True]
    assert sweep_after(UNASKED_SECONDS + 10) == [False, False, True]
    assert sweep_after(KEEP_SECONDS + 10) == [False, False, False]


def test_there_is_room_for_what_fits(monkeypatch):
    sessions = SessionFolders()
    monkeypatch.setattr("studio_avatar.ui.sessions.MOST_BYTES", 10_000)
    assert sessions.has_room_for(9_000) and not sessions.has_room_for(10_001)
    (sessions.new("a") / "face.mp4").write_bytes(bytes(9_500))
    assert not sessions.has_room_for(1_000)
    monkeypatch.setattr("studio_avatar.ui.sessions.FREE_BYTES", 1 << 60)
    assert not sessions.has_room_for(0)


def test_the_next_server_cleans_up_after_one_that_was_killed(tmp_path):
    code = f"""
import os, sys, tempfile
sys.path.insert(0, {str(ROOT)!r})
tempfile.tempdir = {str(tmp_path)!r}
from studio_avatar.ui.sessions import SessionFolders
sessions = SessionFolders()
(sessions.new("a") / "face.png").write_bytes(b"1")
other = SessionFolders()
assert sessions.root.exists() and other.root.exists()  # two servers beside each other
print(len(os.listdir(tempfile.tempdir)), flush=True)
if len(sys.argv) > 1:
    os.kill(os.getpid(), 9)
"""
    killed = subprocess.run([sys.executable, "-c", code, "kill"], capture_output=True, text=True)
    assert killed.returncode == -9 and killed.stdout.strip() == "2"
    assert len(list(tmp_path.rglob("face.png"))) == 1
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "2" and list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------------- words


def test_only_our_own_errors_reach_the_browser(caplog):
    assert user_sentence(InvalidInputError("Give one video.")) == "Give one video."
    assert user_sentence(RuntimeError("/secret/path")) == UNEXPECTED
    assert "/secret/path" not in caplog.text and "RuntimeError" in caplog.text


def test_the_log_says_where_and_not_whose(caplog):
    try:
        try:
            Path("/nowhere/selfie_of_anna.mp4").read_bytes()
        except OSError as error:
            raise ValueError("selfie_of_anna.mp4") from error
    except ValueError as error:
        user_sentence(error)
    assert "anna" not in caplog.text
    assert re.search(
        r"ValueError in test_app\.py:\d+ .*; after FileNotFoundError in pathlib\.py", caplog.text
    )


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (CreationSettings(size=4096), "size is 4096: this server makes at most 2048."),
        (CreationSettings(steps=50), "steps is 50: this server makes at most 8."),
        (CreationSettings(inversion_steps=1000), "inversion_steps is 1000: this server makes at most 300."),
    ],
)
def test_what_would_fill_the_machine_is_refused(settings, sentence):
    service = AvatarService("anywhere", SessionFolders(), lambda weights: None)
    for run in (
        lambda: service.create([str(WEAK_CAPTURE)], settings, "session"),
        lambda: service.texture("a.png", "b.png", settings, "session"),
    ):
        with pytest.raises(InvalidInputError, match=re.escape(sentence)):
            list(run())


def test_a_picture_is_refused_by_its_header(tmp_path):
    """Some thousand bytes that would become gigabytes."""
    service = AvatarService("anywhere", SessionFolders(), lambda weights: None)
    Image.new("1", (9000, 9000)).save(tmp_path / "a.png", compress_level=9)
    with pytest.raises(InvalidInputError, match="9000 × 9000 pixels: give at most 2048"):
        list(service.texture(str(tmp_path / "a.png"), str(tmp_path / "a.png"), CreationSettings(), "session"))


def test_the_service_refuses_before_it_loads_anything(tmp_path):
    def load(weights):
        raise AssertionError("the networks were loaded")

    service = AvatarService("anywhere", SessionFolders(), load)
    with pytest.raises(InvalidInputError):
        list(service.create([], None, "session"))


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("/x/My clip (2).mp4", "My_clip_2"),
        ("../../etc/passwd", "passwd"),
        ("/x/....mp4", "avatar"),
        ("a" * 99, "a" * 40),
    ],
)
def test_result_files_are_called_after_the_input(path, stem):
    assert file_stem(path) == stem


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (ServerOptions(login="someone"), "user:password"),
        (ServerOptions(largest_upload="much"), "500mb"),
    ],
)
def test_bad_options_are_refused_before_anything_starts(options, sentence):
    with pytest.raises(InvalidInputError, match=sentence):
        launch(options=options)


def test_the_time_left_runs_down_and_rises_with_a_reason_only():
    now, shared = [0.0], [False]
    progress = RunProgress({"invert": 10.0}, clock=lambda: now[0], shared=lambda: shared[0])
    told = []
    for seconds, fraction in ((0, 0.0), (4, 0.4), (5, 0.48), (6, 0.7), (30, 0.72), (31, 0.75)):
        now[0] = seconds
        progress.add(StageProgress("invert", fraction))
        told.append(progress.time_left())
        shared[0] = seconds >= 6
    assert told[0] is None and told[1] == (pytest.approx(6), "")
    assert told[2] == (pytest.approx(5), "")  # the estimate is a little longer: the clock just runs down
    assert told[3][0] < 4
    assert told[4] == (pytest.approx(0.28 * 30 / 0.72), SHARED) and told[5][0] < told[4][0]
    progress.wait()
    now[0] += 100  # waiting for its turn is not its own time
    assert progress.elapsed == 31


def test_progress_knows_step_and_time_left():
    now = [100.0]
    progress = RunProgress({"invert": 10.0, "upscale": 10.0}, {"invert": 100}, clock=lambda: now[0])
    progress.add(StageProgress("load", 0.0))
    now[0] += 50  # loading says nothing about the speed
    progress.add(StageProgress("invert", 0.0))
    assert progress.step() == (0, 100) and progress.seconds_left() is None
    now[0] += 6
    progress.add(StageProgress("invert", 0.3))
    assert progress.step() == (30, 100) and progress.seconds_left() == pytest.approx(17 * 6 / 3)
    progress.add(StageProgress("upscale", 1.0))
    assert progress.step() is None and progress.seconds_left() == 0.0
    html = presentation.run_progress(progress, 1)
    assert '<li class="done">Inverting</li>' in html and 'aria-valuenow="100"' in html


def test_more_work_is_expected_to_take_longer():
    standard = sum(expected_seconds(CreationSettings(), captured=True).values())
    assert sum(expected_seconds(CreationSettings(size=2048), captured=True).values()) > 2 * standard / 1.5
    assert sum(expected_seconds(PRESETS["turbo"], captured=True).values()) < standard / 1.7
    assert sum(expected_seconds(CreationSettings(), captured=False).values()) > standard


def test_the_card_escapes_what_it_shows_and_its_counts_add_up():
    finding = {"name": "sharp<ness", "value": 0.123456, "unit": "%", "threshold": 0.5}
    report = {
        "verdict": "poor",
        "advice": ["Hold <still>."],
        "frames_used": 2,
        "frames_sampled": 9,
        "frames_rejected": {"too_small": 3, "cut": 0},
        "findings": [
            finding | {"verdict": "poor", "advice": "Hold <still>."},
            finding | {"name": "skin_tone_ita", "verdict": "good", "advice": ""},
        ],
    }
    html = presentation.capture_card(report)
    assert "Weak capture" in html and html.count("<li") == 1 and "Hold &lt;still&gt;." in html
    assert "9 pictures looked at: 2 used, 4 much like these, 3 left out (face too small)." in html
    assert "Sharp&lt;ness" in html and "0.12 %" in html and "ita" not in html


def test_what_was_invented_is_said_in_words():
    sentence = what_was_invented({"face": 0.98, "ears": 0.5, "scalp": 0.02})
    assert "98% of the face" in sentence and "part of the ears and all of the scalp" in sentence
    assert "filled in" not in what_was_invented({"face": 1.0})
    assert "a guess" in what_was_invented({"face": 0.6}) and "a guess" not in sentence


@pytest.mark.parametrize(
    ("ita", "name"), [(60, "very light"), (30, "intermediate"), (0, "brown"), (-40, "dark")]
)
def test_skin_tone_is_one_figure_with_its_meaning(ita, name):
    lightness = 50 + 20 * np.tan(np.radians(ita))
    tone = SkinTone((lightness, 10.0, 20.0), (2.0, 1.0, 1.0))
    assert tone.ita == pytest.approx(ita) and tone.name == name
    html = presentation.skin_tone_rows({"phone": SkinTone((30.0, 5.0, 5.0)), "studio": tone})
    assert f"rgb{tone.rgb}" in html and html.count(" on the scale ") == 1
    assert f"{name}: {ita:.0f} on the scale" in html and f"give or take {tone.ita_std:.0f}" in html


def test_the_overlay_tints_only_what_was_completed():
    texture = np.full((4, 4, 3), 100, np.uint8)
    seen = np.zeros((4, 4), np.float32)
    seen[:2] = 1.0
    overlay = np.asarray(presentation.provenance_overlay(texture, seen))
    assert (overlay[:2] == 100).all()
    assert (overlay[2:, :, 0] > 150).all() and (overlay[2:, :, 2] < 100).all()


def test_the_light_that_was_taken_off_is_bright_where_the_gain_is_low():
    gain = np.zeros((10, 10, 3), np.float32)
    gain[:5] = np.log(4.0)  # the shadow: brightened by four
    gain[5:, :, 2] += np.log(2.0)  # blue was missing in the light
    light = presentation.light_picture(gain)
    assert light[7, 3, 0] == pytest.approx(1.0) and light[2, 3, 0] < 0.6
    assert light[7, 3, 2] < light[7, 3, 0] - 0.2


def test_https_has_a_certificate_for_this_machine(tmp_path):
    arguments = secured(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(arguments["ssl_certfile"], arguments["ssl_keyfile"])
    assert (tmp_path / "key.pem").stat().st_mode & 0o077 == 0


# ---------------------------------------------------------------------------------------------- the server


@pytest.fixture
def starting(monkeypatch, tmp_path):
    """What `launch` does to its process is undone, and no networks are loaded."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))  # which it changes
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    monkeypatch.setattr(server.signal, "signal", lambda *_: None)
    monkeypatch.setattr(server, "_warm_up", lambda service: None)


def test_the_login_of_the_environment_guards_the_page(starting, monkeypatch):
    """What a login covers, test_routes.py looks at."""
    import gradio

    served = {}
    monkeypatch.setattr(gradio.Blocks, "launch", lambda blocks, **options: served.update(options))
    monkeypatch.setenv(server.LOGIN_VARIABLE, "studio:light")
    assert main(["demo", "--host", "127.0.0.1", "--port", "7861", "--largest-upload", "2mb"]) == 0
    asked = {
        "server_name": "127.0.0.1",
        "server_port": 7861,
        "auth": ("studio", "light"),
        "max_file_size": "2mb",
    }
    assert served.items() >= asked.items()


def test_a_taken_port_is_one_sentence(starting, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["demo", "--port", str(taken.getsockname()[1])]) == 2
    told = capsys.readouterr().err
    assert "choose another one with --port" in told and "Traceback" not in told
