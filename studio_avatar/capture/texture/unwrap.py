"""From a frame and the fitted head to texture space: what each texel looks like, and how far to trust it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.capture.io.frame import Frame
from studio_avatar.head.geometry import geometry
from studio_avatar.imaging.ramps import smoothstep
from studio_avatar.rendering import Camera

from .silhouette import person_mask

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

MAX_ZBUFFER_FACE_HEIGHT_PX = 360  # resolution of visibility; the fit is no more exact than a pixel of this
ZBUFFER_PX_PER_TEXEL = 0.8  # height of the face in that buffer over the size of the texture
GRAZING_COSINE, FACING_COSINE = 0.2, 0.55  # at flatter angles: no trust; above the second: full
OCCLUSION_BIAS_M = 0.004  # an occluder nearer by less than this is the surface itself
BACKGROUND_MARGIN = 0.3  # over face height: how much around the head is looked at to know the background
BACKGROUND, SKIN, EYEBALLS, INSIDE = 0, 1, 2, 3
# Distances over face height between which trust rises from 0 to 1.
TRUST_FROM_SILHOUETTE = (0.008, 0.030)  # from the border of the fitted head, which is off by about a percent
TRUST_FROM_BACKGROUND = (0.010, 0.035)  # from the border of the person in the picture
TRUST_FROM_OTHER_MATERIAL = {SKIN: (0.003, 0.008), EYEBALLS: (0.006, 0.012), INSIDE: (0.003, 0.008)}
_MATERIAL_OF_REGION = {
    "eyeball_left": EYEBALLS,
    "eyeball_right": EYEBALLS,
    "eye_sockets": INSIDE,
    "teeth": INSIDE,
    "tongue": INSIDE,
    "mouth": INSIDE,
}


@dataclass(frozen=True)
class View:
    """One frame in texture space.

    rgb: (H, W, 3) float32 sRGB in [0, 1]; meaningless where `trust` is 0.
    trust: (H, W) float32 in [0, 1]: visible, facing the camera, in the picture, off its material's borders.
    pixel: (H, W, 2) float32, the place in the frame that each texel shows, pixels; meaningless where `trust` is 0.
    scale: (H, W) float32, how many pixels of the frame there are along a texel: how much detail it can show.
    """

    rgb: np.ndarray
    trust: np.ndarray
    pixel: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True)
class FrameCamera(Camera):
    """The camera of one frame of a capture, whose place on the head is that of `HeadFit`.

    face_height_px: height of the face in the frame, pixels.
    """

    face_height_px: float

    def see(self, points: np.ndarray) -> np.ndarray:
        """Head points (..., 3) float32 to camera points (..., 3) float32, meters."""
        return points @ self.rotation.T.astype(np.float32) + self.translation.astype(np.float32)

    def in_picture(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Camera points (..., 3) meters to pixels (..., 2) and depths (...) meters."""
        depth = np.maximum(points[..., 2], 1e-3)
        center = 0.5 * np.asarray(self.size, np.float32)
        return self.focal_px * points[..., :2] / depth[..., None] + center, depth


def unwrap(frame: Frame, head: HeadModel, texels, vertices: np.ndarray, camera: FrameCamera) -> View:
    """Bring a frame into texture space.

    head: `HeadModel`; texels: its `TexelMap` of the wanted size; vertices: (V, 3) float32 meters, the fitted
        head with the expression of this frame.
    """
    vertices = np.ascontiguousarray(vertices, np.float32)
    cosine = _facing(head, vertices, camera)  # (V,)
    faces = geometry(head).faces

    # 1. What the camera sees, and how large texels are in it.
    buffer_height = min(MAX_ZBUFFER_FACE_HEIGHT_PX, ZBUFFER_PX_PER_TEXEL * len(texels.triangle))
    scene = _Scene.of(head, vertices, camera, frame.rgb, min(1.0, buffer_height / camera.face_height_px))
    pixels_per_texel = _pixels_per_texel(head, vertices, camera, len(texels.triangle))

    # 2. The N texels that may be seen at all: about half of them face away.
    may_face = np.append((cosine[faces] > GRAZING_COSINE).any(1), False)  # the last is for triangle -1
    place = np.flatnonzero(_rows(may_face, texels.triangle))
    triangle, shares = (
        _rows(part, place) for part in (texels.triangle.ravel(), texels.barycentric.reshape(-1, 3))
    )

    # 3. Where they are in the frame, and whether the camera sees them there.
    corners = np.c_[camera.see(vertices), cosine].astype(np.float32)[faces]  # (F, 3, 4)
    values = np.einsum("ncv,nc->nv", _rows(corners, triangle), shares)  # (N, 4)
    pixel, depth = camera.in_picture(values[:, :3])
    trust = smoothstep(values[:, 3], GRAZING_COSINE, FACING_COSINE) * _inside(pixel, frame.picture)
    trust *= scene.visible(triangle, pixel, depth)

    # 4. What the frame shows there.
    detail = _rows(pixels_per_texel, triangle)
    columns = _sample(frame.rgb, pixel, detail), trust, pixel, detail
    return View(*(_laid_out(column, place, texels.triangle.shape) for column in columns))


def _rows(array: np.ndarray, index: np.ndarray) -> np.ndarray:
    """`array[index]`, which NumPy does several times slower for small rows."""
    return np.take(array, index, axis=0)


def _laid_out(column: np.ndarray, place: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(H, W, ...) zeros with the values (N, ...) of a column at flat places (N,)."""
    column = np.ascontiguousarray(column, np.float32)
    out = np.zeros((*shape, *column.shape[1:]), np.float32)
    # Rows as one item each: twice as fast.
    row = np.dtype((np.void, out.itemsize * math.prod(column.shape[1:])))
    out.reshape(-1).view(row)[place] = column.reshape(-1).view(row)
    return out


def triangle_material(head: HeadModel) -> np.ndarray:
    """(F,) uint8: SKIN, EYEBALLS or INSIDE for each triangle of the head."""
    shape = geometry(head)
    by_region = np.array([_MATERIAL_OF_REGION.get(name, SKIN) for name in shape.region_names], np.uint8)
    return by_region[shape.face_region]


def _facing(head: HeadModel, vertices: np.ndarray, camera: FrameCamera) -> np.ndarray:
    """(V,) float32: cosine of the angle between the surface's normal and the line of sight."""
    import torch

    normal = head.normals(torch.from_numpy(vertices)).cpu().numpy()
    sight = camera.center.astype(np.float32) - vertices  # towards the camera
    return (normal * sight).sum(1) / np.linalg.norm(sight, axis=1)


def _inside(pixel: np.ndarray, picture: tuple[int, int, int, int]) -> np.ndarray:
    """(N,) trust by the distance to the edge of the picture."""
    left, top, right, bottom = picture
    x, y = pixel[:, 0], pixel[:, 1]
    margin = np.minimum(np.minimum(x - left, right - x), np.minimum(y - top, bottom - y))
    return smoothstep(margin, 1.0, 1.0 + 0.01 * (bottom - top))


@dataclass(frozen=True)
class _Scene:
    """What the camera of a frame sees, in a buffer (h, w) of the part of the picture where the head is.

    corner: the part's first (x, y) in pixels of the picture; scale: pixels of the buffer per pixel of the picture; material:
    (F,) of the head's triangles. nearest: (h, w) meters to the first surface around each place. off_head, off_person: (h, w)
    how far it is from what is not the head, or not the person, over face height; off_others: the same for what is of another
    material.
    """

    corner: np.ndarray
    scale: float
    material: np.ndarray
    nearest: np.ndarray
    off_head: np.ndarray
    off_person: np.ndarray
    off_others: dict[int, np.ndarray]

    @classmethod
    def of(cls, head: HeadModel, vertices, camera: FrameCamera, rgb: np.ndarray, scale: float) -> _Scene:
        import cv2

        (left, top), (right, bottom), buffer, shown_triangle = _depth_buffer(head, vertices, camera, scale)
        shape, material = geometry(head), triangle_material(head)
        shown = np.append(material, BACKGROUND)[shown_triangle]
        region = np.append(shape.face_region, -1)[shown_triangle]
        person = person_mask(rgb[top:bottom, left:right], region, shape.region_names, camera.face_height_px)

        def off(others: np.ndarray) -> np.ndarray:
            distance = cv2.distanceTransform((~others).astype(np.uint8), cv2.DIST_L2, 3)
            return distance / np.float32(camera.face_height_px * scale)

        return cls(
            corner=np.array((left, top), np.float32),
            scale=scale,
            material=material,
            nearest=cv2.erode(buffer, np.ones((3, 3))),
            off_head=off(shown == BACKGROUND),
            off_person=off(~person),
            off_others={m: off((shown != m) & (shown != BACKGROUND)) for m in TRUST_FROM_OTHER_MATERIAL},
        )

    def visible(self, triangle: np.ndarray, pixel: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """(N,) trust of texels by triangles (N,), pixels (N, 2) and depths (N,): nothing is in front of the texel, it is
        off the border of its material, and on the person."""
        import cv2

        at = (pixel - self.corner) * np.float32(self.scale) - np.float32(0.5)
        trust = (depth <= _lookup(self.nearest, at, cv2.INTER_NEAREST) + OCCLUSION_BIAS_M).astype(np.float32)
        trust *= smoothstep(_lookup(self.off_head, at, cv2.INTER_LINEAR), *TRUST_FROM_SILHOUETTE)
        trust *= smoothstep(_lookup(self.off_person, at, cv2.INTER_LINEAR), *TRUST_FROM_BACKGROUND)
        own = _rows(self.material, triangle)
        for material, off in self.off_others.items():
            mine = np.flatnonzero(own == material)
            distance = _lookup(off, _rows(at, mine), cv2.INTER_LINEAR)
            trust[mine] *= smoothstep(distance, *TRUST_FROM_OTHER_MATERIAL[material])
        return trust


def _depth_buffer(head: HeadModel, vertices, camera: FrameCamera, scale: float):
    """What the camera sees first, in the part of the picture where the head is, at `scale` pixels per pixel.

    Returns the part's first and one-past-last corner (x, y) in pixels of the picture, depth (h, w) float32 meters,
    inf where nothing is, and triangle (h, w) int32, -1 there.
    """
    pixel, depth = camera.in_picture(camera.see(vertices))
    margin = BACKGROUND_MARGIN * camera.face_height_px
    low = np.clip(np.floor(pixel.min(0) - margin), 0, np.array(camera.size) - 8).astype(int)
    high = np.clip(np.ceil(pixel.max(0) + margin), low + 8, camera.size).astype(int)
    size = np.ceil((high - low) * scale).astype(int)
    at = (pixel - low) * scale
    faces = geometry(head).faces
    towards = np.flatnonzero(_doubled_area(at[faces]) > 0.0)  # a closed surface is hidden by its front alone
    buffer, triangle = _nearest(at, depth, faces[towards], size)
    return low, high, buffer, np.append(towards, -1)[triangle].astype(np.int32)


def _nearest(at: np.ndarray, depth: np.ndarray, faces: np.ndarray, size) -> tuple[np.ndarray, np.ndarray]:
    """Depth (h, w) and index (h, w) int of the nearest of `faces` (F, 3) in a picture of `size` (w, h); inf, -1 if none.

    at: (V, 2) pixels of that picture; depth: (V,) meters.
    """
    import cv2

    # OpenCV's camera looks along -Z with Y up; with a right angle of view it sees half the height at distance 1.
    across = (at - 0.5 * size) / (0.5 * size[1]) * depth[:, None]
    points = np.c_[across[:, 0], -across[:, 1], -depth].astype(np.float32)
    # Every triangle has corners of its own, whose color is the triangle's number.
    numbers = np.repeat(np.arange(len(faces), dtype=np.float32), 3)[:, None].repeat(3, axis=1)
    settings = cv2.TriangleRasterizeSettings()
    settings.setShadingType(cv2.RASTERIZE_SHADING_FLAT).setCullingMode(cv2.RASTERIZE_CULLING_NONE)
    near, far = 0.5 * float(depth.min()), 2.0 * float(depth.max())
    number, buffer = np.full((*size[::-1], 3), -1.0, np.float32), np.full(size[::-1], far, np.float32)
    cv2.triangleRasterize(
        points[faces].reshape(-1, 3), np.arange(3 * len(faces), dtype=np.int32).reshape(-1, 3), numbers,
        number, buffer, np.eye(4, dtype=np.float32), 0.5 * np.pi, near, far, settings,
    )  # fmt: skip
    number = number[..., 0].astype(int)
    return np.where(number < 0, np.float32(np.inf), buffer), number


def _pixels_per_texel(head: HeadModel, vertices, camera: FrameCamera, size: int) -> np.ndarray:
    """(F,) float32: how many pixels of the frame fit along one texel of each triangle, from the two areas."""
    shape = geometry(head)
    area_px = np.abs(_doubled_area(camera.in_picture(camera.see(vertices))[0][shape.faces]))
    area_texels = np.abs(_doubled_area(shape.uv[shape.uv_faces] * size))
    return np.sqrt(area_px / np.maximum(area_texels, 1e-6)).astype(np.float32)


def _doubled_area(corners: np.ndarray) -> np.ndarray:
    """(F, 3, 2) -> (F,), positive for anticlockwise triangles as seen with y down, that is, outward faces."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return a[:, 1] * b[:, 0] - a[:, 0] * b[:, 1]


def _sample(rgb: np.ndarray, pixel: np.ndarray, pixels_per_texel: np.ndarray) -> np.ndarray:
    """(N, 3) float32 in [0, 1]: a uint8 picture at `pixel` (N, 2), from the levels of its pyramid that match."""
    import cv2

    if len(pixel) == 0:
        return np.zeros((0, 3), np.float32)
    level = np.log2(np.maximum(pixels_per_texel, 1.0))
    top = int(np.ceil(min(np.percentile(level, 99), 5.0)))
    level = np.minimum(level, top)
    image, full = rgb, np.array(rgb.shape[1::-1], np.float32)
    out = np.zeros((len(pixel), 3), np.float32)
    for k in range(top + 1):
        if k > 0:
            size = tuple(max(n // 2, 1) for n in image.shape[1::-1])
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        share = np.clip(1.0 - np.abs(level - k), 0.0, 1.0)
        some = np.flatnonzero(share)
        at = _rows(pixel, some) * (np.array(image.shape[1::-1], np.float32) / full) - np.float32(0.5)
        values = _lookup(image, at, cv2.INTER_CUBIC if k == 0 else cv2.INTER_LINEAR)
        values = _rows(share / np.float32(255), some)[:, None] * values
        out += _laid_out(values, some, out.shape[:1]) if len(some) < len(out) else values
    return np.clip(out, 0.0, 1.0)


def _lookup(image: np.ndarray, at: np.ndarray, method: int) -> np.ndarray:
    """Values (N, ...) of an image at `at` (N, 2) array coordinates; the edge is continued outside."""
    import cv2

    if len(at) == 0:
        return np.zeros((0, *image.shape[2:]), image.dtype)
    # cv2.remap wants a picture of coordinates, no side longer than 32766.
    width = 4096
    grid = np.zeros((-(-len(at) // width) * width, 2), np.float32)
    grid[: len(at)] = at
    grid = grid.reshape(-1, width, 2)
    values = cv2.remap(image, grid, None, method, borderMode=cv2.BORDER_REPLICATE)
    return values.reshape(-1, *image.shape[2:])[: len(at)]
