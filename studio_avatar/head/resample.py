"""Textures between `head-v1` and any other layout, by way of a mesh that lies on the head.

    texel of the one layout ─► point on its mesh ─► nearest point of the other mesh ─► texel of the other layout

The other mesh must be wrapped around the head: same pose, same place, meters. Then it needs neither the head's
vertices nor its triangles.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.errors import InvalidInputError

from .geometry import geometry
from .layout import fill_gutters, rasterize, texel_map, texel_positions

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

# What a wrapped mesh covers. Nearest points must not fall onto the inside of the mouth or behind the lids.
OUTER_REGIONS = ("face", "lips", "brows", "eyelids", "ears", "scalp", "neck")
REACH = 0.01  # meters between the two surfaces beyond which a texel has no counterpart


@dataclass(frozen=True)
class WrappedMesh:
    """A mesh on the head's surface with a layout of its own.

    vertices: (V, 3) meters, head space; faces: (F, 3); uv: (T, 2) v down, in [0, 1]; uv_faces: (F, 3).
    """

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    uv_faces: np.ndarray


def from_head_v1(
    texture: np.ndarray, head: HeadModel, mesh: WrappedMesh, size: int, vertices: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Carry a head-v1 texture into the layout of a wrapped mesh.

    Args:
        texture: (H, H, C) any range and color space.
        size: side of the result in texels.
        vertices: (V, 3) shape of the head that `mesh` was wrapped around; the mean head if None.

    Returns:
        (size, size, C) float32, bilinear, gutters filled, and (size, size) bool: which texels have a counterpart.
    Raises:
        MissingDependencyError: warp-lang is not installed.
    """
    corners = mesh.uv[mesh.uv_faces] * size
    triangle, shares = rasterize(corners, size, size)
    shown = triangle >= 0
    points = (mesh.vertices[mesh.faces[triangle[shown]]] * shares[shown][..., None]).sum(1)
    shape = geometry(head)
    outer = shape.in_regions(*OUTER_REGIONS)
    target = WrappedMesh(_shape(head, vertices), shape.faces[outer], shape.uv, shape.uv_faces[outer])
    return _carry(texture, points, shown, target, size)


def to_head_v1(
    texture: np.ndarray, mesh: WrappedMesh, head: HeadModel, size: int, vertices: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Carry a texture in the layout of a wrapped mesh into head-v1; see `from_head_v1`.

    Only the outer skin has a counterpart: eyeballs, teeth and mouth are False in the second result.
    """
    texels = texel_map(head, size)
    shown = texels.covered & geometry(head).in_regions(*OUTER_REGIONS)[texels.triangle]
    points = texel_positions(texels, head, _shape(head, vertices))[shown]
    return _carry(texture, points, shown, mesh, size)


def read_wrapped_mesh(path: str | Path) -> WrappedMesh:
    """An OBJ file with texture coordinates; polygons are split into fans.

    Raises:
        InvalidInputError: the file is missing, is no OBJ, or has no texture coordinates.
    """
    vertices, uv, corners = [], [], []
    try:
        for line in Path(path).read_text().splitlines():
            kind, *values = line.split() or [""]
            if kind == "v":
                vertices.append([float(value) for value in values[:3]])
            elif kind == "vt":
                uv.append([float(values[0]), 1 - float(values[1])])
            elif kind == "f":
                polygon = [tuple(int(number) for number in value.split("/")[:2]) for value in values]
                corners += [(polygon[0], polygon[k], polygon[k + 1]) for k in range(1, len(polygon) - 1)]
        indices = np.array(corners, np.int64).reshape(-1, 3, 2)
    except (OSError, ValueError, IndexError) as error:
        raise InvalidInputError(f"'{path}' is no OBJ file with texture coordinates (f v/vt ...).") from error
    if not len(indices):
        raise InvalidInputError(f"'{path}' has no triangles with texture coordinates.")
    indices = np.where(
        indices > 0, indices - 1, indices + [len(vertices), len(uv)]
    )  # OBJ counts from 1, or back
    points, coordinates = np.array(vertices, np.float32), np.array(uv, np.float32)
    return WrappedMesh(points, indices[..., 0], coordinates, indices[..., 1])


def _shape(head: HeadModel, vertices) -> np.ndarray:
    return geometry(head).neutral if vertices is None else np.asarray(vertices, np.float32)


def _carry(texture, points, shown, target: WrappedMesh, size: int):
    """Give each `shown` texel (size, size) the color of `texture` at the nearest point of `target`."""
    from scipy.ndimage import map_coordinates

    from studio_avatar.rendering import nearest_on_surface

    triangle, shares = nearest_on_surface(target.vertices, target.faces, points, REACH)
    found = triangle >= 0
    at = (target.uv[target.uv_faces[triangle[found]]] * shares[found][..., None]).sum(1)
    at = at * [texture.shape[1], texture.shape[0]] - 0.5
    covered = np.zeros((size, size), bool)
    covered[shown] = found
    result = np.zeros((size, size, texture.shape[2]), np.float32)
    for channel in range(texture.shape[2]):
        plane = np.asarray(texture[..., channel], np.float32)
        result[covered, channel] = map_coordinates(plane, at.T[::-1], order=1, mode="nearest")
    return fill_gutters(result, covered), covered
