"""Things that are put on a head before it is rendered: a shirt, glasses, hair. Plain colors, no texture of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from studio_avatar.rendering import TexturedMesh, vertex_normals

SWATCH_ROWS = 4  # rows added under the texture for the parts' colors


@dataclass(frozen=True)
class Part:
    """A mesh in plain colors.

    vertices: (V, 3) meters in head space; faces: (F, 3); colors: (C, 3) sRGB; color_of_face: (F,) index into them;
    gloss: factor on the skin's gloss; occlusion: (V,) share of open sky, 1 everywhere if None.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray
    color_of_face: np.ndarray
    gloss: float
    occlusion: np.ndarray | None = None


def attach(mesh: TexturedMesh, texture: np.ndarray, parts: list[Part]) -> tuple[TexturedMesh, np.ndarray]:
    """One mesh of a head and its parts; the head's vertices and triangles come first, and keep their numbers.

    Args:
        mesh: with normals, occlusion and gloss.
        texture: (H, W, 3) sRGB.

    Returns:
        the joined mesh, and the texture with a few more rows that hold the parts' colors.
    """
    if not parts:
        return mesh, texture
    colors = np.concatenate([np.asarray(part.colors, np.float32).reshape(-1, 3) for part in parts])
    height, width = texture.shape[:2]
    strip = colors[np.arange(width) * len(colors) // width]
    swatches = np.broadcast_to(strip, (SWATCH_ROWS, width, 3))
    scale = height / (height + SWATCH_ROWS)
    spots = np.stack(
        [(np.arange(len(colors)) + 0.5) / len(colors), np.full(len(colors), 1 - 0.5 * (1 - scale))], 1
    )
    joined = replace(mesh, uv=np.concatenate([mesh.uv * (1.0, scale), spots]).astype(np.float32))
    first_spot = len(mesh.uv)
    for part in parts:
        joined = _joined(joined, part, first_spot)
        first_spot += len(np.reshape(part.colors, (-1, 3)))
    return joined, np.concatenate([texture, swatches])


def tube(path: np.ndarray, radius, sides: int = 6, closed: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles of a tube along `path` (N, 3), `radius` (N,) or one number, in meters."""
    path = np.asarray(path, np.float64)
    along = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-12)
    # One helper for the whole path, across its mean plane, keeps the cross-sections from twisting.
    helper = np.linalg.svd(path - path.mean(0), full_matrices=False)[2][-1]
    side = np.cross(along, helper)
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-12)
    up = np.cross(side, along)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)[None, :, None]
    reach = np.broadcast_to(np.asarray(radius, np.float64), (len(path),))[:, None, None]
    vertices = path[:, None] + reach * (np.cos(angle) * side[:, None] + np.sin(angle) * up[:, None])
    index = np.arange(len(path) * sides).reshape(len(path), sides)
    a, b = (index, np.roll(index, -1, 0)) if closed else (index[:-1], index[1:])
    c, d = np.roll(b, -1, 1), np.roll(a, -1, 1)
    faces = np.concatenate([np.stack([a, d, c], -1).reshape(-1, 3), np.stack([a, c, b], -1).reshape(-1, 3)])
    return vertices.reshape(-1, 3).astype(np.float32), faces


def merged(pieces: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Several (vertices, triangles) in one."""
    start = np.cumsum([0] + [len(vertices) for vertices, _ in pieces])
    faces = [faces + first for (_, faces), first in zip(pieces, start)]
    return np.concatenate([vertices for vertices, _ in pieces]), np.concatenate(faces)


def _joined(mesh: TexturedMesh, part: Part, first_spot: int) -> TexturedMesh:
    vertices = np.asarray(part.vertices, np.float32)
    occlusion = np.ones(len(vertices)) if part.occlusion is None else part.occlusion
    spot = (first_spot + np.asarray(part.color_of_face))[:, None].repeat(3, 1)
    return replace(
        mesh,
        vertices=np.concatenate([mesh.vertices, vertices]),
        faces=np.concatenate([mesh.faces, part.faces + len(mesh.vertices)]),
        uv_faces=np.concatenate([mesh.uv_faces, spot]),
        normals=np.concatenate([mesh.normals, vertex_normals(vertices, part.faces)]),
        occlusion=np.concatenate([mesh.occlusion, occlusion]).astype(np.float32),
        gloss=np.concatenate([mesh.gloss, np.full(len(part.faces), part.gloss, np.float32)]),
    )
