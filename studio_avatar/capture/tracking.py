"""Points of the skin followed through the key frames, by aligning the frames in texture space."""

from collections.abc import Sequence

import numpy as np

from studio_avatar.capture.alignment import align
from studio_avatar.capture.fitting import Tracks
from studio_avatar.capture.unwrap import SKIN, View, triangle_material

GRID = 32  # tracked points along the side of the texture
MIN_TRUST = 0.25


def track_points(head, texels, views: Sequence[View]) -> Tracks:
    """Track points of the skin through K `views` of the same size as `texels` (a `TexelMap`)."""
    size = len(texels.triangle)
    trust, pixel = [], []
    at = (np.arange(GRID) * size // GRID) + size // (2 * GRID)
    rows, cols = (part.ravel() for part in np.meshgrid(at, at, indexing="ij"))
    triangle = texels.triangle[rows, cols]
    skin = (triangle >= 0) & (triangle_material(head)[triangle] == SKIN)
    rows, cols = rows[skin], cols[skin]
    for view in align(views):
        trust.append(view.trust[rows, cols])
        pixel.append(view.pixel[rows, cols])
    trust = np.stack(trust)
    trust[trust < MIN_TRUST] = 0.0
    kept = (trust > 0.0).sum(0) >= 2
    return Tracks(
        triangle=texels.triangle[rows, cols][kept],
        barycentric=texels.barycentric[rows, cols][kept],
        pixel=np.stack(pixel)[:, kept].astype(np.float64),
        trust=trust[:, kept].astype(np.float64),
    )
