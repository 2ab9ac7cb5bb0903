"""Damaged files: no crash, no hang, no flood of memory; only our errors. `tools/damaged_files.py` tries thousands."""

import numpy as np
import pytest
from helpers.scheduling import ordinary_scheduling

pytest.importorskip("av")
pytest.importorskip("resource")
from tools.damaged_files import ORIGINALS, damaged_copies, read_apart  # noqa: E402

COPIES = 12  # of each kind
CLIPS = [name for name in ORIGINALS if name.endswith((".mp4", ".mov", ".webm", ".avi", ".mkv", ".ts"))]
PHOTOS = [name for name in ORIGINALS if name not in CLIPS]


@pytest.mark.parametrize("names", [CLIPS, PHOTOS], ids=["clips", "photos"])
def test_damaged_files_are_read_or_refused(tmp_path, names):
    paths = []
    for name in names:
        with ordinary_scheduling():
            original = ORIGINALS[name](tmp_path / name)
        paths += [original, *damaged_copies(original, COPIES, np.random.default_rng(len(name)))]
    results = read_apart(paths)  # neither a crash nor an error that is not ours
    for path, (kind, value, seconds) in zip(paths, results, strict=True):
        assert seconds < 10.0
        if path.name in names:  # undamaged
            assert kind == "frames" and value > 0
        if kind == "refused":
            assert value.endswith(".") and "\n" not in value and path.name in value


def test_an_avif_without_its_picture_is_refused_with_a_sentence(tmp_path):
    whole, empty = ORIGINALS["photo.avif"](tmp_path / "photo.avif"), tmp_path / "empty.avif"
    empty.write_bytes(whole.read_bytes().replace(b"iloc", b"xxxx"))  # Pillow's reader raises RuntimeError
    [(kind, sentence, _)] = read_apart([empty])
    assert kind == "refused" and sentence.startswith("empty.avif")
