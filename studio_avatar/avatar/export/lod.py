"""The light level of detail: at most 5,000 triangles that keep the layout, the regions and the expressions.

Vertices are taken away one by one, each onto a neighbor that stays (half-edge collapse), cheapest first by the
quadric error metric (Garland and Heckbert 1997), summed over the neutral face and a few expressions. What stays
keeps its place, texture coordinate and expressions, so the light head is a choice of the full one's vertices,
the same choice for everybody. The mirror image of a vertex goes with it.

The choice takes seconds and depends on nobody, so it is kept in a file beside this one, written by
`python -m tools.decimate_lod`.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.avatar.shapes.mesh import AvatarMesh, avatar_mesh
from studio_avatar.errors import InvalidInputError
from studio_avatar.head.geometry import geometry
from studio_avatar.rendering.normals import face_normals

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

TOPOLOGY_FILE = Path(__file__).with_name("light_topology.safetensors")
LIGHT_TRIANGLES = 4990
KEY_POSES = ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight", "mouthSmileLeft", "mouthSmileRight", "mouthFunnel",
             "browInnerUp")  # fmt: skip
# How much an error counts by region; 1 elsewhere. Inside the mouth and behind the lids nobody looks closely.
IMPORTANCE = {"eyelids": 6.0, "lips": 6.0, "eyeball_left": 3.0, "eyeball_right": 3.0, "ears": 0.4, "scalp": 0.5,
              "neck": 0.4, "mouth": 0.05, "tongue": 0.2, "teeth": 0.5, "eye_sockets": 0.05}  # fmt: skip
FLAT_ENOUGH = 0.2  # cosine by which a triangle may turn when a corner moves
SHORT = 1e-3  # weight of the squared length against the quadric error: flat skin loses short edges first


@dataclass(frozen=True)
class LightTopology:
    """vertex: (v,) and uv: (t,) that stay, of the full mesh; faces, uv_faces: (f, 3) index these; region: (f,)."""

    vertex: np.ndarray
    uv: np.ndarray
    faces: np.ndarray
    uv_faces: np.ndarray
    region: np.ndarray


def light_mesh(mesh: AvatarMesh) -> AvatarMesh:
    """The light version of a mesh from `avatar_mesh`.

    Raises:
        InvalidInputError: the mesh belongs to another head than the one that the choice was made for.
    """
    stay, (kept, _) = light_vertices(mesh), _read_topology()
    return AvatarMesh(
        mesh.vertices[stay],
        mesh.offsets[:, stay],
        kept.faces,
        mesh.uv[kept.uv],
        kept.uv_faces,
        kept.region,
    )


def light_vertices(mesh: AvatarMesh) -> np.ndarray:
    """(v,) the vertices of a mesh from `avatar_mesh` that its light version has; raises as `light_mesh`."""
    kept, count = _read_topology()
    if len(mesh.vertices) != count:
        raise InvalidInputError(
            "The light level of detail belongs to another head: run python -m tools.decimate_lod."
        )
    return kept.vertex


@cache
def _read_topology() -> tuple[LightTopology, int]:
    """The kept choice, and how many vertices the full mesh has that it was made for."""
    from safetensors.numpy import load_file

    tensors = {name: values.astype(np.int64) for name, values in load_file(TOPOLOGY_FILE).items()}
    count = int(tensors.pop("full_vertices")[0])
    return LightTopology(**tensors), count


def light_topology(head: HeadModel) -> LightTopology:
    """Which vertices stay, decided on the mean head."""
    mesh = avatar_mesh(head, np.zeros(head.config.num_identity, np.float32))
    decimation = _Decimation(head, mesh)
    decimation.run(LIGHT_TRIANGLES)
    alive = decimation.alive
    vertex, faces = np.unique(decimation.faces[alive], return_inverse=True)
    uv, uv_faces = np.unique(decimation.uv_faces[alive], return_inverse=True)
    return LightTopology(vertex, uv, faces.reshape(-1, 3), uv_faces.reshape(-1, 3), mesh.region[alive])


class _Decimation:
    """The mesh while vertices are taken away: faces (F, 3), uv_faces (F, 3), alive (F,) bool."""

    def __init__(self, head: HeadModel, mesh: AvatarMesh):
        shape = geometry(head)
        names = shape.expression_names
        poses = [mesh.vertices] + [mesh.vertices + mesh.offsets[names.index(name)] for name in KEY_POSES]
        self.points = np.stack(poses, 1).astype(np.float64)  # (V, P, 3)
        self.uv = mesh.uv.astype(np.float64)
        self.faces, self.uv_faces = mesh.faces.copy(), mesh.uv_faces.copy()
        self.alive = np.ones(len(mesh.faces), bool)
        weight = np.array([IMPORTANCE.get(name, 1.0) for name in shape.region_names])[mesh.region]
        self.quadrics = _quadrics(self.points, mesh.faces, weight)  # (V, P, 4, 4)
        self.weight = np.zeros(len(mesh.vertices))
        np.maximum.at(self.weight, mesh.faces.ravel(), np.repeat(weight, 3))
        self.around = [set() for _ in mesh.vertices]  # triangles of each vertex
        for number, face in enumerate(mesh.faces.tolist()):
            for vertex in face:
                self.around[vertex].add(number)
        self.fixed = _on_a_line(mesh)
        self.mirror = _mirror(head, mesh)

    def run(self, triangles: int) -> None:
        """Collapse until at most so many triangles are left."""
        left = int(self.alive.sum())
        heap = [entry for vertex in range(len(self.fixed)) if (entry := self._cheapest(vertex)) is not None]
        heapq.heapify(heap)
        while left > triangles and heap:
            cost, vertex, onto = heapq.heappop(heap)
            now = self._cheapest(vertex)
            if now is None or now[0] > cost * (1 + 1e-9) + 1e-18:
                if now is not None:
                    heapq.heappush(heap, now)
                continue
            touched = set()
            left -= self._collapse(vertex, now[2], touched)
            twin, twin_onto = self.mirror[vertex], self.mirror[now[2]]
            if twin != vertex and self._allowed(twin, twin_onto):
                left -= self._collapse(twin, twin_onto, touched)
            for neighbor in sorted(touched):
                if (entry := self._cheapest(neighbor)) is not None:
                    heapq.heappush(heap, entry)

    def _neighbors(self, vertex: int) -> set[int]:
        return {int(v) for face in self.around[vertex] for v in self.faces[face]} - {vertex}

    def _cheapest(self, vertex: int):
        """(cost, vertex, onto) of the best allowed collapse, or None."""
        if self.fixed[vertex] or not self.around[vertex]:
            return None
        candidates = np.array(sorted(self._neighbors(vertex)))
        points = np.concatenate(
            [self.points[candidates], np.ones((len(candidates), self.points.shape[1], 1))], 2
        )
        error = np.einsum("npi,pij,npj->n", points, self.quadrics[vertex], points)
        length = ((self.points[candidates, 0] - self.points[vertex, 0]) ** 2).sum(-1)
        cost = np.maximum(error, 0) + SHORT * self.weight[vertex] * length * 1e-4
        for number in np.argsort(cost, kind="stable"):
            if self._allowed(vertex, int(candidates[number])):
                return float(cost[number]), vertex, int(candidates[number])
        return None

    def _allowed(self, vertex: int, onto: int) -> bool:
        """Whether the mesh stays a proper surface, in space and in the texture."""
        if self.fixed[vertex] or not self.around[vertex] or onto not in self._neighbors(vertex):
            return False
        shared = self.around[vertex] & self.around[onto]
        if len(shared) != 2 or len(self._neighbors(vertex) & self._neighbors(onto)) != 2:
            return False
        onto_uv = {
            int(self.uv_faces[face, k]) for face in shared for k in range(3) if self.faces[face, k] == onto
        }
        if len(onto_uv) != 1:
            return False
        rest = np.array(sorted(self.around[vertex] - shared))
        moved = self.faces[rest] == vertex
        before, after = (
            self.points[self.faces[rest], 0],
            self.points[np.where(moved, onto, self.faces[rest]), 0],
        )
        old, new = face_normals(before), face_normals(after)
        if ((old * new).sum(-1) < FLAT_ENOUGH).any():
            return False
        new_uv = np.where(moved, onto_uv.pop(), self.uv_faces[rest])
        return bool((_signed_area(self.uv[self.uv_faces[rest]]) * _signed_area(self.uv[new_uv]) > 0).all())

    def _collapse(self, vertex: int, onto: int, touched: set) -> int:
        """Move `vertex` onto its neighbor; returns how many triangles went."""
        shared = self.around[vertex] & self.around[onto]
        some = next(iter(shared))
        onto_uv = self.uv_faces[some, list(self.faces[some]).index(onto)]
        touched |= self._neighbors(vertex)
        for face in shared:
            self.alive[face] = False
            for corner in self.faces[face]:
                self.around[corner].discard(face)
        for face in list(self.around[vertex]):
            place = list(self.faces[face]).index(vertex)
            self.faces[face, place], self.uv_faces[face, place] = onto, onto_uv
            self.around[onto].add(face)
        self.around[vertex].clear()
        self.quadrics[onto] += self.quadrics[vertex]
        return len(shared)


def _on_a_line(mesh: AvatarMesh) -> np.ndarray:
    """(V,) bool: vertices on an open border, a seam of the texture, or between two regions; these stay."""
    count = len(mesh.vertices)
    pairs = np.unique(np.stack([mesh.faces.ravel(), mesh.uv_faces.ravel()]), axis=1)
    seam = np.bincount(pairs[0], minlength=count) > 1
    labels = np.unique(np.stack([mesh.faces.ravel(), np.repeat(mesh.region, 3)]), axis=1)
    between = np.bincount(labels[0], minlength=count) > 1
    start, end = mesh.faces.ravel(), np.roll(mesh.faces, -1, 1).ravel()
    single = ~np.isin(start * count + end, end * count + start)
    border = np.zeros(count, bool)
    border[start[single]] = border[end[single]] = True
    return seam | between | border


def _mirror(head: HeadModel, mesh: AvatarMesh) -> np.ndarray:
    """(V,) left-right partner of each vertex, the cap's by position."""
    from scipy.spatial import cKDTree

    own = geometry(head).mirror_vertices
    cap = mesh.vertices[len(own) :]
    return np.concatenate([own, len(own) + cKDTree(cap).query(cap * [-1, 1, 1])[1]])


def _quadrics(points, faces, weight):
    """(V, P, 4, 4) sums over the triangles around each vertex of area² times the squared distance to its plane."""
    corners = points[faces]  # (F, 3, P, 3)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=-1, keepdims=True)
    normal = normal / np.maximum(area, 1e-20)
    plane = np.concatenate([normal, -(normal * corners[:, 0]).sum(-1, keepdims=True)], -1)
    each = plane[..., :, None] * plane[..., None, :] * (area[..., None] * weight[:, None, None, None])
    total = np.zeros((len(points), *each.shape[1:]))
    for corner in range(3):
        np.add.at(total, faces[:, corner], each)
    return total


def _signed_area(corners):
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
