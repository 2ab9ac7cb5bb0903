"""A plain shirt for simulated people: shoulders under the head, so that a collar hides a part of the neck."""

from __future__ import annotations

import numpy as np

from studio_avatar.rendering import TexturedMesh

from .parts import Part

SECTORS = 72
# Rings from the collar to the chest: share of the way from the neck's shape to the shoulders', height [m].
RINGS = ((0.0, 0.0), (0.02, -0.012), (0.12, -0.022), (0.3, -0.035), (0.55, -0.05), (0.8, -0.075), (0.95, -0.115),
         (1.0, -0.17), (1.0, -0.3), (1.0, -0.45))  # fmt: skip
SHOULDERS = (0.215, 0.115)  # half width and half depth [m]
GLOSS = 0.15


def shirt(mesh: TexturedMesh, color, collar: float = 0.01, turn: float = 0.0) -> Part:
    """Shoulders under a head that ends at an open neck.

    Args:
        color: (3,) sRGB of the cloth.
        collar: how far the collar stands above the neck's end, meters.
        turn: how far the chest is turned to the person's left of the face, radians.
    """
    vertices, faces = _surface(_neck_end(mesh), collar, turn)
    shade = np.repeat(np.interp(np.arange(len(RINGS)), [0, 3], [0.55, 1.0]), SECTORS)
    return Part(vertices, faces, np.asarray(color), np.zeros(len(faces), int), GLOSS, shade)


def _neck_end(mesh: TexturedMesh) -> np.ndarray:
    """Points (N, 3) of the lowest open border: where the neck was cut off."""
    edges = np.sort(np.concatenate([mesh.faces[:, pair] for pair in ([0, 1], [1, 2], [2, 0])]), 1)
    edges, count = np.unique(edges, axis=0, return_counts=True)
    border = mesh.vertices[np.unique(edges[count == 1])]
    return border[border[:, 1] < border[:, 1].min() + 0.07]


def _surface(neck: np.ndarray, collar: float, turn: float) -> tuple[np.ndarray, np.ndarray]:
    """Rings of cloth, from a little outside the neck's end out to the shoulders and down."""
    middle = neck.mean(0)
    around = np.linspace(0, 2 * np.pi, SECTORS, endpoint=False)
    offset = neck - middle
    bearing = np.arctan2(offset[:, 2], offset[:, 0])
    order = np.argsort(bearing)
    reach = (
        np.interp(around, bearing[order], np.hypot(offset[order, 0], offset[order, 2]), period=2 * np.pi)
        + 0.006
    )
    level = np.interp(around, bearing[order], offset[order, 1], period=2 * np.pi)
    rings = []
    for share, drop in RINGS:
        x = ((1 - share) * reach + share * SHOULDERS[0]) * np.cos(around)
        z = ((1 - share) * reach + share * SHOULDERS[1]) * np.sin(around)
        swing = share * turn
        x, z = x * np.cos(swing) + z * np.sin(swing), z * np.cos(swing) - x * np.sin(swing)
        rings.append(np.stack([x, (1 - share) * level + collar * (1 - share) + drop, z], 1) + middle)
    index = np.arange(len(RINGS) * SECTORS).reshape(len(RINGS), SECTORS)
    a, b = index[:-1], index[1:]
    c, d = np.roll(b, -1, 1), np.roll(a, -1, 1)
    faces = np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)])
    return np.concatenate(rings).astype(np.float32), faces
