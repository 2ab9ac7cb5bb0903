"""Turn captures that were filmed sideways or upside down and do not say so.

Sideways faces are found as they lie, but yaw and pitch change places. In upside-down pictures the detector finds faces
now and then, with the mouth on the forehead. Such a face shows itself by eyes that are no darker than the cheeks, and by
the turned picture, in which the face is found in earnest.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from studio_avatar.capture.io.frame import Frame

from .landmarks import Face, FaceLandmarker

IRISES, CHEEKS = (468, 473), (50, 101, 280, 330)
DARK_EYES = -0.35  # log of gray over the cheeks'; about -1 in pictures the right way up, whatever the skin
SURELY_EYES = -1.2  # below it there is no doubt; faces on their head were seen down to -1.01
CLEARLY = 0.3  # how much darker the eyes of a turned picture must be
ENOUGH_VOTES, MOST_WAITING = 3, 12  # pictures of a clip

Detected = tuple[Frame, list[Face]]
Ways = dict[int, Detected]  # what was detected in a picture, by the quarter turns it was given


def upright(frames: Iterable[Frame], landmarker: FaceLandmarker) -> Iterator[Detected]:
    """Frames the right way up, each with the faces in it, the largest first.

    All pictures of a clip are turned alike, by what its first ones say; every photo is looked at by itself.
    """
    votes, waiting, turn = Counter(), [], None
    for frame in frames:
        if not frame.of_clip:
            ways, vote = _look(frame, landmarker)
            yield _way(ways, vote or 0, landmarker)
            continue
        if turn is not None:
            yield _detected(turned(frame, turn), landmarker)
            continue
        ways, vote = _look(frame, landmarker)
        waiting.append(ways)
        votes.update([] if vote is None else [vote])
        if _lead(votes) >= ENOUGH_VOTES or len(waiting) >= MOST_WAITING:
            turn = _winner(votes)
            yield from (_way(ways, turn, landmarker) for ways in waiting)
            waiting = []
    yield from (_way(ways, _winner(votes), landmarker) for ways in waiting)


def turned(frame: Frame, quarters: int) -> Frame:
    """A frame turned counterclockwise by quarter turns; the same object for none."""
    left, top, right, bottom = frame.picture
    width = frame.rgb.shape[1]
    if quarters % 4 == 0:
        return frame
    once = replace(
        frame,
        rgb=np.ascontiguousarray(np.rot90(frame.rgb)),
        picture=(top, width - right, bottom, width - left),
    )
    return turned(once, quarters % 4 - 1)


def _detected(frame: Frame, landmarker: FaceLandmarker) -> Detected:
    return frame, landmarker.detect(frame.rgb)


def _look(frame: Frame, landmarker: FaceLandmarker) -> tuple[Ways, int | None]:
    """The frame as it is, and upside down if there is any doubt about it; and the quarter turns that it speaks for."""
    ways = {0: _detected(frame, landmarker)}
    eyes = _darkness_of_eyes(*ways[0])
    as_it_lies = round(ways[0][1][0].roll / (0.5 * np.pi)) % 4 if eyes <= DARK_EYES else 0
    if eyes <= SURELY_EYES:
        return ways, as_it_lies
    ways[2] = _detected(turned(frame, 2), landmarker)
    if not ways[2][1]:
        return ways, as_it_lies if ways[0][1] else None
    return ways, 2 if _darkness_of_eyes(*ways[2]) < eyes - CLEARLY else as_it_lies


def _way(ways: Ways, turn: int, landmarker: FaceLandmarker) -> Detected:
    return ways[turn] if turn in ways else _detected(turned(ways[0][0], turn), landmarker)


def _winner(votes: Counter) -> int:
    """The turn with most votes; none where others have as many."""
    return max(votes, key=lambda turn: (votes[turn], -turn), default=0)


def _lead(votes: Counter) -> int:
    """By how many votes the first is before the second."""
    first, second = (*sorted(votes.values(), reverse=True), 0, 0)[:2]
    return first - second


def _darkness_of_eyes(frame: Frame, faces: list[Face]) -> float:
    """Log of the irises' gray over the cheeks' of the largest face; infinite without a face."""
    import cv2

    if not faces:
        return np.inf
    points = faces[0].points
    size = np.array(frame.rgb.shape[1::-1]) - 1
    gray = cv2.blur(cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY), (5, 5)).astype(np.float32) + 8.0

    def mean_log(landmarks) -> float:
        at = np.clip(points[list(landmarks)].astype(int), 0, size)
        return float(np.log(gray[at[:, 1], at[:, 0]]).mean())

    return mean_log(IRISES) - mean_log(CHEEKS)
