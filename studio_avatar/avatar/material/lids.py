"""The lids' paint: a wet rim that meets the eyeball, and skin instead of lashes where a blink unfolds it.

A phone sees the eye open: what it lays on the rim is eyeball and shadow, and on the upper lid lashes that stand in front
of it, which a blink would stretch over the whole lid.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.avatar.shapes.eye_rig import BORDER, EDGE, eye_rigs
from studio_avatar.head.geometry import geometry
from studio_avatar.head.layout import region_mask, texel_map, texel_positions
from studio_avatar.imaging.color import luma
from studio_avatar.imaging.ramps import smoothstep

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

FLESH = np.array([0.74, 0.44, 0.41], np.float32)  # sRGB, of the conjunctiva
RIM_FLESH, CORNER_FLESH, UPPER_RIM = 0.42, 0.75, 0.72  # shares of it; light left under the upper lid
CORNER_COLUMNS = 3.0  # from the inner corner, that the caruncle fades over
STROKE = 0.0085  # of the texture's width: lashes are thinner
CLEANED = 0.85  # share of the strokes' darkness that is taken off the upper lid
LASH_RING, CLEAN_FROM, CLEAN_TO, CLEAN_END = EDGE + 0.3, EDGE + 1.3, EDGE + 6.5, EDGE + 9.0  # rings


def paint_lids(texture: np.ndarray, head: HeadModel) -> np.ndarray:
    """The texture (H, H, 3) float32 sRGB in [0, 1] with painted rims and without lashes on the upper lids."""
    texture, size = np.array(texture, np.float32), len(texture)
    ring, corner, upper = np.moveaxis(_lid_places(head, size), -1, 0)
    lids = ring > 0
    _clean_upper_lids(texture, ring, upper)
    skin = np.median(texture[lids & (ring > EDGE + 2) & (ring < EDGE + 5) & (upper < 0.5)], 0)
    rim = (lids & (ring < EDGE + 0.15)) | region_mask(head, size, "eye_sockets")
    flesh = RIM_FLESH + (CORNER_FLESH - RIM_FLESH) * corner[..., None]
    color = (skin + (FLESH * np.sqrt(luma(skin) / luma(FLESH)) - skin) * flesh) * (
        1 - (1 - UPPER_RIM) * upper[..., None]
    )
    deep = smoothstep(ring, BORDER - 1.0, BORDER + 1.0)[..., None]
    share = smoothstep(ring, EDGE + 0.15, EDGE - 0.5)[..., None]
    painted = texture + (color * (0.35 + 0.65 * deep) - texture) * share
    texture[rim] = painted[rim]
    return texture


def _clean_upper_lids(texture, ring, upper):
    """Fill thin dark strokes with what is beside them (a morphological closing of the luma)."""
    from scipy.ndimage import gaussian_filter, grey_closing

    size = len(texture)
    share = (
        smoothstep(ring, LASH_RING, CLEAN_FROM) * smoothstep(ring, CLEAN_END, CLEAN_TO) * upper * (ring > 0)
    )
    rows, columns = np.nonzero(share)
    wide = max(3, round(STROKE * size))
    box = tuple(slice(max(0, at.min() - 2 * wide), at.max() + 2 * wide) for at in (rows, columns))
    patch = texture[box]
    closed = np.stack([grey_closing(patch[..., k], (wide, wide)) for k in range(3)], -1)
    closed = gaussian_filter(closed, (wide / 5, wide / 5, 0))
    texture[box] = patch + (closed - patch) * (CLEANED * share[box][..., None])


def _lid_places(head: HeadModel, size: int) -> np.ndarray:
    """(size, size, 3) float32 of each texel: its ring (0 away from the eyes), its nearness to the inner corner in
    [0, 1], and 1 on the upper lid, 0 on the lower, smooth at the corners.
    """
    places = _PLACES.setdefault(head, {})
    if size not in places:
        shape, values = geometry(head), np.zeros((len(geometry(head).neutral), 3))
        known = np.zeros(len(values), bool)
        for rig in eye_rigs(head):
            rings, columns = rig.rings.shape
            number = np.arange(columns)
            values[rig.rings, 0] = np.arange(rings)[:, None]
            values[rig.rings, 1] = np.clip(1 - np.minimum(number, columns - number) / CORNER_COLUMNS, 0, 1)
            values[rig.rings, 2] = np.where((number > 0) & (number < rig.outer_corner), 1, 0)
            values[rig.rings[:, [0, rig.outer_corner]], 2] = 0.5
            known[rig.rings] = True
        texels = texel_map(head, size)
        places[size] = texel_positions(texels, head, values)
        places[size][~(texels.covered & known[shape.faces].all(1)[texels.triangle])] = 0
    return places[size]


_PLACES: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
