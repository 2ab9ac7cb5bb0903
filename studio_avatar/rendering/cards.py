"""Hair cards over a picture: layers of a see-through mesh in front of whatever was drawn before.

rays ─ cast through transparent texels ─► nearest card ─ shade ─► blend ─ next layer behind it ─► …
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LAYERS = 5  # of cards that are blended; further ones are hardly seen
VISIBLE = 0.04  # alpha below which a texel is not there


@dataclass(frozen=True)
class Cards:
    """A mesh with a see-through texture, lit on both sides alike, without shadows of its own.

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

    @property
    def uv_faces(self) -> np.ndarray:
        """As a `TexturedMesh` has them."""
        return self.faces

    @property
    def gloss(self) -> None:
        """As skin's."""


def blend(cast_layer, shade_layer, cards: Cards, depth: np.ndarray, colour: np.ndarray, hit: np.ndarray):
    """Lay cards over what rays saw.

    Args:
        cast_layer: (start (h, w), end (h, w)) metres along the ray → Warp arrays triangle, barycentric, distance, alpha of
            the nearest card in between. shade_layer: such hits → linear light (h, w, 3).
        depth: (h, w) metres along the ray to the opaque surface, infinite beside it. colour: (h, w, 3) linear light of it,
            black beside it. hit: (h, w) bool, where it is.
    Returns:
        linear light (h, w, 3), black where nothing is, and coverage (h, w) in [0, 1].
    """
    through = np.ones(depth.shape, np.float32)
    light = np.zeros_like(colour)
    start = np.zeros(depth.shape, np.float32)
    for _ in range(LAYERS):
        triangle, barycentric, distance, alpha = cast_layer(start, depth)
        seen = triangle.numpy()
        if not (seen >= 0).any():
            break
        tint = (cards.tint[cards.faces[seen]] * barycentric.numpy()[..., None]).sum(-2)
        share = through * alpha.numpy() * (seen >= 0)
        light += share[..., None] * shade_layer((triangle, barycentric, distance)) * tint
        through -= share
        start = np.where((seen >= 0) & (through > VISIBLE), distance.numpy(), np.inf).astype(np.float32)
    return light + through[..., None] * colour, 1 - through * (1 - hit)
