"""Eyes of one person: the eyeball turns in its own shape, and the lids glide over it.

The head's expressions are offsets of the mean head. On another person's eyeball, wider or flatter, the mean
head's gaze would push the eyeball through the lids, and its blink would cut through the eyeball.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.head.geometry import geometry

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

CLEARANCE = 3e-4  # meters between the eyeball and the outer skin of a lid
LID_REACH = 0.012  # meters in front of the mean eyeball within which skin counts as lid
STEPS = (
    0.25,
    0.5,
    0.75,
    1.0,
)  # a lid travels along a chord: it must be clear on the way, not only at the end
STILL = 1e-4  # meters; an expression that moves lids and eyeball less leaves the clearance as it is
SPREAD_ROUNDS = 12  # of smoothing, so that a lid is pushed as a sheet and not vertex by vertex


@dataclass(frozen=True)
class EyeRig:
    """What one eye needs to know about the head.

    ball: (b,) vertices of the eyeball; ball_faces: (f, 3) its front; lid: (n,) vertices of the lids' outer skin, in
    front of the eyeball; neighbors: (n, n) row-stochastic matrix of the lid's graph.
    """

    ball: np.ndarray
    ball_faces: np.ndarray
    lid: np.ndarray
    neighbors: np.ndarray


def eye_rigs(head: HeadModel) -> tuple[EyeRig, EyeRig]:
    """The rigs of the left and the right eye."""
    shape, normals = geometry(head), head.normals(head.neutral).cpu().numpy()
    skin = np.unique(shape.faces[shape.in_regions("eyelids", "face")])
    return tuple(
        _eye_rig(shape.neutral, normals, shape.faces, shape.faces[shape.in_regions(f"eyeball_{side}")], skin)
        for side in ("left", "right")
    )


def turn_in_own_shape(neutral: np.ndarray, offsets: np.ndarray, mean: np.ndarray, rig: EyeRig) -> None:
    """Carry the mean eyeball's turns over to this person's eyeball, in place.

    The affine map from the mean eyeball to the person's maps the mean's surface to the person's, and so a turn that
    keeps the one keeps the other.

    Args:
        neutral: (V, 3) person, meters. offsets: (E, V, 3), changed at the eyeball. mean: (V, 3) mean head.
    """
    source, target = mean[rig.ball], neutral[rig.ball]
    centred = source - source.mean(0)
    matrix = np.linalg.lstsq(centred, target - target.mean(0), rcond=None)[0]
    offsets[:, rig.ball] = offsets[:, rig.ball] @ matrix


def clear_lids(neutral: np.ndarray, offsets: np.ndarray, rig: EyeRig) -> None:
    """Push the lids in front of the eyeball, at rest and on the way to every expression, in place.

    Args:
        neutral: (V, 3) meters. offsets: (E, V, 3).
    """
    neutral[rig.lid] += _push(neutral[None], rig)[0]
    touched = np.abs(offsets[:, np.concatenate([rig.lid, rig.ball])]).max((1, 2)) > STILL
    for step in STEPS:
        posed = neutral + step * offsets[touched]
        push = _push(posed, rig) / step
        moved = offsets[touched]
        moved[:, rig.lid] += push
        offsets[touched] = moved


def clearance(posed: np.ndarray, rig: EyeRig) -> tuple[np.ndarray, np.ndarray]:
    """How far the lid's vertices stand off the eyeball, along rays from its middle.

    Args:
        posed: (N, V, 3) meters.
    Returns:
        (N, n) meters, negative inside, and the rays (N, n, 3) of unit length.
    """
    ball = posed[:, rig.ball]
    middle = (ball.min(1, keepdims=True) + ball.max(1, keepdims=True)) / 2
    corners = posed[:, rig.ball_faces]
    normal = np.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-20)
    height = ((corners[:, :, 0] - middle) * normal).sum(-1)  # (N, f)
    ray = posed[:, rig.lid] - middle
    distance = np.linalg.norm(ray, axis=-1)
    ray /= distance[..., None]
    slope = ray @ normal.transpose(0, 2, 1)  # (N, n, f)
    # The eyeball is convex: a ray leaves it through the first plane that it meets.
    surface = np.where(slope > 1e-3, height[:, None] / np.maximum(slope, 1e-3), np.inf).min(-1)
    return distance - surface, ray


def _push(posed: np.ndarray, rig: EyeRig) -> np.ndarray:
    """(N, n, 3) offsets that bring the lids off the eyeball, smooth over the lid."""
    free, ray = clearance(posed, rig)
    needed = np.maximum(CLEARANCE - free, 0.0)
    if not needed.any():
        return np.zeros_like(ray)
    spread = needed
    for _ in range(SPREAD_ROUNDS):
        spread = np.maximum(needed, spread @ rig.neighbors.T)
    return spread[..., None] * ray


def _eye_rig(neutral, normals, faces, ball_faces, skin) -> EyeRig:
    ball = np.unique(ball_faces)
    middle = neutral[ball].mean(0)
    front = ball_faces[neutral[ball_faces].mean(1)[:, 2] > middle[2] - 0.002]
    rig = EyeRig(ball, front, skin, np.empty(0))
    free, ray = clearance(neutral[None], rig)
    outward = (normals[skin] * ray[0]).sum(-1) > 0.3
    lid = skin[outward & (free[0] > 0) & (free[0] < LID_REACH) & (ray[0, :, 2] > 0.2)]
    return EyeRig(ball, front, lid, _neighbors(lid, faces))


def _neighbors(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Mean over the vertices at one edge's distance that belong to `vertices`, itself included."""
    number = np.full(faces.max() + 1, -1)
    number[vertices] = np.arange(len(vertices))
    matrix = np.eye(len(vertices), dtype=np.float32)
    for a, b in ((0, 1), (1, 2), (2, 0)):
        first, second = number[faces[:, a]], number[faces[:, b]]
        both = (first >= 0) & (second >= 0)
        matrix[first[both], second[both]] = matrix[second[both], first[both]] = 1
    return matrix / matrix.sum(1, keepdims=True)
