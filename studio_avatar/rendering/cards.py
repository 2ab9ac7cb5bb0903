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


@dataclass(frozen=True)
class Layer:
    """The cards that rays meet next: Warp arrays of the hits, and (h, w) share of the ray's light, (h, w, 3) tint."""

    hits: tuple
    share: np.ndarray
    tint: np.ndarray


def look_through(cast_layer, cards: Cards, depth: np.ndarray) -> tuple[list[Layer], np.ndarray]:
    """What of the cards rays meet, which no light or texture behind them changes.

    Args:
        cast_layer: (start (h, w), end (h, w)) metres along the ray → Warp arrays triangle, barycentric, distance, alpha of
            the nearest card in between.
        depth: (h, w) metres along the ray to the opaque surface, infinite beside it.
    Returns:
        layers, the nearest first, and (h, w) share in [0, 1] that is left of what lies behind them.
    """
    through = np.ones(depth.shape, np.float32)
    start = np.zeros(depth.shape, np.float32)
    layers = []
    for _ in range(LAYERS):
        triangle, barycentric, distance, alpha = cast_layer(start, depth)
        seen = triangle.numpy()
        if not (seen >= 0).any():
            break
        tint = (cards.tint[cards.faces[seen]] * barycentric.numpy()[..., None]).sum(-2)
        share = through * alpha.numpy() * (seen >= 0)
        layers.append(Layer((triangle, barycentric, distance), share, tint))
        through = through - share
        start = np.where((seen >= 0) & (through > VISIBLE), distance.numpy(), np.inf).astype(np.float32)
    return layers, through


def light_of(layers: list[Layer], shade_layer, shape: tuple[int, int]) -> np.ndarray:
    """Linear light (h, w, 3) of `shape` that the cards send along the rays; shade_layer: hits → linear light (h, w, 3)."""
    light = np.zeros((*shape, 3), np.float32)
    for layer in layers:
        light += layer.share[..., None] * shade_layer(layer.hits) * layer.tint
    return light
