"""Captures that are upside down and do not say so are turned; all others stay as they are."""

from pathlib import Path

import numpy as np
import pytest

from studio_avatar.capture.detection.landmarks import FaceLandmarker
from studio_avatar.capture.detection.people import follow_person
from studio_avatar.capture.detection.upright import upright, upside_down
from studio_avatar.capture.io.frame import Frame
from studio_avatar.capture.io.video import read_frames

EXAMPLES = Path(__file__).parents[2] / "examples"


class Counting:
    """A detector that counts how often it is asked."""

    def __init__(self, detector):
        self._detector, self.asked = detector, 0

    def detect(self, rgb):
        self.asked += 1
        return self._detector.detect(rgb)


@pytest.fixture(scope="module")
def landmarker():
    with FaceLandmarker() as landmarker:
        yield landmarker


@pytest.fixture(scope="module", params=["selfie.mp4", "weak_selfie.mp4"])
def frames(request):
    return list(read_frames(EXAMPLES / request.param))[::5]


def test_an_upside_down_clip_is_turned(frames, landmarker):
    seen = follow_person(frames, landmarker)
    for start in range(0, len(frames), 3):  # wherever it begins
        turned = follow_person([upside_down(frame) for frame in frames[start:]], landmarker)
        assert turned.sampled == turned.with_face == len(frames) - start
    first, again = seen.frames[-1], turned.frames[-1]
    assert np.array_equal(first.frame.rgb, again.frame.rgb) and np.array_equal(
        first.face.points, again.face.points
    )


def test_an_upright_clip_is_looked_at_once(frames, landmarker):
    counting = Counting(landmarker)
    seen = list(upright(frames, counting))
    assert [frame is original for (frame, _), original in zip(seen, frames, strict=True)] == [True] * len(
        frames
    )
    assert counting.asked == len(frames)


def test_every_photo_is_turned_by_itself(frames, landmarker):
    photo = Frame(frames[0].rgb, 0.0, frames[0].picture)
    (first, faces), (second, turned) = upright([photo, upside_down(photo)], landmarker)
    assert np.array_equal(first.rgb, second.rgb) and np.array_equal(faces[0].points, turned[0].points)


def test_pictures_without_a_face_stay_as_they_are(landmarker):
    empty = Frame(np.full((96, 128, 3), 128, np.uint8), 0.0, (0, 0, 128, 96), of_clip=True)
    assert [frame is empty for frame, _ in upright([empty] * 20, landmarker)] == [True] * 20


def test_half_a_turn_moves_the_picture_in_its_frame():
    rgb = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    turned = upside_down(Frame(rgb, 0.0, (1, 0, 6, 3)))
    assert turned.picture == (0, 1, 5, 4) and np.array_equal(turned.rgb[0, 0], rgb[3, 5])
    assert np.array_equal(upside_down(turned).rgb, rgb)
