"""Simulated captures made in texture space: the same rooms and phones as `simulation.py`, without pictures in between.

    studio texture ─ light on every texel, per view ─ phone ─ trust by visibility ─ fuse ─► rgb, seen, target

A capture through rendered frames, landmarks and a fit costs seconds; this costs a fraction of one, so that a network
sees thousands of lights. What it leaves out, misregistration, is imitated by a smooth random shift of each view.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from studio_avatar.capture.texture.fusion import fuse
from studio_avatar.capture.texture.unwrap import FACING_COSINE, GRAZING_COSINE, View
from studio_avatar.head.layout import texel_map, texel_positions
from studio_avatar.imaging.ramps import smoothstep
from studio_avatar.rendering import FLAT, RenderOptions, render, render_texels

from .parts import attach
from .phone_camera import expose, for_texels
from .room import light_of
from .simulation import (
    Scene,
    SimulationOptions,
    phone_for,
    sample_cameras,
    sample_expression,
    sample_scene,
    shaped_mesh,
)

FRAME = (720, 960)  # pixels of the frames that are not drawn; sets the cameras' distance
SHIFT_TEXELS_AT_1024 = 3.0  # root mean square of the misregistration
SHIFT_GRID = 8  # nodes a side of the random shift
FOOLED_PROBABILITY = 0.5  # of taking glasses and hair for skin
COVER_SCALE = 4  # frame pixels per pixel of the picture that shows their color
HOLE_PROBABILITY = 0.5  # of a hidden half-disc: hair, a hand, a hood
BORDER_TRUST = 2.0  # texels at 128² over which trust rises from the border of what is visible


@dataclass(frozen=True)
class TexelCapture:
    """`rgb` (S, S, 3) and `target`, the true studio texture, float32 sRGB in [0, 1]; `seen` (S, S) in [0, 1]."""

    rgb: np.ndarray
    seen: np.ndarray
    target: np.ndarray


def capture_texels(
    head,
    texture: np.ndarray,
    rng: np.random.Generator,
    max_views: int = 3,
    panoramas: Sequence[np.ndarray] | None = None,
) -> TexelCapture:
    """Photograph `texture` (S, S, 3) float32 sRGB on a random head under random light, texel by texel.

    One to `max_views` views of one place and phone, fused by the same code as real captures. Glasses and hair cast
    their shadows, and hide texels; captures that do not recognize them keep their color on the skin.

    panoramas: light from files, see `environments.read_panoramas`.
    """
    size = texture.shape[0]
    num_views = int(rng.integers(1, max_views + 1))
    expression = [sample_expression(rng, head.config.expression_names) for _ in range(num_views)]
    scene = sample_scene(head, texture, rng, expression[0], SimulationOptions(FRAME, panoramas=panoramas))
    cameras = sample_cameras(rng, num_views, FRAME)
    phone = for_texels(phone_for(scene, rng, min(FRAME)), size)
    fooled = bool(scene.occluders) and rng.random() < FOOLED_PROBABILITY
    views = []
    for coefficients, camera in zip(expression, cameras):
        linear, cosine, pixel = _light_on_texels(
            scene, coefficients, camera, int(rng.integers(2**31)), fooled
        )
        rgb = expose(linear, phone, rng).astype(np.float32) / 255
        trust = smoothstep(cosine, GRAZING_COSINE, FACING_COSINE) * _off_border(cosine > 0)
        views.append(View(*_shifted(rgb, trust, rng), pixel, _pixels_per_texel(pixel)))
    fused = fuse(views, np.ones(num_views))
    seen = fused.seen * _without_hole(size, rng)
    return TexelCapture(fused.rgb, seen.astype(np.float32), texture)


def _light_on_texels(scene: Scene, expression, camera, seed: int, fooled: bool):
    """Linear light (S, S, 3) of every texel, its cosine to the line of sight (S, S), 0 where hidden, and its place in the
    frame (S, S, 2) in pixels.

    fooled: what glasses and hair hide counts as seen, in their color.
    """
    texels = texel_map(scene.head, scene.texture.shape[0])
    body = shaped_mesh(scene.head, scene.identity, expression, scene.occlusion)
    dressed, painted = attach(body, scene.texture, scene.occluders)
    light = light_of(scene.room, camera)
    options = RenderOptions(seed=seed)
    linear, cosine = render_texels(dressed, texels, painted, camera, light, scene.skin, options)
    linear = texels.filled(linear)
    pixel = camera.project(texel_positions(texels, scene.head, body.vertices)).astype(np.float32)
    if fooled:
        small = replace(
            camera, focal_px=camera.focal_px / COVER_SCALE, size=tuple(n // COVER_SCALE for n in camera.size)
        )
        picture = render(dressed, painted, small, light, scene.skin, options, srgb=False)
        _, bare = render_texels(body, texels, scene.texture, camera, FLAT, scene.skin)
        rows = np.nonzero((bare > 0) & (cosine == 0))
        at = tuple(np.clip(pixel[rows] // COVER_SCALE, 0, np.array(small.size) - 1).astype(int).T[::-1])
        on_cover = picture.triangle[at] >= len(body.faces)
        rows = tuple(index[on_cover] for index in rows)
        linear[rows], cosine[rows] = picture.rgb[at][on_cover], bare[rows]
    return linear, cosine, pixel


def _pixels_per_texel(pixel: np.ndarray) -> np.ndarray:
    """(S, S) root of the area that a texel takes in the frame, from its neighbors' places."""
    down, along = np.gradient(pixel, axis=(0, 1))
    area = np.abs(down[..., 0] * along[..., 1] - down[..., 1] * along[..., 0])
    return np.sqrt(area).clip(0, FRAME[1] / len(pixel) * 4).astype(np.float32)


def _off_border(visible: np.ndarray) -> np.ndarray:
    import cv2

    distance = cv2.distanceTransform(visible.astype(np.uint8), cv2.DIST_L2, 3)
    return smoothstep(distance, 0.0, BORDER_TRUST * len(visible) / 128)


def _shifted(rgb, trust, rng):
    """Both maps moved by a smooth random field: fits are never exact."""
    import cv2

    size = len(trust)
    field = rng.standard_normal((SHIFT_GRID, SHIFT_GRID, 2)).astype(np.float32)
    field = cv2.resize(field, (size, size), interpolation=cv2.INTER_CUBIC) * (
        SHIFT_TEXELS_AT_1024 * size / 1024
    )
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).astype(np.float32) + field
    moved = (
        cv2.remap(part, grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for part in (rgb, trust)
    )
    return tuple(moved)


def _without_hole(size: int, rng) -> np.ndarray:
    """(S, S) in [0, 1]: zero inside a random disc that reaches in from the border, or one everywhere."""
    if rng.random() >= HOLE_PROBABILITY:
        return np.ones((size, size), np.float32)
    angle, radius = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.35)
    center = 0.5 + rng.uniform(0.35, 0.6) * np.array([np.cos(angle), np.sin(angle)])
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    return smoothstep(np.hypot(x - center[0], y - center[1]), radius, radius + 0.03).astype(np.float32)
