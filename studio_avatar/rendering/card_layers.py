"""Hair cards over a picture: layers of a see-through mesh in front of whatever was drawn before. Needs Warp.

rays ─ cast through transparent texels ─► nearest card ─ shade ─► blend ─ next layer behind it ─► …
"""

from dataclasses import dataclass, replace

import numpy as np
import warp as wp

from . import structs
from .card_kernels import CardSurface, cast_through
from .cards import Cards
from .light import Light
from .mesh import Skin
from .options import RenderOptions
from .picture import RayGrid
from .shading import Shader
from .upload import coordinates, indices, new_hits, new_shape, primary_rays, scalars

LAYERS = 5  # of cards that are blended; further ones are hardly seen
VISIBLE = 0.04  # alpha below which a texel is not there
HAIR = Skin(specular=0.5, roughness=0.6)


@dataclass(frozen=True)
class Layer:
    """The cards that rays meet next: their hits, and (h, w) share of the ray's light, (h, w, 3) tint."""

    hits: structs.Hits
    share: np.ndarray
    tint: np.ndarray


class CardLayers:
    """What of the cards rays meet in front of a mesh, which no light or texture behind them changes.

    through: (h, w) share in [0, 1] of the rays' light that is left of what lies behind the cards.
    """

    def __init__(self, cards: Cards, grid: RayGrid, behind: structs.Hits, options: RenderOptions):
        """behind: where the rays of `grid` meet the mesh."""
        shape = new_shape(cards.vertices, cards.faces, options.device)
        self._grid = grid
        # They cast no shadow on each other, so that one ray to a lamp is more than enough.
        self._shader = Shader(
            cards.as_mesh(), shape, cards.texture[None, ..., :3], HAIR, replace(options, shadow_samples=1)
        )
        limit = grid.along_rays(behind.depth.numpy())
        self._layers, self.through = _look_through(cards, shape, grid, limit, options.device)

    def over(self, light_behind: np.ndarray, light: Light) -> np.ndarray:
        """Linear light (T, h, w, 3) from the mesh behind -> the same seen through the cards, with the cards' own."""
        unshadowed = light.without_shadows()
        own = np.zeros((*self._grid.shape, 3), np.float32)
        for layer in self._layers:
            shaded = self._shader.radiance(layer.hits, self._grid.camera, unshadowed)[0]
            own += layer.share[..., None] * shaded * layer.tint
        return own + self.through[..., None] * light_behind


def _look_through(
    cards: Cards, shape: wp.Mesh, grid: RayGrid, limit: np.ndarray, device: str
) -> tuple[list[Layer], np.ndarray]:
    """Layers, the nearest first, and what is left behind them; limit: (h, w) meters along the ray to the mesh."""
    surface, rays = _surface(cards, shape, device), primary_rays(grid)
    end = scalars(limit, device)
    start = np.zeros(grid.shape, np.float32)
    through = np.ones(grid.shape, np.float32)
    layers = []
    for _ in range(LAYERS):
        hits, alpha = new_hits(grid.shape, device), wp.empty(grid.shape, dtype=wp.float32, device=device)
        inputs = [surface, rays, scalars(start, device), end, hits]
        wp.launch(cast_through, dim=grid.shape, inputs=inputs, outputs=[alpha], device=device)
        triangle = hits.triangle.numpy()
        seen = triangle >= 0
        if not seen.any():
            break
        tint = (cards.tint[cards.faces[triangle]] * hits.barycentric.numpy()[..., None]).sum(-2)
        share = through * alpha.numpy() * seen
        layers.append(Layer(hits, share, tint))
        through = through - share
        start = np.where(seen & (through > VISIBLE), hits.depth.numpy(), np.inf)
    return layers, through


def _surface(cards: Cards, shape: wp.Mesh, device: str) -> CardSurface:
    surface = CardSurface()
    surface.shape, surface.visible = shape.id, VISIBLE
    surface.uv, surface.faces = coordinates(cards.uv, device), indices(cards.faces, device)
    surface.opacity = scalars(cards.texture[..., 3], device)
    return surface
