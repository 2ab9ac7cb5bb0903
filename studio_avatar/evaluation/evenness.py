"""How evenly a texture is lit, where nobody knows the true one: by how much its two halves differ.

A face is nearly its own mirror image, and the light on it is not. Coarse brightness alone counts: moles, partings and
wrinkles are finer, or few.
"""

import cv2
import numpy as np

from studio_avatar.imaging.color import luma, srgb_to_linear

SIDE = 256  # texels at which it is measured
SMOOTH = 7.0  # standard deviation of the Gaussian mean, in these
DARKEST = 0.01  # linear luma that is added before the logarithm
SEEN_AT = 0.3


def unevenness(texture: np.ndarray, seen: np.ndarray, skin: np.ndarray) -> float:
    """Mean difference of the logarithm of coarse brightness between mirrored places of the face.

    texture: (S, S, 3) sRGB in [0, 1], of a layout that is its own mirror image. seen: (S, S) in [0, 1]. skin: (S, S) bool.
    Places that were seen on both sides count; NaN where there are none.
    """
    rgb, visibility, face = (
        cv2.resize(np.asarray(part, np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        for part in (texture, seen, skin)
    )
    weight = visibility * face
    brightness = np.log(luma(srgb_to_linear(rgb.clip(0, 1))) + DARKEST)
    coarse = _blurred(brightness * weight) / np.maximum(_blurred(weight), 1e-6)
    both = weight * weight[:, ::-1] * (np.minimum(visibility, visibility[:, ::-1]) > SEEN_AT)
    return float((np.abs(coarse - coarse[:, ::-1]) * both).sum() / both.sum()) if both.any() else float("nan")


def _blurred(values: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(np.ascontiguousarray(values, np.float32), (0, 0), SMOOTH)
