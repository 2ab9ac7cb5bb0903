"""Somebody far away is found and asked to come closer; who is near costs no second look."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.detectors import Counting

from studio_avatar.capture.detection.far_sight import FarSight
from studio_avatar.capture.detection.people import follow_person
from studio_avatar.capture.io.frame import Frame
from studio_avatar.capture.io.video import read_frames
from studio_avatar.errors import FaceTooSmallError, NoFaceError

SELFIE = Path(__file__).parents[2] / "examples" / "selfie.mp4"
DESK = (720, 1280)


@pytest.fixture(scope="module")
def near():
    return next(iter(read_frames(SELFIE))).rgb


def at_a_desk(near: np.ndarray, scale: float, left: int) -> np.ndarray:
    """The selfie so much smaller, somewhere in a wide picture."""
    small = cv2.resize(near, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    picture = np.full((*DESK, 3), 120, np.uint8)
    top = (DESK[0] - small.shape[0]) // 2
    picture[top : top + small.shape[0], left : left + small.shape[1]] = small
    return picture


def frames_of(*pictures) -> list[Frame]:
    whole = (0, 0, DESK[1], DESK[0])
    return [Frame(picture, 0.1 * number, whole, of_clip=True) for number, picture in enumerate(pictures)]


@pytest.mark.parametrize("scale", [0.12, 0.2])  # of a face of 490 pixels
def test_a_far_face_is_found_where_it_is_and_followed(near, landmarker, scale):
    pictures = [at_a_desk(near, scale, left) for left in (900, 910, 920)]
    assert landmarker.detect(pictures[0]) == []
    sight = FarSight(counting := Counting(landmarker))
    (truth,) = landmarker.detect(near)
    for number, picture in enumerate(pictures):
        before = counting.asked
        (face,) = sight.detect(picture)
        assert number == 0 or counting.asked == before + 2
        shift = (900 + 10 * number, (DESK[0] - round(scale * near.shape[0])) // 2)
        off = np.linalg.norm(face.points - (scale * truth.points + shift), axis=1)
        assert np.median(off) < 0.03 * face.height_px


def test_who_is_far_is_asked_to_come_closer(near, landmarker):
    with pytest.raises(FaceTooSmallError, match=r"only \d+ pixels high .* come closer"):
        follow_person(frames_of(*[at_a_desk(near, 0.15, 500)] * 3), landmarker)


def test_a_picture_in_which_something_large_seems_a_face_does_not_continue_who_is_far(near, landmarker):
    far, both = at_a_desk(near, 0.15, 560), at_a_desk(near, 0.15, 560)
    middle = cv2.resize(near, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    both[40 : 40 + middle.shape[0], 460 : 460 + middle.shape[1]] = middle
    with pytest.raises(FaceTooSmallError):
        follow_person(frames_of(far, far, far, both, *[far] * 6), landmarker)


def test_somebody_who_comes_near_is_seen_beside_who_is_far(near, landmarker):
    far, close = at_a_desk(near, 0.15, 900), at_a_desk(near, 0.15, 900)
    middle = cv2.resize(near, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    close[40 : 40 + middle.shape[0], 200 : 200 + middle.shape[1]] = middle
    sight = FarSight(landmarker)
    assert len(sight.detect(far)) == 1
    first, second = sight.detect(close)
    assert first.points[:, 0].mean() < 600 and second.points[:, 0].mean() > 900


def test_who_is_near_is_looked_at_once_and_nobody_not_without_end(near, landmarker):
    sight, empty = FarSight(counting := Counting(landmarker)), np.full((*DESK, 3), 120, np.uint8)
    assert sight.detect(near) and not sight.detect(empty) and counting.asked == 2

    def asked_for(pictures: int) -> int:
        counting = Counting(landmarker)
        with pytest.raises(NoFaceError):
            follow_person(frames_of(*[empty] * pictures), counting)
        return counting.asked

    assert 30 < asked_for(30) == asked_for(40) - 10
