"""The iris color of a capture, freed of the capture's light and drawn to the colors that irises have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.head.geometry import geometry
from studio_avatar.head.layout import region_mask, texel_map, texel_positions
from studio_avatar.imaging.color import linear_to_srgb, luma, srgb_to_linear

from .eyeball import SCLERA, ball_rays

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

MIN_SEEN = 0.3  # confidence of an eye's texel to count
MIN_TEXELS = 24
# Of the head's own ball, which is larger than an eye and which the capture projects on; as seen from its center.
IRIS, PUPIL, WHITE = np.radians(17.0), np.radians(9.0), np.radians((26.0, 45.0))
LOOKS = np.radians(np.arange(-12.0, 13.0, 3.0))  # gazes that are tried, up and across
MIDDLING, BRIGHT = (
    (30, 85),
    70,
)  # percentiles: without lashes and reflections; the white without shadow and lids
WHITE_SHADE = 0.8  # light on the white beside the iris, which the lids shade, over that on the iris
# Colors that irises have, from most to little pigment, sRGB.
PALETTE = np.array([
    (0.17, 0.10, 0.07), (0.27, 0.16, 0.09), (0.37, 0.23, 0.13), (0.45, 0.31, 0.17), (0.46, 0.38, 0.23),
    (0.43, 0.44, 0.32), (0.45, 0.49, 0.47), (0.42, 0.50, 0.55), (0.36, 0.48, 0.62),
], np.float32)  # fmt: skip
BROWN_IRIS = PALETTE[2]
LUMA_WEIGHT = 2.0  # dark irises are brown, whatever is mirrored in them
BRIGHTNESS = (0.55, 1.15)  # of the palette's colors, that irises of their hue reach


def captured_iris(head: HeadModel, capture, texture: np.ndarray) -> np.ndarray:
    """Mean iris color (3,) sRGB in [0, 1]; brown, the most common, when the eyes were not seen.

    Two things tell the light on the irises: the whites of the same eyes, whose color is known, but which are small and
    beside lids; and the face, as the ratio of the studio texture to the phone texture in linear color. The geometric mean
    of both is taken. What is left, reflections of the sky above all, is not an iris' color: the nearest one that is, is
    taken.

    Args:
        capture: `PhoneTexture`. texture: (H, W, 3) studio texture of the same size, sRGB in [0, 1].
    """
    irises, whites = zip(*(_eye(head, capture, side) for side in ("left", "right")), strict=True)
    iris, white = np.concatenate(irises), np.concatenate(whites)
    if len(iris) < MIN_TEXELS:
        return BROWN_IRIS
    face = region_mask(head, len(texture), "face") & (capture.seen > MIN_SEEN)
    lights = []
    if face.any():
        lights.append(_median_light(texture, face) / _median_light(capture.rgb, face).clip(1e-3))
    if len(white) >= MIN_TEXELS:
        lights.append(WHITE_SHADE * srgb_to_linear(SCLERA) / np.median(white, 0).clip(1e-3))
    if not lights:
        return BROWN_IRIS
    light = np.exp(np.mean(np.log(np.maximum(lights, 1e-6)), 0))
    return plausible_iris(linear_to_srgb(np.clip(np.median(iris, 0) * light, 0, 1)))


def plausible_iris(color: np.ndarray) -> np.ndarray:
    """The iris color (3,), sRGB, that is nearest to a color in hue, and less so in brightness: between two neighbors of the
    `PALETTE`, and as dark or light as the color itself where irises of that hue are.
    """
    steps = np.linspace(0, len(PALETTE) - 1, 81)
    whole = np.minimum(steps.astype(int), len(PALETTE) - 2)
    known = PALETTE[whole] + (steps - whole)[:, None] * (PALETTE[whole + 1] - PALETTE[whole])
    nearest = known[np.linalg.norm(_hue(known) - _hue(np.asarray(color)[None]), axis=-1).argmin()]
    scale = np.clip(luma(np.asarray(color)) / luma(nearest), *BRIGHTNESS)
    return (nearest * scale).astype(np.float32)


def _hue(rgb: np.ndarray) -> np.ndarray:
    """(N, 3): red less green, green less blue, over the brightest; brightness with less weight."""
    difference = -np.diff(rgb, axis=-1) / rgb.max(-1, keepdims=True).clip(1e-3)
    return np.concatenate([difference, LUMA_WEIGHT * luma(rgb)[:, None]], -1)


def _eye(head, capture, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Linear colors (N, 3) of one eye's iris and (M, 3) of its white, as the capture saw them."""
    size, region = len(capture.rgb), f"eyeball_{side}"
    mask = region_mask(head, size, region) & (capture.seen > MIN_SEEN)
    nothing = np.empty((0, 3), np.float32)
    if mask.sum() < MIN_TEXELS:
        return nothing, nothing
    ray = ball_rays(head, region, texel_positions(texel_map(head, size), head, geometry(head).neutral, mask))
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    color = srgb_to_linear(capture.rgb[mask])
    bright = luma(color)
    up, across = (angle.ravel() for angle in np.meshgrid(LOOKS, LOOKS, indexing="ij"))
    gazes = np.stack([np.sin(across) * np.cos(up), np.sin(up), np.cos(across) * np.cos(up)], -1)
    angle = np.arccos(np.clip(gazes @ ray.T, -1, 1))
    angle = angle[np.argmin([_darkness(bright, gaze) for gaze in angle])]
    iris, white = (angle > PUPIL) & (angle < IRIS), (angle > WHITE[0]) & (angle < WHITE[1])
    low, high = np.percentile(bright[iris], MIDDLING) if iris.any() else (0, 0)
    iris &= (bright >= low) & (bright <= high)
    dimmest = color.min(-1)  # high where it is bright and without color, unlike the lids beside the white
    white &= dimmest >= (np.percentile(dimmest[white], BRIGHT) if white.any() else 0)
    return color[iris], color[white]


def _darkness(bright: np.ndarray, angle: np.ndarray) -> float:
    """How much darker an iris around a gaze is than the white beside it, negative; 0 where either was not seen."""
    disk, ring = bright[angle < IRIS], bright[(angle > WHITE[0]) & (angle < WHITE[1])]
    return 0.0 if min(len(disk), len(ring)) < MIN_TEXELS / 2 else float(disk.mean() - ring.mean())


def _median_light(texture, mask) -> np.ndarray:
    """Median linear color (3,) of the masked texels."""
    return np.median(srgb_to_linear(texture[mask]), axis=0)
