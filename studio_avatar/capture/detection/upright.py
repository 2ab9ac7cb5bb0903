"""Turn captures that were filmed upside down and do not say so: the detector copes with every turn but that one.

In upside-down pictures it finds faces now and then, with the mouth on the forehead. Such a face shows itself by eyes
that are no darker than the cheeks, and by the turned picture, in which the face is found in earnest.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from studio_avatar.capture.io.frame import Frame

from .landmarks import Face, FaceLandmarker

IRISES, CHEEKS = (468, 473), (50, 101, 280, 330)
DARK_EYES = -0.35  # log of grey over the cheeks'; about -1 in pictures the right way up, whatever the skin
CLEARLY = 0.3  # how much darker the eyes of a turned picture must be
ENOUGH_VOTES, MOST_WAITING = 3, 12  # pictures of a clip


def upright(frames: Iterable[Frame], landmarker: FaceLandmarker) -> Iterator[tuple[Frame, list[Face]]]:
    """Frames the right way up, each with the faces in it, the largest first.

    All pictures of a clip are turned alike, by what its first ones say; every photo is looked at by itself.
    """
    votes, waiting, turn = 0, [], None
    for frame in frames:
        if not frame.of_clip:
            as_it_is, turned = _both_ways(frame, landmarker)
            yield turned if _vote(as_it_is, turned) > 0 else as_it_is
            continue
        if turn is not None:
            yield _detected(upside_down(frame) if turn else frame, landmarker)
            continue
        waiting.append(_both_ways(frame, landmarker))
        votes += _vote(*waiting[-1])
        if abs(votes) >= ENOUGH_VOTES or len(waiting) >= MOST_WAITING:
            turn = votes > 0
            yield from _chosen(waiting, turn, landmarker)
            waiting = []
    yield from _chosen(waiting, votes > 0, landmarker)


def upside_down(frame: Frame) -> Frame:
    """A frame turned by half a turn."""
    height, width = frame.rgb.shape[:2]
    left, top, right, bottom = frame.picture
    picture = (width - right, height - bottom, width - left, height - top)
    return replace(frame, rgb=np.ascontiguousarray(frame.rgb[::-1, ::-1]), picture=picture)


Detected = tuple[Frame, list[Face]]


def _detected(frame: Frame, landmarker: FaceLandmarker) -> Detected:
    return frame, landmarker.detect(frame.rgb)


def _both_ways(frame: Frame, landmarker: FaceLandmarker) -> tuple[Detected, Detected | None]:
    """The frame as it is, and turned if there is any doubt about it."""
    as_it_is = _detected(frame, landmarker)
    if _darkness_of_eyes(*as_it_is) <= DARK_EYES:
        return as_it_is, None
    return as_it_is, _detected(upside_down(frame), landmarker)


def _vote(as_it_is: Detected, turned: Detected | None) -> int:
    """1 for turning, -1 against it, 0 for a picture that says nothing."""
    if turned is None:
        return -1
    if not turned[1]:
        return -1 if as_it_is[1] else 0
    return 1 if _darkness_of_eyes(*turned) < _darkness_of_eyes(*as_it_is) - CLEARLY else -1


def _darkness_of_eyes(frame: Frame, faces: list[Face]) -> float:
    """Log of the irises' grey over the cheeks' of the largest face; infinite without a face."""
    import cv2

    if not faces:
        return np.inf
    points = faces[0].points
    size = np.array(frame.rgb.shape[1::-1]) - 1
    grey = cv2.blur(cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY), (5, 5)).astype(np.float32) + 8.0

    def mean_log(landmarks) -> float:
        at = np.clip(points[list(landmarks)].astype(int), 0, size)
        return float(np.log(grey[at[:, 1], at[:, 0]]).mean())

    return mean_log(IRISES) - mean_log(CHEEKS)


def _chosen(waiting: list, turn: bool, landmarker: FaceLandmarker) -> Iterator[Detected]:
    for as_it_is, turned in waiting:
        if turn:
            yield turned or _detected(upside_down(as_it_is[0]), landmarker)
        else:
            yield as_it_is
