"""The skin that hair lies on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.head.geometry import geometry
from studio_avatar.rendering.normals import vertex_normals

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

NEAR_M = 0.03  # hair further away cannot be under the skin


class Skin:
    """Face, scalp and neck of one person, made ready for many questions.

    Args:
        head: the model. neutral: (V, 3) meters, the person's vertices; of the mean head if None.
    """

    def __init__(self, head: HeadModel, neutral: np.ndarray | None = None):
        from scipy.spatial import cKDTree

        shape = geometry(head)
        neutral = shape.neutral if neutral is None else neutral[: len(shape.neutral)]
        number = np.unique(shape.faces[shape.in_regions("face", "scalp", "neck")])
        self.moved = neutral - shape.neutral  # (V, 3) from the mean head
        self._vertices = neutral[number]
        self._normals = vertex_normals(neutral, shape.faces)[number]
        self._tree = cKDTree(self._vertices)

    def heights(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How high points (N, 3) are above it, (N,) meters, negative inside; infinite further than `NEAR_M` away. And its
        normals there, (N, 3)."""
        distance, near = self._tree.query(points, distance_upper_bound=NEAR_M)
        known = np.isfinite(distance)
        near = np.where(known, near, 0)
        normals = self._normals[near]
        height = ((points - self._vertices[near]) * normals).sum(1)
        return np.where(known, height, np.inf).astype(np.float32), normals
