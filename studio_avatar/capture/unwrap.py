"""From a frame and the fitted head to texture space: what each texel looks like, and how far to trust it."""

from dataclasses import dataclass

import numpy as np

from studio_avatar.capture.video import Frame

ZBUFFER_FACE_HEIGHT_PX = 360  # resolution of visibility; the fit is no more exact than a pixel of this
GRAZING_COSINE, FACING_COSINE = 0.25, 0.65  # at flatter angles: no trust; above the second: full
OCCLUSION_BIAS_M = 0.004  # an occluder nearer by less than this is the surface itself
# Distance to the border of what is visible, over face height, between which trust rises from 0 to 1.
TRUST_FROM_BACKGROUND = (0.010, 0.035)  # fits are off by up to a percent; air must not become skin
TRUST_FROM_OTHER_MATERIAL = (0.003, 0.008)  # lids and lips are fitted more exactly, and thin
BACKGROUND, SKIN, EYEBALLS, MOUTH = 0, 1, 2, 3
_MATERIAL_OF_REGION = {
    "eyeball_left": EYEBALLS,
    "eyeball_right": EYEBALLS,
    "teeth": MOUTH,
    "tongue": MOUTH,
    "mouth": MOUTH,
}


@dataclass(frozen=True)
class View:
    """One frame in texture space.

    rgb: (H, W, 3) float32 sRGB in [0, 1]; meaningless where `trust` is 0.
    trust: (H, W) float32 in [0, 1]: visible, facing the camera, in the picture, off its material's borders.
    """

    rgb: np.ndarray
    trust: np.ndarray


@dataclass(frozen=True)
class Camera:
    """Where the head is in one frame; the conventions are those of `HeadFit`.

    rotation: (3, 3). translation: (3,) metres. focal_px: pixels. face_height_px: height of the face, pixels.
    """

    rotation: np.ndarray
    translation: np.ndarray
    focal_px: float
    face_height_px: float

    def project(self, points: np.ndarray, image_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Head points (..., 3) metres to pixels (..., 2) and depths (...) metres."""
        camera = points @ self.rotation.T.astype(np.float32) + self.translation.astype(np.float32)
        depth = np.maximum(camera[..., 2], 1e-3)
        centre = 0.5 * np.asarray(image_size, np.float32)
        return self.focal_px * camera[..., :2] / depth[..., None] + centre, depth


def unwrap(frame: Frame, head, texels, vertices: np.ndarray, camera: Camera) -> View:
    """Bring a frame into texture space.

    head: `HeadModel`; texels: its `TexelMap` of the wanted size; vertices: (V, 3) float32 metres, the fitted
        head with the expression of this frame.
    """
    from studio_avatar.head.layout import texel_positions

    image_size = frame.rgb.shape[1::-1]
    covered = texels.triangle >= 0
    position = texel_positions(texels, head, vertices).astype(np.float32)
    pixel, depth = camera.project(position, image_size)  # (H, W, 2), (H, W)
    trust = _facing(head, texels, vertices, position, camera) * _inside(pixel, frame.picture)
    trust *= _visible(head, texels, vertices, pixel, depth, camera, image_size)
    trust[~covered] = 0.0
    detail = _pixels_per_texel(head, texels, vertices, camera, image_size)
    return View(_sample(frame.rgb, pixel, detail), trust)


def triangle_material(head) -> np.ndarray:
    """(F,) uint8: SKIN, EYEBALLS or MOUTH for each triangle of the head."""
    by_region = np.array([_MATERIAL_OF_REGION.get(name, SKIN) for name in head.config.region_names], np.uint8)
    return by_region[head.face_region.cpu().numpy()]


def rasterise(pixel: np.ndarray, depth: np.ndarray, faces: np.ndarray, size: tuple[int, int]):
    """Z-buffer: nearest depth (h, w) float32, inf where nothing is, and triangle (h, w) int32, -1 there.

    pixel: (V, 2) in units of this buffer; depth: (V,) > 0; faces: (F, 3); size: (width, height).
    Every pixel of every triangle's bounding box is tested at once: the cost is that of the boxes' area.
    """
    width, height = size
    corners = pixel[faces].astype(np.float64)  # (F, 3, 2)
    low = np.maximum(np.ceil(corners.min(1) - 0.5), 0).astype(np.int64)
    high = np.minimum(np.floor(corners.max(1) - 0.5), [width - 1, height - 1]).astype(np.int64)
    area = _cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    kept = np.flatnonzero((high >= low).all(1) & (np.abs(area) > 1e-9))
    extent = (high - low + 1)[kept]
    counts = extent.prod(1)
    owner = np.repeat(kept, counts)  # (N,) triangle of each candidate pixel
    place = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    row, col = np.divmod(place, np.repeat(extent[:, 0], counts))
    col, row = col + low[owner, 0], row + low[owner, 1]
    point = np.stack([col + 0.5, row + 0.5], axis=1)
    a, b, c = (corners[owner, i] for i in range(3))
    shares = np.stack(
        [_cross(b - point, c - point), _cross(c - point, a - point), _cross(a - point, b - point)], 1
    )
    shares /= area[owner, None]
    inside = (shares >= -1e-7).all(1)
    owner, target = owner[inside], row[inside] * width + col[inside]
    nearness = (shares[inside] / depth[faces[owner]]).sum(1)  # 1 / depth is linear in the picture
    nearest = np.zeros(width * height)
    np.maximum.at(nearest, target, nearness)
    triangle = np.full(width * height, -1, np.int32)
    wins = nearness >= nearest[target]
    triangle[target[wins]] = owner[wins]
    with np.errstate(divide="ignore"):
        buffer = (1.0 / nearest).astype(np.float32)
    return buffer.reshape(height, width), triangle.reshape(height, width)


def smoothstep(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between."""
    share = np.clip((value - low) / (high - low), 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _facing(head, texels, vertices, position, camera: Camera) -> np.ndarray:
    """Trust by the angle between surface and line of sight, (H, W)."""
    import torch

    from studio_avatar.head.layout import texel_positions

    vertex_normals = head.normals(torch.from_numpy(np.ascontiguousarray(vertices, np.float32))).cpu().numpy()
    normal = texel_positions(texels, head, vertex_normals)
    eye = (-camera.rotation.T @ camera.translation).astype(np.float32)  # the camera in head space
    sight = eye - position
    length = np.linalg.norm(normal, axis=-1) * np.linalg.norm(sight, axis=-1)
    cosine = (normal * sight).sum(-1) / np.maximum(length, 1e-9)
    return smoothstep(cosine, GRAZING_COSINE, FACING_COSINE).astype(np.float32)


def _inside(pixel: np.ndarray, picture: tuple[int, int, int, int]) -> np.ndarray:
    left, top, right, bottom = picture
    x, y = pixel[..., 0], pixel[..., 1]
    margin = np.minimum(np.minimum(x - left, right - x), np.minimum(y - top, bottom - y))
    return smoothstep(margin, 1.0, 1.0 + 0.01 * (bottom - top)).astype(np.float32)


def _visible(head, texels, vertices, pixel, depth, camera: Camera, image_size) -> np.ndarray:
    """Trust by visibility, (H, W): nothing in front, and off the border of the texel's own material."""
    import cv2

    scale = min(1.0, ZBUFFER_FACE_HEIGHT_PX / camera.face_height_px)
    size = tuple(max(int(np.ceil(n * scale)), 8) for n in image_size)
    vertex_pixel, vertex_depth = camera.project(vertices.astype(np.float32), image_size)
    buffer, triangle = rasterise(vertex_pixel * scale, vertex_depth, head.faces.cpu().numpy(), size)
    material_of = np.append(triangle_material(head), BACKGROUND)  # triangle -1 is the last entry
    shown = material_of[triangle]
    at = (pixel * scale - 0.5).astype(np.float32)
    nearest = cv2.remap(
        cv2.erode(buffer, np.ones((3, 3))), at, None, cv2.INTER_NEAREST, borderValue=float("inf")
    )
    trust = (depth <= nearest + OCCLUSION_BIAS_M).astype(np.float32)

    own = material_of[texels.triangle]
    unit = camera.face_height_px * scale

    def distance_to(others: np.ndarray, low_high: tuple[float, float]) -> np.ndarray:
        free = np.pad((~others).astype(np.uint8), 1, constant_values=1)
        distance = cv2.distanceTransform(free, cv2.DIST_L2, 3)[1:-1, 1:-1]
        return smoothstep(cv2.remap(distance, at, None, cv2.INTER_LINEAR) / unit, *low_high)

    trust *= distance_to(shown == BACKGROUND, TRUST_FROM_BACKGROUND)
    for material in (SKIN, EYEBALLS, MOUTH):
        others = (shown != material) & (shown != BACKGROUND)
        mine = own == material
        trust[mine] *= distance_to(others, TRUST_FROM_OTHER_MATERIAL)[mine]
    return trust


def _pixels_per_texel(head, texels, vertices, camera: Camera, image_size) -> np.ndarray:
    """(H, W) float32: how many pixels of the frame fit along one texel, from the areas of each triangle."""
    size = texels.triangle.shape[0]
    faces, uv_faces, uv = (getattr(head, name).cpu().numpy() for name in ("faces", "uv_faces", "uv"))
    pixels = camera.project(vertices.astype(np.float32), image_size)[0][faces]
    places = uv[uv_faces] * size
    area_px, area_texels = (np.abs(_cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])) for p in (pixels, places))
    ratio = np.sqrt(area_px / np.maximum(area_texels, 1e-6)).astype(np.float32)
    return np.append(ratio, np.float32(1.0))[texels.triangle]


def _sample(rgb: np.ndarray, pixel: np.ndarray, pixels_per_texel: np.ndarray) -> np.ndarray:
    """Sample a uint8 picture at `pixel` (H, W, 2), from the levels of its pyramid that match the texels."""
    import cv2

    level = np.log2(np.maximum(pixels_per_texel, 1.0))
    top = int(np.ceil(min(np.percentile(level, 99), 5.0)))
    image, full = rgb, np.array(rgb.shape[1::-1], np.float32)
    out = np.zeros((*pixel.shape[:2], 3), np.float32)
    for k in range(top + 1):
        if k > 0:
            size = tuple(max(n // 2, 1) for n in image.shape[1::-1])
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        share = np.clip(1.0 - np.abs(np.clip(level, 0, top) - k), 0.0, 1.0)
        at = (pixel * (np.array(image.shape[1::-1], np.float32) / full) - 0.5).astype(np.float32)
        method = cv2.INTER_CUBIC if k == 0 else cv2.INTER_LINEAR
        values = cv2.remap(image, at, None, method, borderMode=cv2.BORDER_REPLICATE)
        out += share[..., None] * values
    return np.clip(out / 255.0, 0.0, 1.0)
