"""The mesh that is exported: the person's head with its neck closed, in all its shapes."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.head.geometry import geometry

from .neck import NeckCap, neck_cap
from .person_shapes import person_shapes
from .rest import at_rest
from .visemes import ARKIT

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel


@dataclass(frozen=True)
class AvatarMesh:
    """Triangles with texture coordinates and expressions.

    vertices: (V, 3) float32 meters, neutral; offsets: (E, V, 3) float32 meters at coefficient 1;
    faces: (F, 3); uv: (T, 2) glTF convention; uv_faces: (F, 3), triangle order as `faces`; region: (F,) index into the
    head's `region_names`. Vertices up to the head's own number are the head's, in its order.
    """

    vertices: np.ndarray
    offsets: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    uv_faces: np.ndarray
    region: np.ndarray

    def posed(self, coefficients: np.ndarray) -> np.ndarray:
        """Vertices (V, 3) with the expression coefficients (E,)."""
        return self.vertices + np.tensordot(np.asarray(coefficients, np.float32), self.offsets, 1)


@dataclass(frozen=True)
class Corners:
    """Vertices split where the texture has a seam: file formats have one texture coordinate a vertex.

    vertex: (N,) and uv: (N,) index the mesh's vertices and texture coordinates; faces: (F, 3) index the N.
    """

    vertex: np.ndarray
    uv: np.ndarray
    faces: np.ndarray


def avatar_mesh(
    head: HeadModel, identity: np.ndarray, shapes: str = ARKIT, rest: np.ndarray | None = None
) -> AvatarMesh:
    """The mesh of the person with the identity coefficients (at most 125,), neck closed.

    shapes: one of `SHAPE_SETS`. rest: (52,) expression of the face at rest; None: the model's own.

    Raises:
        InvalidInputError: there is no such set of shapes.
    """
    cap = _CAPS.get(head)
    if cap is None:
        cap = _CAPS[head] = neck_cap(head)
    own = person_shapes(head, identity, shapes)
    return _with_cap(head, own if rest is None else at_rest(head, own, rest), cap)


def _with_cap(head: HeadModel, shapes, cap: NeckCap) -> AvatarMesh:
    mean = geometry(head)
    neck = np.full(len(cap.faces), mean.region("neck"))
    return AvatarMesh(
        vertices=np.concatenate([shapes.neutral, cap.vertices(shapes.neutral)]),
        offsets=np.concatenate([shapes.offsets, cap.offsets(shapes.offsets)], 1),
        faces=np.concatenate([mean.faces, cap.faces]),
        uv=np.concatenate([mean.uv, cap.uv]).astype(np.float32),
        uv_faces=np.concatenate([mean.uv_faces, cap.uv_faces]),
        region=np.concatenate([mean.face_region, neck]),
    )


def split_at_seams(mesh: AvatarMesh) -> Corners:
    """One vertex for each pair of vertex and texture coordinate that a triangle uses."""
    pairs = np.stack([mesh.faces.ravel(), mesh.uv_faces.ravel()], axis=1)
    unique, inverse = np.unique(pairs, axis=0, return_inverse=True)
    return Corners(unique[:, 0], unique[:, 1], inverse.reshape(-1, 3))


def tangents(mesh: AvatarMesh, corners: Corners, normals: np.ndarray) -> np.ndarray:
    """(N, 4) float32 as glTF has them: unit vector towards +u, and the sign that makes cross(normal, tangent) point
    up in the picture. normals: (N, 3) of the corners.
    """
    points, uv = mesh.vertices[corners.vertex][corners.faces], mesh.uv[corners.uv][corners.faces]
    edge, other = points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]
    (du, dv), (du2, dv2) = (uv[:, 1] - uv[:, 0]).T, (uv[:, 2] - uv[:, 0]).T
    area = (du * dv2 - du2 * dv)[:, None]
    # Times |area|: large triangles count more, and one without extent in the texture not at all.
    along_u = (edge * dv2[:, None] - other * dv[:, None]) * np.sign(area)
    along_v = (other * du[:, None] - edge * du2[:, None]) * np.sign(area)
    sums = []
    for direction in (along_u, along_v):
        total = np.zeros((len(corners.vertex), 3))
        for corner in range(3):
            np.add.at(total, corners.faces[:, corner], direction)
        sums.append(total)
    towards_u, up = sums[0], -sums[1]
    helper = np.where(np.abs(normals[:, 1:2]) < 0.9, [0.0, 1.0, 0.0], [1.0, 0.0, 0.0])
    flat = np.linalg.norm(towards_u, axis=1) < 1e-12
    towards_u[flat] = np.cross(helper, normals)[flat]
    tangent = towards_u - normals * (towards_u * normals).sum(-1, keepdims=True)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=-1, keepdims=True), 1e-20)
    sign = np.where((np.cross(normals, tangent) * up).sum(-1) < 0, -1.0, 1.0)
    return np.concatenate([tangent, sign[:, None]], 1).astype(np.float32)


_CAPS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
