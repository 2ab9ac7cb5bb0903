"""Corrections of MakeHuman's mouth that are the same for everybody: teeth that show, a tongue that opens the lips it passes,
and a smile without a crease across the cheek.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.head.mesh_graph import neighbor_mean
from studio_avatar.imaging.ramps import smoothstep

if TYPE_CHECKING:
    from studio_avatar.head.geometry import HeadGeometry

# Meters, down and forward: MakeHuman's upper teeth end where the lips meet, a centimeter behind them, and are never seen.
UPPER_TEETH, LOWER_TEETH = (0.0, -0.0025, 0.0030), (0.0, 0.0, 0.0022)
LIP_RISE = 0.3  # of mouthUpperUp, that an open jaw has; mouthClose takes it back
TONGUE_JAW, TONGUE_LIP = 0.21, 0.5  # of jawOpen and of mouthUpperUp, that let the tongue out
SMILE_ROUNDS = 24  # of smoothing, a vertex' neighbors at a time
SMILE_NEAR, SMILE_FAR = (
    (0.004, 0.012),
    (0.040, 0.060),
)  # meters from the lips between which the cheek is smoothed


def teeth_forward(shape: HeadGeometry) -> np.ndarray:
    """(V, 3) meters by which the teeth of everybody's neutral face move."""
    jaw = shape.expression_basis[shape.expression("jawOpen")]
    teeth = np.unique(shape.faces[shape.in_regions("teeth")])
    lower = np.linalg.norm(jaw[teeth], axis=1) > 1e-3
    moved = np.zeros_like(shape.neutral)
    moved[teeth] = np.where(lower[:, None], LOWER_TEETH, UPPER_TEETH)
    return moved


def correct_mouth(shape: HeadGeometry, offsets: np.ndarray) -> None:
    """Change the mouth's expressions in place: offsets (52, V, 3) of the mean head."""
    lip = sum(offsets[shape.expression(f"mouthUpperUp{side}")] for side in ("Left", "Right"))
    jaw, close, tongue_out = (shape.expression(name) for name in ("jawOpen", "mouthClose", "tongueOut"))
    opened = TONGUE_JAW * offsets[jaw] + TONGUE_LIP * lip
    opened[np.unique(shape.faces[shape.in_regions("tongue")])] = 0
    offsets[tongue_out] += opened
    offsets[jaw] += LIP_RISE * lip
    offsets[close] -= LIP_RISE * lip
    share = _cheek_share(shape)
    mean = neighbor_mean(shape.faces, len(shape.neutral), np.float32)
    for side in ("Left", "Right"):
        smile = offsets[shape.expression(f"mouthSmile{side}")]
        for _ in range(SMILE_ROUNDS):
            smile += share[:, None] * (mean @ smile - smile)


def _cheek_share(shape: HeadGeometry) -> np.ndarray:
    """(V,) how much of a round of smoothing a vertex takes: 1 on the cheeks, 0 at the lips and far away."""
    from scipy.spatial import cKDTree

    lips = shape.neutral[np.unique(shape.faces[shape.in_regions("lips")])]
    distance = cKDTree(lips).query(shape.neutral)[0]
    skin = np.zeros(len(shape.neutral))
    skin[np.unique(shape.faces[shape.in_regions("face", "neck")])] = 1
    skin[np.unique(shape.faces[shape.in_regions("lips", "mouth", "eyelids")])] = 0
    return skin * smoothstep(distance, *SMILE_NEAR) * smoothstep(distance, *SMILE_FAR[::-1])
