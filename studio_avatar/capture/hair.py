"""Where hair is in a few key frames: small pictures around the head, from which a style and its color are chosen.

They stay with the capture, so another style or none needs no new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from studio_avatar.head.landmark_ids import CHIN, FOREHEAD, NUM_SURFACE_LANDMARKS

MAX_VIEWS = 3
SIDE = 128  # pixels of a small picture
SEGMENTED_SIDE = 512  # pixels, as the network knows pictures
REACH = 3.0  # side of the part of the frame that is looked at, over the face's height
DOWN = 0.1  # how far its middle lies below the face's, over the face's height: long hair hangs


@dataclass(frozen=True)
class HairViews:
    """V small square pictures of the head.

    rgb: (V, S, S, 3) uint8 sRGB. hair: (V, S, S) uint8, 255 = hair. inside: (V, S, S) bool, where the frame is.
    corner: (V, 2) pixel of the frame at the small picture's top left; scale: (V,) small pixels a pixel of the frame.
    keyframe: (V,) number of the key frame, the most frontal first.
    """

    rgb: np.ndarray
    hair: np.ndarray
    inside: np.ndarray
    corner: np.ndarray
    scale: np.ndarray
    keyframe: np.ndarray


def find_hair(pictures: Sequence[np.ndarray], points: Sequence[np.ndarray], rotation, segmenter) -> HairViews:
    """Segment the hair in the most frontal key frame and those turned furthest to both sides.

    Args:
        pictures: K frames, uint8 (H, W, 3) sRGB. points: K times (478, 2) landmarks in pixels.
        rotation: (K, 3, 3) of the head. segmenter: a `HairSegmenter`.
    """
    forward = np.asarray(rotation)[:, :, 2]  # where the face looks, in camera axes: -z is towards the camera
    turned = np.arctan2(forward[:, 0], -forward[:, 2])
    order = [int(np.abs(turned).argmin()), int(turned.argmin()), int(turned.argmax())]
    chosen = list(dict.fromkeys(order))[:MAX_VIEWS]
    views = [_view(pictures[k], points[k], segmenter) for k in chosen]
    return HairViews(*(np.stack(parts) for parts in zip(*views, strict=True)), np.array(chosen))


def _view(picture, points, segmenter):
    height = float(np.linalg.norm(points[FOREHEAD] - points[CHIN]))
    side = REACH * height
    middle = points[:NUM_SURFACE_LANDMARKS].mean(0) + (0.0, DOWN * height)
    corner, scale = middle - side / 2, SEGMENTED_SIDE / side
    to_small = np.float32([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]])
    size = (SEGMENTED_SIDE, SEGMENTED_SIDE)
    shrunk = picture
    if scale < 0.5:  # or fine hair turns to noise
        factor = 2 * scale
        shrunk = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        to_small[:, :2] /= factor
    crop = cv2.warpAffine(shrunk, to_small, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    whole = np.full(shrunk.shape[:2], 255, np.uint8)
    inside = cv2.warpAffine(whole, to_small, size, flags=cv2.INTER_NEAREST) > 0
    hair = np.rint(segmenter.segment(crop) * 255).astype(np.uint8)
    small = (SIDE, SIDE)
    return (
        cv2.resize(crop, small, interpolation=cv2.INTER_AREA),
        cv2.resize(hair, small, interpolation=cv2.INTER_AREA),
        cv2.resize(inside.astype(np.uint8), small, interpolation=cv2.INTER_NEAREST).astype(bool),
        corner,
        SIDE / side,
    )
