"""Hair cards: a see-through mesh in front of another one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .mesh import TexturedMesh

LETS_THROUGH = 0.5  # share of the light on a card that its gaps and strands let through


@dataclass(frozen=True)
class Cards:
    """A mesh with a see-through texture, lit on both sides alike; other cards throw no shadow on it.

    vertices, normals: (V, 3); faces: (F, 3); uv: (V, 2), v down; tint: (V, 3) linear factors; texture: (H, W, 4) float32
    sRGB and alpha in [0, 1]; occlusion: (V,) share of open sky in [0, 1].
    """

    vertices: np.ndarray
    normals: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    tint: np.ndarray
    texture: np.ndarray
    occlusion: np.ndarray

    def as_mesh(self) -> TexturedMesh:
        """The same triangles without holes and tint."""
        return TexturedMesh(self.vertices, self.faces, self.uv, self.faces, self.normals, self.occlusion)


def with_cards(mesh: TexturedMesh, cards: Cards) -> TexturedMesh:
    """Both as one solid shape, the mesh first, for shadows."""
    return TexturedMesh(
        np.concatenate([mesh.vertices, cards.vertices]),
        np.concatenate([mesh.faces, cards.faces + len(mesh.vertices)]),
        mesh.uv,
        mesh.uv_faces,
        np.concatenate([mesh.smooth_normals(), cards.normals]),
    )
