"""The scalp under hair: as dark as the hair above it, or every parting would show that it is a wig."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.head.layout import region_mask, texel_map, texel_normals, texel_positions
from studio_avatar.imaging.color import linear_to_srgb
from studio_avatar.imaging.ramps import smoothstep

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

SIZE = 256  # texels at which it is measured; it is smooth
ABOVE_M, NEAR_POINTS = (
    0.04,
    24,
)  # how high hair may be above skin that it covers; points of it that are looked at
BESIDE_M = (
    0.010,
    0.004,
)  # how far beside a point of skin the hair above it may be for it to be bare, and fully covered
SHADE = 0.7  # of the hair's color


def hair_cover(head: HeadModel, neutral: np.ndarray, points: np.ndarray, size: int) -> np.ndarray:
    """(size, size) float32 in [0, 1]: how much of each texel of the scalp hair lies over.

    neutral: (V, 3) the person's head. points: (P, 3) on the cards.
    """
    from scipy.ndimage import gaussian_filter
    from scipy.spatial import cKDTree

    scalp, texels = region_mask(head, SIZE, "scalp"), texel_map(head, SIZE)
    skin = neutral[: len(head.neutral)]
    places, normals = (of(texels, head, skin)[scalp] for of in (texel_positions, texel_normals))
    distance, near = cKDTree(points).query(places, NEAR_POINTS, distance_upper_bound=ABOVE_M)
    known = np.isfinite(distance)
    offset = points[np.where(known, near, 0)] - places[:, None]
    height = (offset * normals[:, None]).sum(-1)
    beside = np.linalg.norm(offset - height[..., None] * normals[:, None], axis=-1)
    beside = np.where(known & (height > -BESIDE_M[1]), beside, 1.0).min(1)
    cover = np.zeros((SIZE, SIZE), np.float32)
    cover[scalp] = smoothstep(beside, *BESIDE_M)
    # Soft on both sides of the scalp's border, but nothing far down on the forehead.
    cover = np.maximum(gaussian_filter(cover, 2.0), cover * gaussian_filter(cover, 4.0))
    return resized(cover, size)


def resized(cover: np.ndarray, size: int) -> np.ndarray:
    """A cover of any size at (size, size)."""
    from PIL import Image

    if len(cover) == size:
        return cover
    return np.asarray(Image.fromarray(cover).resize((size, size), Image.Resampling.BICUBIC)).clip(0, 1)


def shaded(texture: np.ndarray, cover: np.ndarray, color: np.ndarray) -> np.ndarray:
    """Texture (H, H, 3) uint8 sRGB with the covered scalp in the shade of hair of a linear color (3,)."""
    cover = resized(cover, len(texture))
    under = linear_to_srgb(SHADE * np.asarray(color, np.float32)) * 255
    return np.rint(texture + cover[..., None] * (under - texture)).astype(np.uint8)
