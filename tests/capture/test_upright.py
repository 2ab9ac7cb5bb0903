"""Captures that are sideways or upside down and do not say so are turned; all others stay as they are."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.detectors import Counting

from studio_avatar.capture.detection.people import follow_person
from studio_avatar.capture.detection.upright import turned, upright
from studio_avatar.capture.io.frame import Frame
from studio_avatar.capture.io.video import read_frames

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module", params=["selfie.mp4", "weak_selfie.mp4"])
def frames(request):
    return list(read_frames(EXAMPLES / request.param))[::5]


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_clip_on_its_side_or_head_is_turned(frames, landmarker, quarters):
    for start in range(0, len(frames) if quarters == 2 else 1, 3):  # half a turn is hard: wherever it begins
        seen = follow_person(frames[start:], landmarker)
        found = follow_person([turned(frame, quarters) for frame in frames[start:]], landmarker)
        assert found.sampled == len(frames) - start and found.with_face == seen.with_face
    first, again = seen.frames[-1], found.frames[-1]
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
    (first, faces), *others = upright([turned(photo, quarters) for quarters in range(4)], landmarker)
    for frame, found in others:
        assert np.array_equal(first.rgb, frame.rgb) and np.array_equal(faces[0].points, found[0].points)


def test_photos_of_which_one_was_turned_share_a_camera(frames, landmarker):
    tall = Frame(frames[0].rgb, 0.0, frames[0].picture)
    cut = frames[0].rgb[100:-100]
    wide = Frame(cut, 1.0, (0, 0, cut.shape[1], cut.shape[0]))
    one, other = follow_person([tall, wide], landmarker).frames
    side = max(frames[0].rgb.shape)
    assert one.frame.rgb.shape == other.frame.rgb.shape == (side, side, 3)
    for seen, original in ((one, tall), (other, wide)):
        left, top, right, bottom = seen.frame.picture
        assert np.array_equal(seen.frame.rgb[top:bottom, left:right], original.rgb)
    # The same face, in the same place of the picture.
    shift = np.array(other.frame.picture[:2]) - one.frame.picture[:2] - (0, 100)
    assert np.abs(one.face.points + shift - other.face.points).max() < 0.05 * one.face.height_px


def test_a_phone_turned_while_filming_still_shows_one_person(frames, landmarker):
    """First tall, then wide, on the square that reading puts both on; the wide picture shows more around the head."""
    tall = frames[0].rgb
    height, width = tall.shape[:2]
    small = cv2.resize(tall, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    canvases = np.full((2, height, height, 3), 90, np.uint8)
    left, top = (height - width) // 2, height // 4
    canvases[0, :, left : left + width] = tall
    canvases[1, top : top + len(small), : small.shape[1]] = small
    pictures = (left, 0, left + width, height), (0, left, height, left + width)
    clip = [Frame(canvases[k // 3], 0.1 * k, pictures[k // 3], of_clip=True) for k in range(6)]
    seen = follow_person(clip, landmarker)
    assert seen.with_face == 6 and seen.rejected["cut"] == 0


def test_pictures_without_a_face_stay_as_they_are(landmarker):
    empty = Frame(np.full((96, 128, 3), 128, np.uint8), 0.0, (0, 0, 128, 96), of_clip=True)
    assert [frame is empty for frame, _ in upright([empty] * 20, landmarker)] == [True] * 20


def test_turns_move_the_picture_in_its_frame():
    rgb = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    frame = Frame(rgb, 0.0, (1, 0, 6, 3))
    half = turned(frame, 2)
    assert half.picture == (0, 1, 5, 4) and np.array_equal(half.rgb[0, 0], rgb[3, 5])
    for quarters in range(5):
        left, top, right, bottom = turned(frame, quarters).picture
        inside = turned(frame, quarters).rgb[top:bottom, left:right]
        assert np.array_equal(inside, np.rot90(rgb[0:3, 1:6], quarters))
