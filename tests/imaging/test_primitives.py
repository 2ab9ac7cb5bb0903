"""What many modules build on is there once."""

import os
import shutil

import numpy as np
import pytest

from studio_avatar.head import model
from studio_avatar.head.landmark_ids import FACE_OVAL, NUM_SURFACE_LANDMARKS
from studio_avatar.imaging.color import luma
from studio_avatar.imaging.files import entries_below
from studio_avatar.imaging.native_logs import quiet_native_logs
from studio_avatar.imaging.ramps import smoothstep
from studio_avatar.rendering import face_normals, vertex_normals

SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
FACES = np.array([[0, 1, 2], [0, 2, 3]])


@pytest.mark.parametrize(("low", "high", "expected"), [(0, 1, [0, 0.5, 1]), (1, 0, [1, 0.5, 0])])
def test_smoothstep(low, high, expected):
    np.testing.assert_allclose(smoothstep(np.array([-2.0, 0.5, 3.0]), low, high), expected)


def test_normals_of_one_head_and_of_many():
    slanted = SQUARE @ np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], np.float32)
    both = vertex_normals(np.stack([SQUARE, slanted]), FACES)
    np.testing.assert_allclose(both[0], np.tile([0, 0, 1], (4, 1)))
    np.testing.assert_allclose(both[1], vertex_normals(slanted, FACES))
    np.testing.assert_allclose(face_normals(slanted[FACES]), both[1][:2])
    assert both.dtype == np.float32
    assert (face_normals(np.zeros((1, 3, 3))) == 0).all()


def test_luma_keeps_type_and_shape():
    white = luma(np.ones((2, 4, 3), np.float32))
    assert white.dtype == np.float32 and white.shape == (2, 4)
    np.testing.assert_allclose(white, 1.0, rtol=1e-6)


def test_the_published_head_counts_the_same_landmarks():
    """`head/model.py` is remote code and cannot import the number."""
    assert model.NUM_LANDMARKS == NUM_SURFACE_LANDMARKS > max(FACE_OVAL)


def test_native_messages_are_dropped_and_later_ones_are_not(capfd):
    with quiet_native_logs(), quiet_native_logs():
        os.write(2, b"noise\n")
    os.write(2, b"news\n")
    assert capfd.readouterr().err == "news\n"


def test_what_goes_while_it_is_counted_is_left_out(tmp_path):
    for name in "abc":
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"1234")
    files = {}
    for path, known in entries_below(tmp_path):
        if path.name == "file":
            files[path] = known.st_size
            for other in set(tmp_path.iterdir()) - {path.parent}:
                shutil.rmtree(other)  # listed by now, and not yet looked into
    assert list(files.values()) == [4]
