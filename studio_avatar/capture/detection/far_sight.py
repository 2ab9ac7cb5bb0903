"""Look again in parts of the picture for somebody far away: MediaPipe's detector is made for faces that fill a fifth of it.

picture without a face ─► overlapping tiles ─► faces in them, each confirmed in a crop of its own ─► in the next pictures
a crop around the last place
"""

from dataclasses import replace
from itertools import product

import numpy as np

from .landmarks import Face, FaceLandmarker

TILE = 0.5  # side over the picture's short side
MOST_SEARCHES = 8  # pictures that are looked through tile by tile
CROP = 2.5  # side of the crop around a known face, over the face's size
SAME_FACE = 0.5  # distance of two finds over their size, below which they are one face


class FarSight:
    """Detects as `landmarker` does, and looks for far faces as long as nobody was found near.

    So captures of somebody near, which nearly all are, cost nothing and stay as they are.
    """

    def __init__(self, landmarker: FaceLandmarker):
        self._landmarker = landmarker
        self._somebody_near, self._searches = False, MOST_SEARCHES
        self._place: tuple[np.ndarray, float] | None = None  # middle and size of the last far face, pixels

    def detect(self, rgb: np.ndarray) -> list[Face]:
        """Faces in a picture `rgb` (H, W, 3) uint8 sRGB, the largest first."""
        faces = self._landmarker.detect(rgb)
        self._somebody_near |= bool(faces) and self._place is None
        if self._somebody_near:
            return faces
        # Whoever comes near later, or seems to for a picture, stands beside the one who is far.
        far = [] if self._place is None else self._around(rgb, *self._place)
        if not faces and not far and self._searches > 0:
            self._searches -= 1
            far = self._search(rgb)
        if far:
            largest = max(far, key=lambda face: face.size_px)
            self._place = largest.points.mean(0), largest.size_px
        faces += [one for one in far if not any(_same(one, other) for other in faces)]
        return sorted(faces, key=lambda face: -face.size_px)

    def _search(self, rgb: np.ndarray) -> list[Face]:
        """Look through the whole picture; what is found in a tile has to be found again in the middle of a crop."""
        side = int(TILE * min(rgb.shape[:2]))
        tops, lefts = (_starts(length, side) for length in rgb.shape[:2])
        found = []
        for top, left in product(tops, lefts):
            for face in self._in_crop(rgb, left, top, side):
                again = self._around(rgb, face.points.mean(0), face.size_px)
                found += [one for one in again if not any(_same(one, other) for other in found)]
        return found

    def _around(self, rgb: np.ndarray, middle: np.ndarray, size: float) -> list[Face]:
        side = min(int(CROP * size), *rgb.shape[:2])
        left, top = (
            int(np.clip(at - 0.5 * side, 0, length - side))
            for at, length in zip(middle, rgb.shape[1::-1], strict=True)
        )
        return self._in_crop(rgb, left, top, side)

    def _in_crop(self, rgb: np.ndarray, left: int, top: int, side: int) -> list[Face]:
        faces = self._landmarker.detect(rgb[top : top + side, left : left + side])
        return [replace(face, points=face.points + np.array((left, top), np.float32)) for face in faces]


def _starts(length: int, side: int) -> list[int]:
    """Where tiles begin that overlap by at least half."""
    return np.linspace(0, length - side, 2 * -(-length // side) - 1).astype(int).tolist()


def _same(one: Face, other: Face) -> bool:
    distance = np.linalg.norm(one.points.mean(0) - other.points.mean(0))
    return bool(distance < SAME_FACE * max(one.size_px, other.size_px))
