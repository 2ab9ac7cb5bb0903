"""Texels of the head's texture layout ``head-v1``: which triangle each shows, and where that is on the head.

Texture coordinates have their origin at the top left, v down; texel (row r, column c) of a size² texture
has its center at ``u = (c + 0.5) / size, v = (r + 0.5) / size``.

``python -m tools.draw_layout --picture docs/head-v1.png`` draws the layout, with ``--regions`` its regions.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .geometry import geometry
from .head_v1 import head_v1_layout

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

__all__ = [
    "TexelMap",
    "fill_gutters",
    "head_v1_layout",
    "rasterize",
    "region_mask",
    "resample_chart",
    "texel_map",
    "texel_normals",
    "texel_positions",
]


@dataclass(frozen=True)
class TexelMap:
    """What each texel of a square texture shows.

    triangle: (H, W) int32, index into ``head.faces``; -1 where no chart covers the texel's center.
    barycentric: (H, W, 3) float32, weights of that triangle's corners; zeros where there is none.
    """

    triangle: np.ndarray
    barycentric: np.ndarray

    @cached_property
    def covered(self) -> np.ndarray:
        """(H, W) bool, True where a chart covers the texel's center."""
        return self.triangle >= 0

    @cached_property
    def _gutters(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the texels that are not covered, and of the nearest covered one of each."""
        numbers = np.arange(self.triangle.size).reshape(self.triangle.shape)
        return np.flatnonzero(~self.covered), fill_gutters(numbers, self.covered)[~self.covered]

    def filled(self, texture: np.ndarray) -> np.ndarray:
        """A new array like `texture` (H, W) or (H, W, C), its gutters filled: `fill_gutters`, found once."""
        texture = texture.copy()
        flat, (gutters, nearest) = texture.reshape(self.triangle.size, *texture.shape[2:]), self._gutters
        flat[gutters] = flat[nearest]
        return texture


def rasterize(corners: np.ndarray, height: int, width: int, depth: np.ndarray | None = None):
    """Find the triangle at every pixel center.

    Args:
        corners: (F, 3, 2) pixel coordinates (x right, y down; center of pixel (0, 0) at 0.5, 0.5).
        depth: (F, 3) of the corners; the smallest wins. None: the triangle listed first wins.

    Returns:
        triangle (height, width) int32, -1 for none, and barycentric (height, width, 3) float32, affine
        in the picture (not perspective-corrected).
    """
    corners = np.asarray(corners, dtype=np.float64)
    low = np.clip(np.ceil(corners.min(1) - 0.5), 0, [width, height]).astype(np.int64)
    high = np.clip(np.floor(corners.max(1) - 0.5) + 1, 0, [width, height]).astype(np.int64)
    span = np.maximum(high - low, 0)
    span[_doubled_area(corners) == 0] = 0
    count = span.prod(1)
    face = np.repeat(np.arange(len(corners)), count)
    step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    column = low[face, 0] + step % np.maximum(span[face, 0], 1)
    row = low[face, 1] + step // np.maximum(span[face, 0], 1)
    weights = _barycentric(corners, face, np.stack([column, row], 1) + 0.5)
    inside = weights.min(1) >= -1e-9  # closed triangles: a pixel on a shared edge is never lost
    face, row, column, weights = face[inside], row[inside], column[inside], weights[inside]
    # The last write wins: first listed or nearest last.
    order = np.arange(len(face))[::-1]
    if depth is not None:
        order = np.argsort(-(weights * np.asarray(depth, np.float64)[face]).sum(1), kind="stable")
    triangle = np.full((height, width), -1, np.int32)
    barycentric = np.zeros((height, width, 3), np.float32)
    triangle[row[order], column[order]] = face[order]
    barycentric[row[order], column[order]] = weights[order]
    return triangle, barycentric


def texel_map(head: HeadModel, size: int) -> TexelMap:
    """The `TexelMap` of `head`'s texture at `size` x `size`; computed once per head object and size."""
    maps = _CACHE.setdefault(head, {})
    if size not in maps:
        shape = geometry(head)
        corners = shape.uv[shape.uv_faces] * size
        maps[size] = TexelMap(*rasterize(corners, size, size))
        for array in (maps[size].triangle, maps[size].barycentric):
            array.setflags(write=False)
    return maps[size]


def texel_positions(
    texels: TexelMap, head: HeadModel, vertices: np.ndarray, where: np.ndarray | None = None
) -> np.ndarray:
    """(H, W, 3) float32 point in meters that each texel shows on the head `vertices` (V, 3); 0 where none.

    where: (H, W) bool, covered texels of which alone it is asked: then (N, 3).
    """
    vertices = np.asarray(vertices, np.float32)
    if where is not None:
        return _at(texels, head, vertices, np.flatnonzero(where))
    return _interpolate(texels, head, vertices)


def texel_normals(texels: TexelMap, head: HeadModel, vertices: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 unit normal (smooth, outward) at each texel, for `vertices` (V, 3); 0 where none."""
    import torch

    normals = head.normals(torch.tensor(vertices, dtype=torch.float32, device=head.faces.device))
    result = _interpolate(texels, head, normals.cpu().numpy())
    return result / np.maximum(np.linalg.norm(result, axis=-1, keepdims=True), 1e-12)


def region_mask(head: HeadModel, size: int, *names: str) -> np.ndarray:
    """(size, size) bool: texels whose triangle lies in one of the named regions of ``head.config``."""
    wanted = geometry(head).in_regions(*names)
    texels = texel_map(head, size)
    return texels.covered & wanted[texels.triangle]


def fill_gutters(texture: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """Give every uncovered texel the value of the nearest covered one, so that no mip level shows a seam.

    Args:
        texture: (H, W) or (H, W, C), any dtype.
        covered: (H, W) bool.

    Returns:
        A new array like `texture`; unchanged where covered, or everywhere if nothing is covered.
    """
    from scipy.ndimage import distance_transform_edt

    if not covered.any():
        return texture.copy()
    row, column = distance_transform_edt(~covered, return_distances=False, return_indices=True)
    return texture[row, column]


def resample_chart(image: np.ndarray, source_uv: np.ndarray, head: HeadModel, size: int) -> np.ndarray:
    """Carry a texture from another layout of the same mesh into ``head-v1``.

    Args:
        image: (h, w, C) in the source layout, any range and color space; kept as it is.
        source_uv: (T, 2) source coordinates of ``head.uv``'s texture vertices, v down, e.g. ``head.anny_uv``.
        size: side of the result in texels.

    Returns:
        (size, size, C) float32, bilinear, blurred first where the source is much finer, gutters filled.
    """
    from scipy.ndimage import gaussian_filter, map_coordinates

    texels = texel_map(head, size)
    uv_faces = geometry(head).uv_faces
    corners = np.asarray(source_uv, np.float64)[uv_faces[texels.triangle[texels.covered]]]
    at = (corners * texels.barycentric[texels.covered][..., None]).sum(1)
    at = at * [image.shape[1], image.shape[0]] - 0.5
    source = np.asarray(image, np.float32)
    blur = _source_texels_per_texel(head, source_uv, image.shape, size) / 2 - 0.5
    result = np.zeros((size, size, source.shape[2]), np.float32)
    for channel in range(source.shape[2]):
        plane = gaussian_filter(source[..., channel], blur) if blur > 0.2 else source[..., channel]
        result[texels.covered, channel] = map_coordinates(plane, at.T[::-1], order=1, mode="nearest")
    return texels.filled(result)


def draw_layout(head: HeadModel, size: int = 1024) -> np.ndarray:
    """(size, size, 3) uint8 picture of the layout: regions in color, wires, MediaPipe's landmarks in red."""
    import cv2

    texels, shape = texel_map(head, size), geometry(head)
    palette = _palette(len(shape.region_names), 70, 245)
    region = shape.face_region[texels.triangle]
    picture = np.where(texels.covered[..., None], palette[region], 255).astype(np.uint8)
    wires = np.round(shape.uv[shape.uv_faces] * size * 16).astype(np.int32)
    drawn = cv2.polylines(picture.copy(), list(wires), True, (60, 60, 60), 1, cv2.LINE_AA, 4)
    picture = cv2.addWeighted(picture, 0.65, drawn, 0.35, 0)
    for x, y in landmark_uv(head) * size:
        cv2.circle(picture, (round(x), round(y)), 2, (200, 0, 0), -1)
    for number, name in enumerate(shape.region_names):
        rows, columns = np.nonzero((region == number) & texels.covered & (np.arange(size) >= size / 2))
        if len(rows):  # labeled in the middle of the region's right half
            spot = (int(np.median(columns)) - 4 * len(name), int(np.median(rows)))
            cv2.putText(picture, name, spot, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 120), 1, cv2.LINE_AA)
    return picture


def draw_regions(head: HeadModel, size: int = 512) -> np.ndarray:
    """(size + legend, size, 3) uint8 picture of the region masks, one color each, with a legend below."""
    import cv2

    shape, texels = geometry(head), texel_map(head, size)
    names = shape.region_names
    palette = _palette(len(names), 150, 235)
    picture = np.where(texels.covered[..., None], palette[shape.face_region[texels.triangle]], 255)
    columns, step = 4, 24
    legend = np.full((step * -(-len(names) // columns) + 8, size, 3), 255, np.uint8)
    for number, name in enumerate(names):
        x, y = number % columns * size // columns + 8, number // columns * step + 6
        cv2.rectangle(legend, (x, y), (x + 16, y + 14), palette[number].tolist(), -1)
        cv2.putText(legend, name, (x + 22, y + 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([picture.astype(np.uint8), legend])


def _palette(count: int, saturation: int, value: int) -> np.ndarray:
    """(count, 3) uint8 RGB, hues evenly apart."""
    import cv2

    hue = np.arange(count) * 180 // count
    hsv = np.stack([hue, np.full_like(hue, saturation), np.full_like(hue, value)], 1).astype(np.uint8)
    return cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0]


def landmark_uv(head: HeadModel) -> np.ndarray:
    """(468, 2) texture coordinates of MediaPipe's surface landmarks."""
    shape = geometry(head)
    corners = shape.uv[shape.uv_faces[shape.landmark_faces]]
    return (corners * shape.landmark_barycentric[..., None]).sum(1)


_CACHE: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def _interpolate(texels, head: HeadModel, values):
    """(H, W, 3) vertex `values` (V, 3) at every texel."""
    result = np.zeros((*texels.triangle.shape, 3), np.float32)
    place = np.flatnonzero(texels.covered)
    result.reshape(-1, 3)[place] = _at(texels, head, values, place)
    return result


def _at(texels, head: HeadModel, values, place):
    """(N, 3) vertex `values` (V, 3) at the covered texels of numbers `place` (N,)."""
    corners = np.take(values[geometry(head).faces], texels.triangle.ravel()[place], axis=0)  # (N, 3, 3)
    return np.einsum("ncv,nc->nv", corners, texels.barycentric.reshape(-1, 3)[place])


def _doubled_area(corners):
    """Twice the signed area of triangles (F, 3, 2)."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]


def _barycentric(corners, face, points):
    """(N, 3) weights of `points` (N, 2) in triangles `corners[face]`."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    area = _doubled_area(corners)
    area = np.where(area == 0, 1.0, area)
    # Edge functions as plane coefficients, so that the long arrays see multiply-adds only.
    weights = []
    for start, end in ((b, c), (c, a)):
        slope_x, slope_y = (start[:, 1] - end[:, 1]) / area, (end[:, 0] - start[:, 0]) / area
        offset = -(slope_x * start[:, 0] + slope_y * start[:, 1])
        weights.append(slope_x[face] * points[:, 0] + slope_y[face] * points[:, 1] + offset[face])
    return np.stack([weights[0], weights[1], 1 - weights[0] - weights[1]], 1)


def _source_texels_per_texel(head: HeadModel, source_uv, shape, size):
    """Median linear scale between a source layout and ours: how many source texels one texel covers."""
    uv, uv_faces = geometry(head).uv, geometry(head).uv_faces
    ours = np.abs(_doubled_area(uv[uv_faces].astype(np.float64))).sum() * size**2
    theirs = np.abs(_doubled_area(np.asarray(source_uv, np.float64)[uv_faces])).sum() * shape[0] * shape[1]
    return float(np.sqrt(theirs / ours))
