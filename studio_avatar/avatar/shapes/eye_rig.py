"""Where the eyes are on the head: eyeballs, and the rings of vertices that run around the opening of the lids.

MakeHuman's lids are a grid of 28 columns: rings 0 to 2 lie in the socket, ring 3 is where socket and lid meet, rings
3 to 6 cross the rim of the lid, ring 6 is its outer edge, where lashes grow, and ring 17 touches the brow.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.head.geometry import geometry

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

SOCKET_RINGS, SKIN_RINGS = 3, 12
BORDER = SOCKET_RINGS  # ring where the socket's skin goes over into the lid's
EDGE = BORDER + 3  # ring of the lids' outer edge


@dataclass(frozen=True)
class EyeRig:
    """What one eye needs to know about the head.

    ball: (b,) vertices of the eyeball; ball_faces: (f, 3) its triangles; rays: (b, 3) unit directions of the vertices
        from the mean eyeball's center.
    rings: (SOCKET_RINGS + SKIN_RINGS, n) vertices, a column from the depth of the socket out to the brow or the cheek;
        columns run around the eye and start at the inner corner, over the upper lid.
    outer_corner: the column of the outer corner.
    """

    ball: np.ndarray
    ball_faces: np.ndarray
    rays: np.ndarray
    rings: np.ndarray
    outer_corner: int

    @property
    def lid(self) -> np.ndarray:
        """(m,) vertices of the lids' outer skin, ring by ring."""
        return self.rings[EDGE:-2].ravel()


def eye_rigs(head: HeadModel) -> tuple[EyeRig, EyeRig]:
    """The rigs of the left and the right eye; found at the first call for a head object."""
    if head not in _RIGS:
        _RIGS[head] = tuple(_eye_rig(geometry(head), side) for side in ("left", "right"))
    return _RIGS[head]


def sphere_center(points: np.ndarray) -> np.ndarray:
    """Least-squares sphere through (N, 3) -> its center (3,)."""
    system = np.concatenate([2 * points, np.ones((len(points), 1))], 1)
    return np.linalg.lstsq(system, (points**2).sum(-1), rcond=None)[0][:3]


def _eye_rig(shape, side: str) -> EyeRig:
    ball_faces = shape.faces[shape.in_regions(f"eyeball_{side}")]
    ball = np.unique(ball_faces)
    center = sphere_center(shape.neutral[ball].astype(np.float64))
    rays = shape.neutral[ball] - center
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    rings, outer_corner = _rings(shape, np.sign(center[0]))
    return EyeRig(ball, ball_faces, rays, rings, outer_corner)


def _rings(shape, side: float) -> tuple[np.ndarray, int]:
    """-> rings as in `EyeRig`, and the outer corner's column; side: 1 for the left eye, -1 for the right."""
    socket, skin = (
        shape.faces[shape.in_regions(*names)] for names in (("eye_sockets",), ("eyelids", "face", "brows"))
    )
    neighbors = _neighbors(np.concatenate([socket, skin]))
    border = {int(v) for v in np.intersect1d(socket, skin) if side * shape.neutral[v, 0] > 0}
    inner = _walk(border, set(np.unique(socket)), neighbors, SOCKET_RINGS)[1:]
    outer = _walk(border, set(np.unique(skin)), neighbors, SKIN_RINGS - 1)
    rings = [_cycle(ring, neighbors) for ring in [*inner[::-1], *outer]]
    columns = [np.array(rings[EDGE])]
    for before in rings[EDGE - 1 :: -1]:
        columns.insert(0, _aligned(before, columns[0], neighbors, shape.neutral))
    for after in rings[EDGE + 1 :]:
        columns.append(_aligned(after, columns[-1], neighbors, shape.neutral))
    grid = np.stack(columns)
    along = side * shape.neutral[grid[EDGE], 0]
    grid = np.roll(grid, -int(along.argmin()), axis=1)
    outer_corner = int((side * shape.neutral[grid[EDGE], 0]).argmax())
    height = shape.neutral[grid[EDGE], 1]
    if height[:outer_corner].mean() < height[outer_corner:].mean():  # it runs over the lower lid first
        grid = np.roll(grid[:, ::-1], 1, axis=1)
        outer_corner = grid.shape[1] - outer_corner
    return grid, outer_corner


def _neighbors(faces: np.ndarray) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for face in faces.tolist():
        for vertex in face:
            found.setdefault(vertex, set()).update(face)
    return found


def _walk(start: set[int], allowed: set, neighbors, steps: int) -> list[set[int]]:
    """Rings at 0 to `steps` edges from `start` over `allowed` vertices."""
    rings, seen = [start], set(start)
    for _ in range(steps):
        rings.append({w for v in rings[-1] for w in neighbors[v] if w in allowed} - seen)
        seen |= rings[-1]
    return rings


def _cycle(ring: set[int], neighbors) -> list[int]:
    """The vertices of a ring in the order in which it runs."""
    order = [min(ring)]
    while len(order) < len(ring):
        order.append(min(w for w in neighbors[order[-1]] if w in ring and w not in order))
    return order


def _aligned(ring: list[int], columns: np.ndarray, neighbors, points: np.ndarray) -> np.ndarray:
    """The ring turned so that each vertex is the neighbor of its column's: of those turns, the shortest one."""
    turns = [np.roll(way, shift) for way in (ring, ring[::-1]) for shift in range(len(ring))]
    touching = [
        t for t in turns if all(b in neighbors[a] for a, b in zip(columns.tolist(), t.tolist(), strict=True))
    ]
    return min(touching, key=lambda turn: np.linalg.norm(points[turn] - points[columns], axis=1).sum())


_RIGS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
