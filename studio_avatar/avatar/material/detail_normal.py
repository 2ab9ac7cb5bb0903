"""Fine bump of the skin from its color: pores and creases are darker than what surrounds them.

The mesh knows nothing smaller than a lid. A tangent-space normal map made from the texture's fine luminance makes
highlights break up as on skin; it is mild, because dark is not always deep (freckles, hair).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.head.layout import region_mask, texel_map
from studio_avatar.imaging.color import luma

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

COARSEST = 0.006  # of the texture: larger structures are color, not bump
RELIEF = 8.0  # slope per unit of log luma contrast between neighboring texels, at 1024 texels
STEEPEST = 0.5  # slope at which bump is cut off softly
# Share of the bump by region; hair and brows are dark without being deep, wet surfaces are smooth.
SHARE = {"face": 1.0, "neck": 0.7, "ears": 0.6, "lips": 0.6, "eyelids": 0.5, "scalp": 0.3, "brows": 0.3}


def detail_normal(texture: np.ndarray, head: HeadModel, strength: float = 1.0) -> np.ndarray:
    """Normal map of the texture's fine detail.

    Args:
        texture: (H, H, 3) float32 sRGB in [0, 1], layout head-v1.
        strength: factor on the bump; 0 is flat.
    Returns:
        (H, H, 3) float32 unit vectors in glTF's tangent space: x to the right, y up in the picture, z outward.
    """
    from scipy.ndimage import gaussian_filter

    size = texture.shape[0]
    log_luma = np.log(0.05 + luma(np.asarray(texture, np.float32)))
    height = log_luma - gaussian_filter(log_luma, COARSEST * size)
    rise_v, rise_u = np.gradient(height * (strength * RELIEF * size / 1024))
    steep = np.maximum(np.hypot(rise_u, rise_v), 1e-9)
    soft = STEEPEST * np.tanh(steep / STEEPEST) / steep * _share(head, size)
    normal = np.stack([-rise_u * soft, rise_v * soft, np.ones_like(height)], -1)  # row numbers run down
    return normal / np.linalg.norm(normal, axis=-1, keepdims=True)


def encode_normals(normals: np.ndarray) -> np.ndarray:
    """Unit vectors (H, W, 3) -> (H, W, 3) uint8 as glTF stores them: -1..1 to 0..255."""
    return np.rint((np.clip(normals, -1, 1) * 0.5 + 0.5) * 255).astype(np.uint8)


@functools.lru_cache(maxsize=4)
def _share(head: HeadModel, size: int) -> np.ndarray:
    """(size, size) float32 share of the bump, smooth between regions; 0 outside of the skin."""
    from scipy.ndimage import gaussian_filter

    share = np.zeros((size, size), np.float32)
    for region, value in SHARE.items():
        share[region_mask(head, size, region)] = value
    return gaussian_filter(share, size / 256) * texel_map(head, size).covered
