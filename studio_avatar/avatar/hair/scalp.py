"""The scalp under hair: as dark as the hair above it, or every parting would show that it is a wig. And hair without
cards, such as is cropped: painted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.head.layout import region_mask, texel_map, texel_normals, texel_positions
from studio_avatar.imaging.color import linear_to_srgb
from studio_avatar.imaging.ramps import smoothstep

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

    from .views import HeadView

SIZE = 256  # texels at which it is measured; it is smooth
ABOVE_M, NEAR_POINTS = (
    0.04,
    24,
)  # how high hair may be above skin that it covers; points of it that are looked at
BESIDE_M = (
    0.010,
    0.004,
)  # how far beside a point of skin the hair above it may be for it to be bare, and fully covered
# Beside the face: how high above the skin cards lie on it; how far beside them it is bare, and fully covered; how far from
# the scalp there may be any; shares of the normal sidewards; how much of the skin's color they take at most.
ON_SKIN_M, BESIDE_SIDEBURN_M, SIDEBURN_M, SIDEWARDS, SIDEBURN = 0.010, (0.010, 0.003), 0.05, (0.5, 0.8), 0.8
SHADE = 0.7  # of the hair's color
SKIN_THROUGH = 0.2  # share of the skin that shines through it
GRAIN = 0.3  # standard deviation of that share from texel to texel
SOFT = 3.0  # texels of `SIZE` over which its outline fades
FACING = 0.25  # cosine of the angle between skin and camera from which on a picture is believed


def hair_cover(head: HeadModel, neutral: np.ndarray, points: np.ndarray, size: int) -> np.ndarray:
    """(size, size) float32 in [0, 1]: how much of each texel of the skin hair lies over, on the scalp and beside the face.

    neutral: (V, 3) the person's head. points: (P, 3) on the cards.
    """
    scalp = resized(_scalp_cover(head, neutral, points), size)
    return np.maximum(scalp, _grained(resized(_sideburns(head, neutral, points), size)))


def _scalp_cover(head: HeadModel, neutral: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(SIZE, SIZE) float32 in [0, 1] of the scalp alone."""
    from scipy.ndimage import gaussian_filter

    scalp, places, normals = _skin_of(head, neutral, "scalp")
    _, beside = _nearest_hair(places, normals, points)
    cover = np.zeros((SIZE, SIZE), np.float32)
    cover[scalp] = smoothstep(beside.min(1), *BESIDE_M)
    # Soft on both sides of the scalp's border, but nothing far down on the forehead.
    return np.maximum(gaussian_filter(cover, 2.0), cover * gaussian_filter(cover, 4.0))


def _sideburns(head: HeadModel, neutral: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(SIZE, SIZE) float32 in [0, 1] beside the face, where cards that lie on bare skin would be clumps of moss."""
    from scipy.ndimage import gaussian_filter
    from scipy.spatial import cKDTree

    face, places, normals = _skin_of(head, neutral, "face")
    heights = places[:, 1] - 0.5 * (
        places[:, 1].min() + places[:, 1].max()
    )  # not where long hair touches the jaw
    side = smoothstep(np.abs(normals[:, 0]), *SIDEWARDS) * smoothstep(heights, -0.005, 0.005)
    there = side > 0  # a third of the face, which is slow to compare with all the hair
    from_scalp = cKDTree(_skin_of(head, neutral, "scalp")[1]).query(places[there])[0]
    height, beside = _nearest_hair(places[there], normals[there], points)
    near = smoothstep(np.where(height < ON_SKIN_M, beside, 1.0).min(1), *BESIDE_SIDEBURN_M)
    side[there] *= near * smoothstep(from_scalp, SIDEBURN_M, 0.6 * SIDEBURN_M)
    cover = np.zeros((SIZE, SIZE), np.float32)
    cover[face] = SIDEBURN * side
    return gaussian_filter(cover, 2.0)


def _nearest_hair(
    places: np.ndarray, normals: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(N, K) meters: how high the nearest `points` (P, 3) of hair are above `places` (N, 3) of the skin, and how far beside;
    1 beside where there is none."""
    from scipy.spatial import cKDTree

    distance, near = cKDTree(points).query(places, NEAR_POINTS, distance_upper_bound=ABOVE_M)
    known = np.isfinite(distance)
    offset = points[np.where(known, near, 0)] - places[:, None]
    height = (offset * normals[:, None]).sum(-1)
    beside = np.linalg.norm(offset - height[..., None] * normals[:, None], axis=-1)
    return height, np.where(known & (height > -BESIDE_M[1]), beside, 1.0)


def painted_cover(
    head: HeadModel, neutral: np.ndarray, points: np.ndarray, views: list[HeadView], size: int
) -> np.ndarray:
    """(size, size) float32 in [0, 1]: how much of each texel of the scalp has hair, where that has no cards.

    Where a picture looks at the scalp, as much as hair is segmented there; elsewhere the outline of a cropped style.

    Args:
        neutral: (V, 3) the person's head. points: (P, 3) on the cards of that style on it. views: the capture's pictures.
    """
    from scipy.ndimage import gaussian_filter

    scalp, places, normals = _skin_of(head, neutral, "scalp")
    known, hair = np.zeros((2, SIZE, SIZE), np.float32)
    for view in views:
        weight = view.facing(places, normals, FACING)
        column, row = np.floor(view.see(places)[0][weight > 0]).astype(int).T
        shown = np.zeros(len(places), np.float32)
        shown[weight > 0] = view.hair[row, column]
        known[scalp] += weight
        hair[scalp] += weight * shown
    known, hair = gaussian_filter(known, 3.0), gaussian_filter(hair, 3.0)
    believed = np.minimum(known, 1.0)
    share = believed * hair / np.maximum(known, 1e-4) + 1 - believed
    outline = gaussian_filter(_scalp_cover(head, neutral, points), SOFT) * scalp
    return resized((outline * share).astype(np.float32), size)


def _skin_of(head: HeadModel, neutral: np.ndarray, region: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(SIZE, SIZE) bool, texels of a region; (N, 3) meters, where they are, and (N, 3) their normals."""
    inside, texels = region_mask(head, SIZE, region), texel_map(head, SIZE)
    skin = neutral[: len(head.neutral)]
    return inside, *(of(texels, head, skin)[inside] for of in (texel_positions, texel_normals))


def stubble(cover: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """`cover` (H, H) as it is to be painted: skin between the hairs, and nothing where the phone saw hair, `seen` (H, H)."""
    return _grained(cover * (1 - SKIN_THROUGH)) * (1 - np.asarray(seen, np.float32))


def _grained(cover: np.ndarray) -> np.ndarray:
    """A cover (H, H) with skin between the hairs."""
    grain = np.random.default_rng(0).normal(1.0, GRAIN, cover.shape).astype(np.float32)
    return (cover * grain).clip(0, 1)


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
