"""The end of the neck: the open border is rounded off and closed, so that nobody looks into the head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.head.geometry import geometry

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

# Rings under the border: share of its size, and how far it lies below along the neck [m].
RINGS = ((0.97, 0.004), (0.88, 0.008))
CENTER_DROP = 0.010  # [m]
TEXEL_STEP = 0.008  # texture heights by which each ring goes back up into the neck's chart


@dataclass(frozen=True)
class NeckCap:
    """A cap over the border of the neck, for any person.

    border: (b,) vertices of the head, in order. Its own vertices, numbered from the head's count on, are rings of b
    vertices and one center. faces: (F, 3); uv: (T, 2), numbered from the head's count on; uv_faces: (F, 3).
    The cap wears the texels beside the border: it has no chart of its own.
    """

    border: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    uv_faces: np.ndarray

    def vertices(self, neutral: np.ndarray) -> np.ndarray:
        """The cap's vertices for the head's (V, 3), meters."""
        ring = neutral[self.border]
        middle = ring.mean(0)
        normal = np.cross(ring - middle, np.roll(ring, -1, 0) - middle).sum(0)
        down = normal / np.linalg.norm(normal) * -np.sign(normal[1])
        rings = [middle + share * (ring - middle) + drop * down for share, drop in RINGS]
        return np.concatenate([*rings, (middle + CENTER_DROP * down)[None]]).astype(np.float32)

    def offsets(self, offsets: np.ndarray) -> np.ndarray:
        """How expressions (E, V, 3) move the cap: rings with the border, the center with its mean."""
        ring = offsets[:, self.border]
        return np.concatenate([*([ring] * len(RINGS)), ring.mean(1, keepdims=True)], 1)


def neck_cap(head: HeadModel) -> NeckCap:
    """The cap of a `HeadModel`'s lowest open border."""
    shape = geometry(head)
    start, end, start_uv, end_uv = _border(shape.neutral, shape.faces, shape.uv_faces)
    count, first_vertex, first_uv = len(start), len(shape.neutral), len(shape.uv)
    levels = len(RINGS)

    # Each border edge has its own strip in the texture, so that the seam at the back needs no care.
    uv = shape.uv
    up = np.float32([0, -TEXEL_STEP])
    edge_uv = np.stack([uv[start_uv], uv[end_uv]], 1)  # (b, 2, 2)
    strips = np.stack([edge_uv + level * up for level in range(levels + 1)], 1)  # (b, level, 2, 2)
    tips = strips[:, -1].mean(1) + up
    uv_number = first_uv + np.arange(strips[..., 0].size).reshape(count, levels + 1, 2)
    tip_number = first_uv + strips[..., 0].size + np.arange(count)

    follower = np.arange(1, count + 1) % count
    rings = np.stack([start, *(first_vertex + level * count + np.arange(count) for level in range(levels))])
    center = first_vertex + levels * count
    new_faces, new_uv_faces = [], []
    for level in range(levels):
        a, b = rings[level], rings[level][follower]
        c, d = rings[level + 1], rings[level + 1][follower]
        ta, tb = uv_number[:, level].T
        tc, td = uv_number[:, level + 1].T
        new_faces += [np.stack([b, a, c], 1), np.stack([b, c, d], 1)]
        new_uv_faces += [np.stack([tb, ta, tc], 1), np.stack([tb, tc, td], 1)]
    last, (tl, tm) = rings[-1], uv_number[:, -1].T
    new_faces.append(np.stack([last[follower], last, np.full(count, center)], 1))
    new_uv_faces.append(np.stack([tm, tl, tip_number], 1))
    all_uv = np.concatenate([strips.reshape(-1, 2), tips]).astype(np.float32)
    return NeckCap(start, np.concatenate(new_faces), all_uv, np.concatenate(new_uv_faces))


def _border(neutral, faces, uv_faces):
    """The lowest border loop in order: start and end vertices of its edges, and their texture coordinates."""
    start = faces.ravel()
    end = np.roll(faces, -1, 1).ravel()
    start_uv, end_uv = uv_faces.ravel(), np.roll(uv_faces, -1, 1).ravel()
    count = len(neutral)
    single = ~np.isin(start * count + end, end * count + start)
    edges = {int(a): (int(b), int(s), int(t)) for a, b, s, t in
             zip(start[single], end[single], start_uv[single], end_uv[single], strict=True)}  # fmt: skip
    first = min(edges, key=lambda vertex: (neutral[vertex, 1], vertex))
    loop, vertex = [], first
    while not loop or vertex != first:
        follower, s, t = edges[vertex]
        loop.append((vertex, follower, s, t))
        vertex = follower
    return np.array(loop).T
