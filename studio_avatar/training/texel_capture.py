"""Simulated captures made in texture space: the same rooms and phones as `simulate.py`, without pictures in between.

    studio texture ─ light on every texel, per view ─ phone ─ trust by visibility ─ fuse ─► rgb, seen, target

A capture through rendered frames, landmarks and a fit costs seconds; this costs a fraction of one, so that a network
sees thousands of lights. What it leaves out, misregistration, is imitated by a smooth random shift of each view.
"""

from dataclasses import dataclass, replace

import numpy as np

from ..capture.fusion import fuse
from ..capture.unwrap import FACING_COSINE, GRAZING_COSINE, View, smoothstep
from ..head.layout import fill_gutters, texel_map
from ..rendering import render_texels, srgb_to_linear
from .simulate import (
    expose,
    light_of,
    sample_cameras,
    sample_expression,
    sample_identity,
    sample_phone,
    sample_room,
    sample_skin,
    shaped_mesh,
)

FRAME = (720, 960)  # pixels of the frames that are not drawn; sets the cameras' distance
SHIFT_TEXELS_AT_1024 = 3.0  # root mean square of the misregistration
SHIFT_GRID = 8  # nodes a side of the random shift
HOLE_PROBABILITY = 0.5  # of a hidden half-disc: hair, a hand, a hood
BORDER_TRUST = 2.0  # texels at 128² over which trust rises from the border of what is visible


@dataclass(frozen=True)
class TexelCapture:
    """`rgb` (S, S, 3) and `target`, the true studio texture, float32 sRGB in [0, 1]; `seen` (S, S) in [0, 1]."""

    rgb: np.ndarray
    seen: np.ndarray
    target: np.ndarray


def capture_texels(head, texture: np.ndarray, rng: np.random.Generator, max_views: int = 3) -> TexelCapture:
    """Photograph `texture` (S, S, 3) float32 sRGB on a random head under random light, texel by texel.

    One to `max_views` views of one room and phone, fused by the same code as real captures.
    """
    size = texture.shape[0]
    texels, num_views = texel_map(head, size), int(rng.integers(1, max_views + 1))
    identity = sample_identity(rng, head.config.num_identity)
    room, skin = sample_room(rng), sample_skin(rng)
    cameras = sample_cameras(rng, num_views, FRAME)
    albedo = float(np.median(srgb_to_linear(texture[::2, ::2])))
    phone = sample_phone(rng, room, albedo, min(FRAME))
    # A face is about as many pixels high as its chart has texels at 1024².
    phone = replace(phone, blur=phone.blur * size / 1024, motion=0.0, noise=phone.noise * 0.5)
    views, body = [], None
    for camera in cameras:
        expression = sample_expression(rng, head.config.expression_names)
        body = shaped_mesh(head, identity, expression, occlusion=None if body is None else body.occlusion)
        linear, cosine = render_texels(
            body, texels, texture, camera, light_of(room, camera), skin, seed=int(rng.integers(2**31))
        )
        linear = fill_gutters(linear, texels.covered)
        rgb = expose(linear, phone, rng).astype(np.float32) / 255
        trust = smoothstep(cosine, GRAZING_COSINE, FACING_COSINE) * _off_border(cosine > 0)
        views.append(View(*_shifted(rgb, trust, rng)))
    fused = fuse(views, np.ones(num_views))
    seen = fused.trust * _without_hole(size, rng)
    return TexelCapture(fused.rgb, seen.astype(np.float32), texture)


def _off_border(visible: np.ndarray) -> np.ndarray:
    import cv2

    distance = cv2.distanceTransform(visible.astype(np.uint8), cv2.DIST_L2, 3)
    return smoothstep(distance, 0.0, BORDER_TRUST * len(visible) / 128)


def _shifted(rgb, trust, rng):
    """Both maps moved by a smooth random field: fits are never exact."""
    import cv2

    size = len(trust)
    field = rng.standard_normal((SHIFT_GRID, SHIFT_GRID, 2)).astype(np.float32)
    field = cv2.resize(field, (size, size), interpolation=cv2.INTER_CUBIC) * (SHIFT_TEXELS_AT_1024 * size / 1024)
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).astype(np.float32) + field
    moved = (cv2.remap(part, grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for part in (rgb, trust))
    return tuple(moved)


def _without_hole(size: int, rng) -> np.ndarray:
    """(S, S) in [0, 1]: zero inside a random disc that reaches in from the border, or one everywhere."""
    if rng.random() >= HOLE_PROBABILITY:
        return np.ones((size, size), np.float32)
    angle, radius = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.35)
    centre = 0.5 + rng.uniform(0.35, 0.6) * np.array([np.cos(angle), np.sin(angle)])
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    return smoothstep(np.hypot(x - centre[0], y - centre[1]), radius, radius + 0.03).astype(np.float32)
