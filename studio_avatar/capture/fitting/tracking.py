"""Points of the skin followed through the key frames, in texture space, where the fit has undone most of the motion.

Corners of the skin's own pattern are looked for in every view and followed into every other one (Lucas and Kanade
1981, in a pyramid; there and back again must end where it began).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.capture.texture.smoothing import blur
from studio_avatar.capture.texture.unwrap import SKIN, View, triangle_material

from .head_fit import Tracks

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

THREADS = 2  # at most: OpenCV follows them outside of Python's lock
CORNERS_A_VIEW = 80
CORNER_TRUST, MIN_TRUST = 0.5, 0.3  # where corners are looked for, and may be found again
# Over the size of the texture.
CORNER_DISTANCE = 1.0 / 60.0
MAX_SHIFT = 1.0 / 50.0  # a larger one is a wrong match, not a fitting error
TANGENTIAL_SIGMA_M = 0.008  # how far a corner may lie beside the place that the fit so far gives it, meters
MAX_RETURN = 0.4 / 1024.0  # distance of there and back again from the beginning
PATTERN = 1.0 / 85.0  # slow changes over more than this are light
CORNER_QUALITY, CORNER_BLOCK, WINDOW, LEVELS = 0.01, 9, (31, 31), 2  # of OpenCV; texels


def track_points(head: HeadModel, texels, views: Sequence[View]) -> Tracks:
    """Track points of the skin through K `views` of the same size as `texels` (a `TexelMap`)."""
    import cv2

    skin = (texels.triangle >= 0) & (triangle_material(head)[texels.triangle] == SKIN)

    def followed(number: int) -> tuple[np.ndarray, ...]:
        """The corners of one view, in all views."""
        view = views[number]
        cols, rows = _corners(patterns[number], skin & (view.trust > CORNER_TRUST)).astype(int).T
        begin = np.stack([cols, rows], axis=1).astype(np.float32)
        pixel = np.zeros((len(views), len(begin), 2))
        trust = np.zeros((len(views), len(begin)))
        for k, other in enumerate(views):
            if k == number:
                pixel[k], trust[k] = view.pixel[rows, cols], 1.0
            elif len(begin):
                pixel[k], trust[k] = _found_again(patterns[number], patterns[k], other, begin)
        kept = (trust > 0.0).sum(0) >= 2
        place = rows[kept], cols[kept]
        return texels.triangle[place], texels.barycentric[place], pixel[:, kept], trust[:, kept]

    with ThreadPoolExecutor(min(THREADS, cv2.getNumThreads())) as pool:
        patterns = list(pool.map(_pattern, views))
        parts = list(pool.map(followed, range(len(views))))
    triangle, barycentric, pixel, trust = zip(*parts, strict=True)
    triangle = np.concatenate(triangle)
    return Tracks(
        triangle, np.concatenate(barycentric), np.concatenate(pixel, 1), np.concatenate(trust, 1),
        np.full(len(triangle), TANGENTIAL_SIGMA_M),
    )  # fmt: skip


def _corners(pattern: np.ndarray, where: np.ndarray) -> np.ndarray:
    """(N, 2) columns and rows of places that can be told from their neighbors, at most `CORNERS_A_VIEW`."""
    import cv2

    inside = cv2.erode(where.astype(np.uint8), np.ones((CORNER_BLOCK, CORNER_BLOCK)))
    found = cv2.goodFeaturesToTrack(
        pattern,
        CORNERS_A_VIEW,
        CORNER_QUALITY,
        CORNER_DISTANCE * len(pattern),
        mask=inside,
        blockSize=CORNER_BLOCK,
    )
    return np.zeros((0, 2)) if found is None else found[:, 0]


def _found_again(pattern, other_pattern, other: View, begin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the frame of `other` shows what `pattern` shows at `begin` (N, 2): pixels (N, 2), trust (N,) 0 or 1."""
    import cv2

    end = _follow(pattern, other_pattern, begin)
    back = _follow(other_pattern, pattern, end)
    pixel, trust = (
        cv2.remap(image, end[None], None, cv2.INTER_LINEAR)[0] for image in (other.pixel, other.trust)
    )
    size = len(pattern)
    sure = np.linalg.norm(back - begin, axis=1) < MAX_RETURN * size
    sure &= np.linalg.norm(end - begin, axis=1) < MAX_SHIFT * size
    return pixel, (sure & (trust > MIN_TRUST)).astype(np.float64)


def _follow(pattern: np.ndarray, other_pattern: np.ndarray, begin: np.ndarray) -> np.ndarray:
    """(N, 2) where `other_pattern` shows what `pattern` shows at `begin`; far away where it is not found."""
    import cv2

    end, found, _ = cv2.calcOpticalFlowPyrLK(
        pattern, other_pattern, begin[:, None], begin[:, None].copy(),
        winSize=WINDOW, maxLevel=LEVELS, flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )  # fmt: skip
    return np.where(found > 0, end[:, 0], np.float32(-len(pattern)))


def _pattern(view: View) -> np.ndarray:
    """Luma without slow light, of one contrast everywhere: (H, W) uint8, flat where nothing is seen."""
    import cv2

    seen = (view.trust > 0.05).astype(np.float32)
    sigma = PATTERN * len(seen)

    def mean(image: np.ndarray, sigma: float) -> np.ndarray:
        return blur(image * seen, sigma) / (blur(seen, sigma) + 1e-3)

    luma = cv2.cvtColor(view.rgb, cv2.COLOR_RGB2GRAY)
    detail = (luma - mean(luma, sigma)) * seen
    spread = np.sqrt(mean(detail**2, 2.0 * sigma)) + 0.004
    return np.clip(128.0 + 40.0 * detail / spread, 0.0, 255.0).astype(np.uint8)
