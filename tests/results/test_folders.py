"""Every place a result is written to: it works, or it is refused before the work, and nothing that is not ours goes."""

import os
import threading
from pathlib import Path

import pytest

from studio_avatar.cli.main import FAULT_EXIT, TRACEBACK_VARIABLE, main
from studio_avatar.errors import InvalidInputError
from studio_avatar.imaging.files import new_folder, remove_staging
from studio_avatar.results import exports
from studio_avatar.results.exports import ExportSettings, write_exports
from studio_avatar.results.folder import check_target


def put(target: Path, *names: str) -> None:
    with new_folder(target) as staging:
        for name in names:
            (staging / name).write_text(name)
        (staging / "deep").mkdir()
        (staging / "deep" / names[0]).write_text(names[0])


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_a_link_stays_and_its_folder_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "old").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    put(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and names_in(tmp_path / "real") == {"new", "deep", "deep/new"}
    assert {path.name for path in tmp_path.iterdir()} == {"link", "real"}


@pytest.mark.parametrize("kind", ["mount point", "working folder", "read-only parent"])
def test_a_folder_that_cannot_be_renamed_is_filled(tmp_path, monkeypatch, kind):
    target = tmp_path / "out"
    target.mkdir()
    if kind == "mount point":
        monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == target)
    elif kind == "working folder":
        monkeypatch.chdir(target)
    else:
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    before = target.stat().st_ino
    put(Path(".") if kind == "working folder" else target, "one", "two")
    put(target, "two", "three")
    assert target.stat().st_ino == before
    assert names_in(target) == {"two", "three", "deep", "deep/two"}
    with pytest.raises(RuntimeError), new_folder(target) as staging:
        (staging / "four").touch()
        raise RuntimeError
    assert names_in(target) == {"two", "three", "deep", "deep/two"}


def test_what_is_not_ones_own_stays(tmp_path):
    put(tmp_path / "out", "mine", "old")
    (tmp_path / "out" / "selfie").mkdir()
    (tmp_path / "out" / "selfie" / "avatar.glb").touch()
    with new_folder(tmp_path / "out", {"mine", "old", "deep"}) as staging:
        (staging / "mine").write_text("new")
    assert names_in(tmp_path / "out") == {"mine", "selfie", "selfie/avatar.glb"}
    assert (tmp_path / "out" / "mine").read_text() == "new"


def test_the_longest_name_that_a_disk_has_works(tmp_path):
    for name in ("x" * 255, "ü" * 127):
        put(tmp_path / name, "a")
        put(tmp_path / name, "b")
        assert "b" in names_in(tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {"x" * 255, "ü" * 127}
    (tmp_path / f".{'x' * 241}.0123456789ab").mkdir()
    remove_staging(tmp_path / ("x" * 255))
    assert {path.name for path in tmp_path.iterdir()} == {"x" * 255, "ü" * 127}


def refusal(target: Path) -> str:
    with pytest.raises(InvalidInputError) as caught:
        check_target(target)
    message = str(caught.value)
    assert message.endswith("choose another folder with --output.") and "None" not in message
    return message


def test_a_dangling_link_is_refused_before_the_work(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    for target in (tmp_path / "link", tmp_path / "link" / "selfie"):
        assert f"'{tmp_path / 'link'}' is a link to '{tmp_path / 'gone'}', which is not there" in refusal(
            target
        )
    assert not (tmp_path / "gone").exists()


def test_a_full_disk_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 3 << 20}))
    assert f"The disk of '{tmp_path}' has 3 MB left and a result needs 100" in refusal(tmp_path / "out")


def test_a_place_that_takes_no_files_is_refused_before_the_work():
    if not Path("/proc/self").is_dir():
        pytest.skip("there is no /proc")
    assert "'/proc/self' cannot be written (" in refusal(Path("/proc/self/out"))


def test_what_a_killed_process_left_in_a_folder_is_no_other_file(tmp_path):
    (tmp_path / "out" / ".out.0123456789ab").mkdir(parents=True)
    check_target(tmp_path / "out")
    remove_staging(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


class BareAvatar:
    """Writes a GLB; its pictures fail as the renderer's do."""

    motion = full_mesh = None

    def __init__(self, error: Exception):
        self.error = error

    def export(self, path, animation=False):
        Path(path).write_bytes(b"glTF")

    def preview(self, path):
        Path(path).write_bytes(b"half a picture")
        raise self.error

    turntable = preview


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(13, "Permission denied", "warp-cache"),
        RuntimeError("Warp: no compiler"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_pictures_that_fail_cost_no_result(tmp_path, caplog, error):
    write_exports(BareAvatar(error), tmp_path, ExportSettings(turntable=True))
    assert names_in(tmp_path) == {exports.GLB}
    assert f"{exports.PREVIEW} was left out: " in caplog.text and exports.TURNTABLE in caplog.text


def test_pictures_are_drawn_while_models_are_written(tmp_path):
    both = threading.Barrier(2, timeout=10)  # broken unless two threads come

    class Avatar(BareAvatar):
        def export(self, path, animation=False):
            both.wait()
            super().export(path)

        def preview(self, path):
            both.wait()
            Path(path).write_bytes(b"a picture")

    write_exports(Avatar(None), tmp_path, ExportSettings())
    assert names_in(tmp_path) == {exports.GLB, exports.PREVIEW}


def test_errors_of_the_system_are_sentences(tmp_path, capsys, monkeypatch):
    for error, sentence in (
        (OSError(28, "No space left on device"), "The disk is full: free some space"),
        (OSError(5, "Input/output error"), "Cannot go on: Input/output error."),
        (OSError(), "Cannot go on: OSError."),
    ):

        def fail(options, error=error):
            raise error

        monkeypatch.setattr("studio_avatar.cli.commands.create.run", fail)
        assert main(["a.mp4"]) == 2
        printed = capsys.readouterr().err
        assert sentence in printed and "None" not in printed


def test_a_fault_of_ours_is_a_sentence_and_shows_where_when_asked(capsys, monkeypatch):
    def fail(options):
        raise RuntimeError("tensor of another size\nand more")

    monkeypatch.setattr("studio_avatar.cli.commands.create.run", fail)
    assert main(["a.mp4"]) == FAULT_EXIT
    printed = capsys.readouterr().err
    assert (
        "should not have happened (RuntimeError: tensor of another size)" in printed
        and "Traceback" not in printed
    )
    monkeypatch.setenv(TRACEBACK_VARIABLE, "1")
    with pytest.raises(RuntimeError):
        main(["a.mp4"])


def test_a_file_that_begins_like_an_option_gets_a_hint(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-selfie.png").touch()
    assert main(["-selfie.png", "-o", "out"]) == 2
    assert "write ./-selfie.png" in capsys.readouterr().err
