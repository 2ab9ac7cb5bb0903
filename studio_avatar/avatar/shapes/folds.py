"""No triangle of the face's skin turns over: expressions that crumple another person's cheek are stiffened there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.head.geometry import geometry
from studio_avatar.rendering.normals import face_normals

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

# Lips and lids roll in and out, so their triangles may turn over; the rest of the skin may not.
SKIN = ("face", "brows", "ears", "scalp", "neck")
WATCHED_STRAIN = 0.03  # triangles that deform less on the mean head turn over on nobody
SAFE_COSINE = 0.1  # between a triangle's normals at rest and in the expression
ROUNDS, SHARE = 200, 0.7  # of stiffening, and how far a round goes


@dataclass(frozen=True)
class FoldRig:
    """expression, triangle: (n,) pairs worth watching, triangle as vertices (n, 3); companion: (E,) the
    expression that always comes with one, or -1.
    """

    expression: np.ndarray
    triangle: np.ndarray
    companion: np.ndarray


def fold_rig(head: HeadModel, offsets: np.ndarray) -> FoldRig:
    """offsets: (E, V, 3) of the mean head, the first 52 in its order."""
    shape = geometry(head)
    skin, neutral = shape.faces[shape.in_regions(*SKIN)], shape.neutral
    companion = np.full(len(offsets), -1)
    # ARKit's mouthClose shuts the lips of an open jaw; without the jaw it is no face that anybody makes.
    companion[shape.expression("mouthClose")] = shape.expression("jawOpen")
    shortest = _edges(neutral[skin]).min(-1)
    pairs = [
        (number, skin[_edges(pose[skin]).max(-1) > WATCHED_STRAIN * shortest])
        for number, pose in enumerate(_together(offsets, companion))
    ]
    expression = np.concatenate([np.full(len(triangles), number) for number, triangles in pairs])
    triangle = np.concatenate([triangles for _, triangles in pairs])
    return FoldRig(expression, triangle, companion)


def unfold(neutral: np.ndarray, offsets: np.ndarray, rig: FoldRig) -> None:
    """Stiffen the triangles that turn over, in place: offsets (E, V, 3), neutral (V, 3) meters."""
    rest = face_normals(neutral[rig.triangle])
    watched = np.arange(len(rig.expression))
    for _ in range(ROUNDS):
        expression, triangle = rig.expression[watched], rig.triangle[watched]
        together = offsets[expression[:, None], triangle]
        companion = rig.companion[expression]
        together = together + np.where(companion[:, None, None] < 0, 0, offsets[companion[:, None], triangle])
        cosine = (face_normals(neutral[triangle] + together) * rest[watched]).sum(-1)
        folded = cosine < SAFE_COSINE
        if not folded.any():
            if len(watched) == len(rig.expression):
                return
            watched = np.arange(len(rig.expression))  # stiffening one expression moves its companion
            continue
        for number in np.unique(expression[folded]):
            _stiffen(offsets[number], triangle[folded & (expression == number)])
        watched = watched[np.isin(expression, expression[folded])]


def _stiffen(offset: np.ndarray, triangles: np.ndarray) -> None:
    """Bring the offsets (V, 3) of each triangle's corners nearer to each other, in place."""
    vertices, place = np.unique(triangles, return_inverse=True)
    mean = np.broadcast_to(offset[triangles].mean(1, keepdims=True), (*triangles.shape, 3)).reshape(-1, 3)
    total = np.stack([np.bincount(place.ravel(), mean[:, axis]) for axis in range(3)], 1)
    mean = total / np.bincount(place.ravel())[:, None]
    offset[vertices] += SHARE * (mean - offset[vertices]).astype(np.float32)


def _together(offsets, companion):
    """Offsets as they are used: with the companion's, where there is one."""
    return offsets + np.where(companion[:, None, None] < 0, 0, offsets[companion])


def _edges(corners: np.ndarray) -> np.ndarray:
    """(..., 3, 3) triangles -> (..., 3) lengths of their edges."""
    return np.linalg.norm(corners - np.roll(corners, -1, -2), axis=-1)
