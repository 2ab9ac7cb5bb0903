"""The iris color of a capture, freed of the capture's light."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.head.layout import region_mask
from studio_avatar.imaging.color import linear_to_srgb, srgb_to_linear

from .eyes import BROWN_IRIS, iris_mask

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

MIN_SEEN = 0.3  # confidence of an iris texel to count
MIN_TEXELS = 24
DARKEST, LIGHTEST = 0.05, 0.75  # sRGB; beyond, a reflection or the shadow of the lid was measured


def captured_iris(head: HeadModel, capture, texture: np.ndarray) -> np.ndarray:
    """Mean iris color (3,) sRGB in [0, 1]; brown, the most common, when the eyes were not seen.

    The light on the irises is taken to be that on the face: the ratio of the studio texture to the phone texture over
    the seen face, in linear color.

    Args:
        capture: `PhoneTexture`. texture: (H, W, 3) studio texture of the same size, sRGB in [0, 1].
    """
    size = capture.rgb.shape[0]
    iris = iris_mask(head, size) & (capture.seen > MIN_SEEN)
    face = region_mask(head, size, "face") & (capture.seen > MIN_SEEN)
    if iris.sum() < MIN_TEXELS or not face.any():
        return np.asarray(BROWN_IRIS, np.float32)
    light = _median_light(texture, face) / _median_light(capture.rgb, face).clip(1e-3)
    color = _median_light(capture.rgb, iris) * light
    return np.clip(linear_to_srgb(color), DARKEST, LIGHTEST).astype(np.float32)


def _median_light(texture, mask) -> np.ndarray:
    """Median linear color (3,) of the masked texels."""
    return np.median(srgb_to_linear(texture[mask]), axis=0)
