"""The eyeball's paint: iris with limbal ring, veined sclera, and the shade of the lids over it.

Angles are those seen from the ball's center, so that the paint lands right wherever the layout puts the chart.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.avatar.shapes.eye_rig import EDGE, eye_rigs, sphere_center
from studio_avatar.head.geometry import geometry
from studio_avatar.imaging.ramps import smoothstep

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

# An adult's iris is 11.7 mm wide and the pupil in daylight 3.6 mm, on the ball of `shapes/eyeballs.py`.
IRIS_ANGLE, PUPIL_ANGLE = np.radians(28.0), np.radians(8.3)
SCLERA = np.array([0.80, 0.765, 0.73], np.float32)  # sRGB
VEIN = np.array([0.68, 0.36, 0.32], np.float32)
UPPER_SHADE, LOWER_SHADE = 0.52, 0.22  # of the light that the lids take at their edges
UPPER_DEPTH, LOWER_DEPTH = np.radians(17.0), np.radians(8.0)  # from the edge to where the shade ends


@dataclass(frozen=True)
class Opening:
    """The lids' edges as seen from the eyeball's center: angle to the left (n,), and height above it (n,), rising."""

    across: np.ndarray
    upper: np.ndarray
    lower: np.ndarray


def paint_eyeball(rays: np.ndarray, iris_rgb: np.ndarray, opening: Opening | None, rng) -> np.ndarray:
    """Color (N, 3) sRGB of an eyeball that looks straight ahead (+Z).

    Args:
        rays: (N, 3) directions from the ball's center. iris_rgb: (3,) mean color, sRGB. opening: of the lids that shade
            it, or None. rng: of fibers and veins.
    """
    ray = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    angle = np.arccos(np.clip(ray[:, 2], -1, 1))
    around = np.arctan2(ray[:, 1], ray[:, 0])
    edge = smoothstep(angle, IRIS_ANGLE - 0.03, IRIS_ANGLE + 0.03)[:, None]
    color = _iris(ray, angle, around, iris_rgb, rng) * (1 - edge) + _sclera(angle, around, rng) * edge
    if opening is not None:
        color = color * _lid_shade(ray, opening)[:, None]
    return color.astype(np.float32)


def openings(head: HeadModel) -> tuple[Opening, Opening]:
    """Of the mean head's left and right eye."""
    if head not in _OPENINGS:
        from studio_avatar.avatar.shapes.person_shapes import person_shapes

        neutral = person_shapes(head, np.zeros(head.config.num_identity, np.float32)).neutral
        _OPENINGS[head] = tuple(_opening(neutral, rig) for rig in eye_rigs(head))
    return _OPENINGS[head]


def ball_rays(head: HeadModel, region: str, positions: np.ndarray) -> np.ndarray:
    """(N, 3) directions from the center of the mean eyeball of the region to points (N, 3) on it."""
    shape = geometry(head)
    return positions - sphere_center(shape.neutral[np.unique(shape.faces[shape.in_regions(region)])])


def _iris(ray, angle, around, rgb, rng):
    fibers = _ring_noise(around, rng, (23, 41, 67, 97)) * (
        0.35 + 0.65 * smoothstep(angle, PUPIL_ANGLE, IRIS_ANGLE)
    )
    collar = np.exp(-(((angle - 1.75 * PUPIL_ANGLE) / 0.035) ** 2))
    limbal_ring = smoothstep(angle, 0.78 * IRIS_ANGLE, 1.02 * IRIS_ANGLE)
    # The cornea gathers light from above on the lower half.
    gathered = 0.16 * np.clip(-ray[:, 1] / np.sin(IRIS_ANGLE), -1, 1)
    shade = (1 + gathered + 0.24 * fibers + 0.2 * collar) * (1 - 0.68 * limbal_ring)
    iris = np.clip(rgb * np.clip(shade, 0.12, 2)[:, None] + collar[:, None] * (0.04, 0.025, 0.0), 0, 1)
    return iris * (smoothstep(angle, PUPIL_ANGLE - 0.02, PUPIL_ANGLE + 0.02)[:, None] * 0.97 + 0.03)


def _sclera(angle, around, rng):
    """Veins thin out towards the iris; the far sclera is redder."""
    wander = around + 0.25 * _ring_noise(angle * 2.0, rng, (2, 3, 5))
    veins = np.clip(_ring_noise(wander, rng, (11, 17, 29)) - 0.7, 0, 1) * smoothstep(angle, 0.7, 1.3)
    red = 0.06 + 0.4 * smoothstep(angle, 0.75, 1.5) + 0.3 * veins
    return SCLERA + (VEIN - SCLERA) * np.clip(red, 0, 0.8)[:, None]


def _lid_shade(ray, opening):
    """Share of light (N,) in [0, 1] that the lids let through to the ball at rest."""
    across, height = np.arctan2(ray[:, 0], ray[:, 2]), np.arcsin(np.clip(ray[:, 1], -1, 1))
    below = np.interp(across, opening.across, opening.upper) - height
    above = height - np.interp(across, opening.across, opening.lower)
    upper = 1 - UPPER_SHADE * smoothstep(below, UPPER_DEPTH, 0.0)
    return upper * (1 - LOWER_SHADE * smoothstep(above, LOWER_DEPTH, 0.0))


def _opening(neutral, rig) -> Opening:
    edge = neutral[rig.rings[EDGE]] - neutral[rig.ball].mean(0)
    across = np.arctan2(edge[:, 0], edge[:, 2])
    height = np.arctan2(edge[:, 1], np.hypot(edge[:, 0], edge[:, 2]))
    grid = np.linspace(across.min(), across.max(), 60)
    lids = []
    for part in (slice(0, rig.outer_corner + 1), np.r_[rig.outer_corner : len(edge), 0]):
        order = np.argsort(across[part])
        lids.append(np.interp(grid, across[part][order], height[part][order]))
    return Opening(grid, *lids)


def _ring_noise(angle: np.ndarray, rng, frequencies) -> np.ndarray:
    """A few random waves around a circle, about N(0, 1)."""
    waves = [np.cos(f * angle + rng.uniform(0, 2 * np.pi)) * rng.uniform(0.7, 1.3) for f in frequencies]
    return np.sum(waves, 0) / np.sqrt(len(waves) / 2)


_OPENINGS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
