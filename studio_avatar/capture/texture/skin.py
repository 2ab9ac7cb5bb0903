"""Tell skin from what lies over it: collars, scarves and long hair on neck and ears must not become skin."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.imaging.color import luma
from studio_avatar.imaging.ramps import smoothstep

from .smoothing import blur
from .unwrap import View

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

SURE_TRUST = 0.7  # the face itself, seen from the front, is where the person's skin colors are learned
ENOUGH_SKIN = 20_000  # texels to learn them from
CHROMA_FLOOR = 0.07  # log units; even light leaves skin this much variety
LUMA_FLOOR = 0.35  # log units; the neck lies in the shadow of the chin
SKIN_BELOW, OTHER_ABOVE = 2.2, 3.2  # Mahalanobis distances
THIN = 1.0 / 23.0  # over the size of the texture: rims and strands are much thinner than this
THIN_CONTRAST = 0.35  # log units of luma
SPECK = 1.0 / 160.0  # smoothing, over the size of the texture: no decision about single texels
# Where clothes and hair lie. The face itself keeps beard, brows and glasses, but for its sides below the eyes, along which
# long hair falls; above, hair at the temples is what people are known by.
COVERED_REGIONS = ("neck", "ears")
SIDES = (0.05, -0.03, 0.022)  # meters in head space: |x| from, y from and to


def without_cover(view: View, head: HeadModel) -> View:
    """Take trust away from texels of neck, ears and the face's sides whose color is clearly not the skin of this face.

    The skin's colors are those of the frontal face in the same view, so that color casts do not matter.
    """
    size = view.trust.shape[0]
    asked = _often_covered(head, size) & (view.trust > 0.0)
    if not asked.any():
        return view
    distance = skin_distance(head, view.rgb, view.trust, asked)
    weight = blur(asked.astype(np.float32), SPECK * size)[asked]
    smooth = blur(distance, SPECK * size)[asked] / np.maximum(weight, 1e-3)
    trust = view.trust.copy()
    trust[asked] *= 1.0 - smoothstep(smooth, SKIN_BELOW, OTHER_ABOVE)
    return replace(view, trust=trust)


def _often_covered(head: HeadModel, size: int) -> np.ndarray:
    """(size, size) bool: texels of neck, ears and the face's sides."""
    from studio_avatar.head.geometry import geometry
    from studio_avatar.head.layout import texel_map

    shape, texels = geometry(head), texel_map(head, size)
    x, y, _ = shape.neutral[shape.faces].mean(1).T
    beside, low, high = SIDES
    sides = shape.in_regions("face") & (np.abs(x) > beside) & (y > low) & (y < high)
    return texels.covered & (shape.in_regions(*COVERED_REGIONS) | sides)[texels.triangle]


def skin_distance(head: HeadModel, rgb: np.ndarray, trust: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """(H, W) float32 Mahalanobis distance of each `asked` texel to the colors of this face's own skin, 0 elsewhere.

    rgb: (H, W, 3) sRGB in [0, 1]; trust: (H, W); asked: (H, W) bool. Zero everywhere when too little of the face is
    seen to know it.
    """
    from studio_avatar.head.layout import region_mask

    sure = np.flatnonzero(region_mask(head, len(trust), "face") & (trust > SURE_TRUST))
    distance = np.zeros_like(trust)
    if len(sure) >= 50:
        skin = rgb.reshape(-1, 3)[sure[:: max(len(sure) // ENOUGH_SKIN, 1)]]
        distance[asked] = _distance(_features(rgb[asked]), _features(skin))
    return distance


def thin_marks(rgb: np.ndarray) -> np.ndarray:
    """(H, W) bool: clearly darker or brighter than the middle of its surroundings, in a texture (H, W, 3) sRGB.

    Rims of glasses and strands of hair; also the borders of brows, lids and lips.
    """
    import cv2

    darkest, step = -6.0, 1.0 / 32.0  # OpenCV's median wants whole numbers
    log_luma = _features(rgb.reshape(-1, 3))[:, 2].reshape(rgb.shape[:2])
    levels = np.clip((log_luma - darkest) / step, 0, 255).astype(np.uint8)
    around = cv2.medianBlur(levels, 2 * round(0.5 * THIN * len(rgb)) + 1)
    return np.abs(levels.astype(np.int16) - around) > THIN_CONTRAST / step


def typical_chroma(rgb: np.ndarray) -> np.ndarray:
    """(2,) median of log(red / green) and log(blue / green) of sRGB colors (N, 3); the light has no say in differences."""
    return np.median(_features(rgb)[:, :2], axis=0)


def _features(rgb: np.ndarray) -> np.ndarray:
    """(N, 3) sRGB -> (N, 3): two log chromaticities, which light hardly changes, and log luma."""
    linear = np.power(np.maximum(rgb, 0.0), 2.2) + 0.002
    red, green, blue = np.log(linear).T
    return np.stack([red - green, blue - green, np.log(luma(linear))], axis=1)


def _distance(colors: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """(N,) Mahalanobis distance of `colors` (N, 3) from the middle half of `skin` (M, 3)."""
    middle = np.median(skin, axis=0)
    near = np.abs(skin - middle).sum(1)
    core = skin[near <= np.quantile(near, 0.8)]  # without brows, beard, glasses and highlights
    floor = np.diag([CHROMA_FLOOR**2, CHROMA_FLOOR**2, LUMA_FLOOR**2])
    inverse = np.linalg.inv(np.cov(core.T) + floor)
    whitened = (colors - core.mean(0)) @ np.linalg.cholesky(inverse).astype(np.float32)
    return np.sqrt(np.einsum("ni,ni->n", whitened, whitened))
