"""Head renderer without a window or a GPU: ray casting on NVIDIA Warp meshes.

    mesh + texture + camera ─ cast ─► triangle, barycentric, depth ─ shade ─► linear light ─► picture
                                                     environment (9 harmonics) × ambient occlusion
                                                   + lamps × shadow rays + skin gloss (GGX)

Used to draw previews of avatars and to simulate phone captures with a known answer. Runs on the CPU (one core) and on
CUDA with the same code.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from studio_avatar.errors import InvalidInputError

from .camera import Camera
from .cards import Cards, with_cards
from .light import FLAT, Light
from .mesh import SKIN, Skin, TexturedMesh
from .options import DEFAULTS, RenderOptions
from .picture import RayGrid, Rendering, Window, on_background
from .runtime import start_warp


def render(
    mesh: TexturedMesh,
    texture: np.ndarray,
    camera: Camera,
    light: Light = FLAT,
    skin: Skin = SKIN,
    options: RenderOptions = DEFAULTS,
    background: np.ndarray | None = None,
    srgb: bool = True,
    cards: Cards | None = None,
) -> Rendering:
    """Draw one textured mesh.

    Args:
        texture: (H, W, 3) float32, sRGB-encoded in [0, 1].
        background: (H, W, 3) in the same encoding as the result, or None for black.
        srgb: encode the result as sRGB, clipped to [0, 1]; otherwise linear light.
        cards: hair in front of the mesh, which casts its shadow on it; the geometry of the result is without it.

    Raises:
        InvalidInputError: the texture or the background has the wrong shape.
        MissingDependencyError: `warp-lang` is not installed.
    """
    return render_each(mesh, texture[None], camera, [light], skin, options, background, srgb, cards)[0][0]


def render_each(
    mesh: TexturedMesh,
    textures: np.ndarray,
    camera: Camera,
    lights: Sequence[Light],
    skin: Skin = SKIN,
    options: RenderOptions = DEFAULTS,
    background: np.ndarray | None = None,
    srgb: bool = True,
    cards: Cards | None = None,
) -> list[list[Rendering]]:
    """What `render` draws, for each of `textures` (T, H, W, 3) a list with one `Rendering` for each of `lights`.

    The mesh is looked at once, and shadows are found once a light, so that all of them take little longer than one texture.
    """
    _check(textures, camera, background)
    start_warp()
    from .shading import Shader, cast
    from .upload import new_shape

    shape = new_shape(mesh.vertices, mesh.faces, options.device)
    seen = mesh.vertices if cards is None else np.concatenate([mesh.vertices, cards.vertices])
    window = Window.around(seen, camera)
    grid, pixels = RayGrid(camera, window, options.supersample), RayGrid(camera, window)
    hits = cast(shape, grid, options.device)
    center_hits = hits if options.supersample == 1 else cast(shape, pixels, options.device)
    geometry, coverage, layers = _geometry(center_hits, pixels), hits.triangle.numpy() >= 0, None
    if cards is not None:
        from .card_layers import CardLayers

        layers = CardLayers(cards, grid, hits, options)
        coverage = 1 - layers.through * (1 - coverage)
        solid = with_cards(mesh, cards)
        shape = new_shape(solid.vertices, solid.faces, options.device)
    shader = Shader(mesh, shape, textures, skin, options)
    alpha = grid.averaged(coverage)
    rows = [[] for _ in textures]
    for light in lights:
        colors = shader.radiance(hits, camera, light)
        if layers is not None:
            colors = layers.over(colors, light)
        for row, color in zip(rows, colors, strict=True):
            rgb = on_background(grid.averaged(color), alpha, background, srgb)
            row.append(Rendering(rgb, alpha, *geometry))
    return rows


def render_texels(
    mesh: TexturedMesh,
    texels,
    texture: np.ndarray,
    camera: Camera,
    light: Light,
    skin: Skin = SKIN,
    options: RenderOptions = DEFAULTS,
) -> tuple[np.ndarray, np.ndarray]:
    """What `camera` would see of every texel, had each a free line of sight, and which it really sees.

    The same shading as `render`, without the picture in between: a hundredth of the rays.

    Args:
        texels: the `TexelMap` of the texture layout, (S, S).
        texture: (H, W, 3) float32, sRGB-encoded in [0, 1].

    Returns:
        linear light (S, S, 3), black off the charts; cosine between normal and line of sight (S, S), 0 where hidden.
    """
    start_warp()
    from .shading import Shader
    from .upload import hits_on_texels, new_shape

    shape = new_shape(mesh.vertices, mesh.faces, options.device)
    shader = Shader(mesh, shape, texture[None], skin, options)
    hits = hits_on_texels(texels, options.device)
    return shader.radiance(hits, camera, light)[0], shader.facing(hits, camera)


def _check(textures: np.ndarray, camera: Camera, background: np.ndarray | None) -> None:
    if textures.ndim != 4 or textures.shape[3] != 3:
        raise InvalidInputError(f"The texture must be (H, W, 3), not {textures.shape[1:]}.")
    if background is not None and background.shape != (camera.size[1], camera.size[0], 3):
        raise InvalidInputError(
            f"The background must be {(camera.size[1], camera.size[0], 3)}, not {background.shape}."
        )


def _geometry(hits, pixels: RayGrid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Triangle, barycentric and depth of the whole picture, as a `Rendering` has them."""
    size, window = pixels.camera.size, pixels.window
    return (
        window.placed(hits.triangle.numpy(), size, elsewhere=-1),
        window.placed(hits.barycentric.numpy(), size),
        window.placed(hits.depth.numpy(), size, elsewhere=np.inf),
    )
