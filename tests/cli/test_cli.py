"""The command line on the example capture, on bad inputs, and the writing of result folders."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.glb_reader import Glb, png_chunks
from PIL import Image

from studio_avatar.cli.main import main
from studio_avatar.cli.progress import StageBar
from studio_avatar.errors import InvalidInputError, WeightsError
from studio_avatar.evaluation import metrics
from studio_avatar.evaluation.identity import DlibIdentity
from studio_avatar.head.layout import region_mask
from studio_avatar.head.model import HeadModel
from studio_avatar.imaging.files import new_folder, write_atomically
from studio_avatar.results import settings
from studio_avatar.results.settings import CreationSettings, capture_arguments
from studio_avatar.weights.locate import find_weights, parse_reference, weights_revision

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "selfie.mp4"
SIZE = 512
RESULT_FILES = {
    "texture.png",
    "phone_texture.png",
    "provenance.png",
    "avatar.glb",
    "preview.png",
    "report.json",
}


def run_command(*arguments, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "studio_avatar", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, **options)


@pytest.fixture(scope="module")
def example(short_clip, tmp_path_factory):
    """The finished command on some pictures of the example, and its output folder."""
    folder = tmp_path_factory.mktemp("cli") / "out"
    settings = ["--seed", 7, "--inversion-steps", 20, "--steps", 2, "--size", SIZE]
    done = run_command(short_clip, "-o", folder, *settings)
    assert done.returncode == 0, done.stderr
    return done, folder


def test_the_example_becomes_a_result_folder(example):
    done, folder = example
    assert done.stdout.split() == [str(folder / "selfie")]
    assert [path.name for path in folder.iterdir()] == ["selfie"]  # no staging folder stays behind
    assert {path.name for path in (folder / "selfie").iterdir()} == RESULT_FILES
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr


def test_pictures_are_square_tagged_srgb_and_show_something(example):
    folder = example[1] / "selfie"
    for name, mode in (("texture.png", "RGB"), ("phone_texture.png", "RGB"), ("provenance.png", "L")):
        data = (folder / name).read_bytes()
        picture = Image.open(io.BytesIO(data))
        assert picture.size == (SIZE, SIZE) and picture.mode == mode
        assert b"sRGB" in png_chunks(data)
        assert np.asarray(picture).std() > 5
    provenance = np.asarray(Image.open(folder / "provenance.png"))
    assert provenance.max() > 200 and provenance.min() == 0


def test_the_avatar_wears_the_texture(example):
    folder = example[1] / "selfie"
    glb = Glb(folder / "avatar.glb")
    assert glb.image() == (folder / "texture.png").read_bytes()
    assert len(glb.primitive["targets"]) == 52


def test_the_report_says_what_was_done(example):
    report = json.loads((example[1] / "selfie" / "report.json").read_text())
    assert report["seed"] == 7 and report["resolution"] == [SIZE, SIZE]
    assert report["settings"]["inversion_steps"] == 20 and report["settings"]["steps"] == 2
    assert report["capture"]["findings"] and report["capture"]["frames_used"] >= 3
    assert {"capture", "invert", "studio", "upscale"} <= set(report["timings"])
    assert all(seconds >= 0 for seconds in report["timings"].values())
    assert 0.1 < report["seen_share"] < 1
    assert report["weights_revision"] == weights_revision(find_weights())
    assert report["versions"]["torch"] and str(ROOT) not in json.dumps(report)


def test_the_example_keeps_its_quality(example):
    """Its pictures are simulated, their true texture known; the bounds are up to 10 % worse than what was measured (see the
    comments).

    A change that makes it better may move them; one that makes it worse says so here. Registration has its bound in
    tests/capture/test_registration.py.
    """
    head = HeadModel.from_pretrained(find_weights(), subfolder="head")
    texture, truth, seen = pictures_of(example)
    face = region_mask(head, len(texture), "face")
    shown, completed = face & (seen >= 0.5), face & (seen < 0.5)
    # Measured on two cores of a Xeon; on an EPYC, whose sums round differently, it was a twentieth to a tenth less.
    # Relight that keeps more of a person's own colors made this clip worse (2.96, 4.74, 5.0), validation captures not.
    assert metrics.skin_delta_e(texture, truth, shown) < 3.40  # 3.20
    assert metrics.skin_delta_e(texture, truth, completed) < 5.40  # 5.09
    assert abs(metrics.skin_ita(texture, shown) - metrics.skin_ita(truth, shown)) < 6.1  # 5.5 degrees
    assert metrics.ssim(texture, truth, shown) > 0.963  # 0.966
    assert metrics.gradient_correlation(texture, truth, shown) > 0.642  # 0.714; falls when registration does


def test_the_example_stays_the_person(example):
    pytest.importorskip("dlib", reason="dlib is in the extra [train]")
    texture, truth, _ = pictures_of(example)
    identity = DlibIdentity(HeadModel.from_pretrained(find_weights(), subfolder="head"))
    distance = np.linalg.norm(identity.embed(texture) - identity.embed(truth))
    assert distance < 0.393  # 0.357; of the phone texture, whose eyes are not painted: 0.301


def pictures_of(example) -> list[np.ndarray]:
    """The example's texture, its true one, and what was seen, float32 in [0, 1]."""
    folder = example[1] / "selfie"
    paths = (folder / "texture.png", ROOT / "examples" / "selfie_studio.png", folder / "provenance.png")
    return [
        np.asarray(Image.open(path).resize((SIZE, SIZE), Image.Resampling.BOX), np.float32) / 255
        for path in paths
    ]


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    (folder / "text.mp4").write_text("hello, I am no video\n" * 100)
    (folder / "empty.mp4").touch()
    (folder / "empty.jpg").touch()
    (folder / "truncated.mp4").write_bytes(EXAMPLE.read_bytes()[:3000])
    Image.new("RGB", (640, 480), "grey").save(folder / "nobody.png")
    Image.new("RGB", (40, 40), "grey").save(folder / "tiny.png")
    (folder / "folder.mp4").mkdir()
    return folder


@pytest.mark.parametrize(
    "names",
    [
        ["missing.mp4"],
        ["text.mp4"],
        ["empty.mp4"],
        ["empty.jpg"],
        ["truncated.mp4"],
        ["nobody.png"],
        ["tiny.png"],
        ["folder.mp4"],
        ["nobody.png", "text.mp4"],
        ["nobody.png", "missing.jpg"],
    ],
    ids=" ".join,
)
def test_a_bad_input_is_one_sentence_and_leaves_nothing(bad_files, names, tmp_path, monkeypatch, capfd):
    """`capfd` sees what libraries in C print, too."""
    monkeypatch.setattr(settings, "load_pipeline", lambda weights: None)  # which goes on in the background
    code = main([*(str(bad_files / name) for name in names), "-o", str(tmp_path / "out"), "--quiet"])
    printed = capfd.readouterr()
    assert code == 2
    assert printed.out == "" and len(printed.err.strip().splitlines()) == 1
    assert printed.err.startswith("studio-avatar: ") and printed.err.strip().endswith(".")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options", [["--size", "1000"], ["--steps", "0"], ["--guidance", "3"], ["--weights", "./nowhere"]]
)
def test_a_setting_that_cannot_work_is_refused_before_the_networks_load(
    options, short_clip, tiny_weights, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(settings, "load_pipeline", lambda weights: pytest.fail("loaded"))
    given = [str(short_clip), "-o", str(tmp_path / "out"), "--quiet", "--weights", str(tiny_weights)]
    assert main([*given, *options]) == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1 and options[0] in error + "--weights"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_files_is_not_replaced(tmp_path, capsys):
    (tmp_path / "selfie").mkdir()
    (tmp_path / "selfie" / "diary.txt").write_text("mine")
    assert main([str(EXAMPLE), "-o", str(tmp_path), "--quiet"]) == 2
    assert "other files" in capsys.readouterr().err
    assert (tmp_path / "selfie" / "diary.txt").read_text() == "mine"


def test_an_output_that_is_a_file_is_refused(tmp_path, capsys):
    (tmp_path / "out").write_text("a file")
    assert main([str(EXAMPLE), "-o", str(tmp_path / "out"), "--quiet"]) == 2
    assert "is a file" in capsys.readouterr().err


def test_no_argument_shows_the_help(capsys):
    with pytest.raises(SystemExit) as exit_:
        main([])
    assert exit_.value.code == 0 and "studio-avatar FILE" in capsys.readouterr().out


def test_the_short_form_takes_options_first():
    done = run_command("-o", "out", "missing.mp4")
    assert done.returncode == 2 and done.stdout == ""
    assert "missing.mp4" in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_settings_agree_with_the_pipeline():
    import inspect

    from studio_avatar.pipeline.studio_texture_pipeline import DEFAULT_SIZE, StudioTexturePipeline

    parameters = inspect.signature(StudioTexturePipeline.__call__).parameters
    for name, value in CreationSettings().pipeline_arguments().items():
        # No seed is a random one; no size is that of the input, or the settings' own.
        assert name in ("seed", "output_size") or parameters[name].default == value, name
    assert DEFAULT_SIZE == CreationSettings().size


def test_photos_and_videos_go_to_their_own_arguments(tmp_path):
    """By content: browsers save photos as .jfif, and some phones without a suffix."""
    photos, video = [tmp_path / name for name in ("a.JPG", "b.jfif", "c", "d.mp4")], tmp_path / "clip.jpg"
    for path in photos:
        Image.new("RGB", (80, 80)).save(path, format="JPEG")
    video.write_bytes(EXAMPLE.read_bytes())
    assert capture_arguments(photos) == {"images": [str(path) for path in photos]}
    assert capture_arguments([video]) == {"video": str(video)}
    with pytest.raises(InvalidInputError, match=r"'clip\.jpg' is not a photo: give one video alone"):
        capture_arguments([*photos, video])
    with pytest.raises(InvalidInputError):
        capture_arguments([])


def test_stages_are_logged_once_each(capsys):
    with StageBar() as bar:
        for stage in ("landmarks", "fit"):
            for fraction in (0.0, 0.5, 1.0):
                bar(stage, fraction)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "Finding the face" in lines[0] and "Fitting the head" in lines[1]


def test_weights_are_found_by_folder_environment_and_place(tmp_path, monkeypatch):
    with pytest.raises(WeightsError):
        find_weights(tmp_path)  # a folder without an index
    with pytest.raises(WeightsError):
        find_weights(tmp_path / "missing")
    (tmp_path / "model_index.json").write_text("{}")
    assert find_weights(tmp_path) == str(tmp_path)
    monkeypatch.setenv("STUDIO_AVATAR_WEIGHTS", str(tmp_path))
    assert find_weights() == str(tmp_path)
    assert parse_reference("org/name") == ("org/name", None)
    assert parse_reference("org/name@v1.0") == ("org/name", "v1.0")
    monkeypatch.delenv("STUDIO_AVATAR_WEIGHTS")
    assert find_weights() == str(ROOT / "weights_card")


def test_the_revision_follows_the_content(tmp_path):
    (tmp_path / "model_index.json").write_text("{}")
    before = weights_revision(str(tmp_path))
    (tmp_path / "README.md").write_text("a card is not weights")
    assert weights_revision(str(tmp_path)) == before
    (tmp_path / "model_index.json").write_text('{"a": 1}')
    assert weights_revision(str(tmp_path)) != before
    snapshot = tmp_path / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    assert weights_revision(str(snapshot)) == "0123abcd"  # a Hub snapshot is named by its commit
    assert weights_revision("nowhere") == "unknown"


def test_a_new_folder_appears_whole(tmp_path):
    target = tmp_path / "deep" / "er" / "result"
    with new_folder(target) as staging:
        (staging / "a").write_text("1")
        assert not target.exists()
    assert (target / "a").read_text() == "1"
    assert [path.name for path in target.parent.iterdir()] == ["result"]


def test_a_failed_folder_leaves_nothing_and_keeps_the_older_one(tmp_path):
    with pytest.raises(RuntimeError), new_folder(tmp_path / "deep" / "result") as staging:
        (staging / "a").write_text("1")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []

    (tmp_path / "result").mkdir()
    (tmp_path / "result" / "old").write_text("1")
    with pytest.raises(RuntimeError), new_folder(tmp_path / "result"):
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["result"]
    assert (tmp_path / "result" / "old").read_text() == "1"


def test_a_new_folder_replaces_the_older_one_as_a_whole(tmp_path):
    for name in ("old", "new"):
        with new_folder(tmp_path / "result") as staging:
            (staging / name).write_text("1")
    assert [path.name for path in tmp_path.iterdir()] == ["result"]
    assert [path.name for path in (tmp_path / "result").iterdir()] == ["new"]


def test_an_atomic_write_replaces_or_leaves_alone(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two" and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(OSError):
        write_atomically(tmp_path / "missing" / "file", b"three")
