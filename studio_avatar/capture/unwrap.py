"""From a frame and the fitted head to texture space: what each texel looks like, and how far to trust it."""

from dataclasses import dataclass

import numpy as np

from studio_avatar.capture.frame import Frame
from studio_avatar.capture.silhouette import person_mask

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
class Camera:
    """Where the head is in one frame; the conventions are those of `HeadFit`.

    rotation: (3, 3). translation: (3,) metres. focal_px: pixels.
    face_height_px: height of the face in the frame, pixels.
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
    image_size = frame.rgb.shape[1::-1]
    vertices = np.ascontiguousarray(vertices, np.float32)
    cosine = _facing(head, vertices, camera)  # (V,)
    faces = head.faces.cpu().numpy()

    # 1. The N texels that may be seen at all: about half of them face away.
    may_face = np.append((cosine[faces] > GRAZING_COSINE).any(1), False)  # the last is for triangle -1
    rows, cols = np.nonzero(may_face[texels.triangle])
    triangle, shares = texels.triangle[rows, cols], texels.barycentric[rows, cols]

    # 2. Where they are in the frame, and whether the camera sees them there.
    values = _interpolate(np.c_[vertices, cosine], faces[triangle], shares)  # (N, 4)
    pixel, depth = camera.project(values[:, :3], image_size)
    trust = smoothstep(values[:, 3], GRAZING_COSINE, FACING_COSINE) * _inside(pixel, frame.picture)
    buffer_height = min(MAX_ZBUFFER_FACE_HEIGHT_PX, ZBUFFER_PX_PER_TEXEL * len(texels.triangle))
    scale = min(1.0, buffer_height / camera.face_height_px)
    trust *= _visible(head, vertices, camera, frame.rgb, scale, triangle, pixel, depth)

    # 3. What the frame shows there.
    detail = _pixels_per_texel(head, vertices, camera, image_size, texels.triangle.shape[0])[triangle]
    view = View(*(np.zeros((*texels.triangle.shape, *channels), np.float32) for channels in ((3,), (), (2,), ())))
    view.rgb[rows, cols] = _sample(frame.rgb, pixel, detail)
    view.trust[rows, cols] = trust
    view.pixel[rows, cols] = pixel
    view.scale[rows, cols] = detail
    return view


def triangle_material(head) -> np.ndarray:
    """(F,) uint8: SKIN, EYEBALLS or INSIDE for each triangle of the head."""
    by_region = np.array([_MATERIAL_OF_REGION.get(name, SKIN) for name in head.config.region_names], np.uint8)
    return by_region[head.face_region.cpu().numpy()]


def smoothstep(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between."""
    share = np.clip((value - low) / (high - low), 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def _facing(head, vertices: np.ndarray, camera: Camera) -> np.ndarray:
    """(V,) float32: cosine of the angle between the surface's normal and the line of sight."""
    import torch

    normal = head.normals(torch.from_numpy(vertices)).cpu().numpy()
    sight = (-camera.rotation.T @ camera.translation).astype(np.float32) - vertices  # towards the camera
    return (normal * sight).sum(1) / np.linalg.norm(sight, axis=1)


def _interpolate(values: np.ndarray, corners: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Vertex values (V, C) at N points: corners (N, 3) vertices, shares (N, 3) barycentric -> (N, C) float32."""
    values = values.astype(np.float32)
    return sum(values[corners[:, i]] * shares[:, i, None] for i in range(3))


def _inside(pixel: np.ndarray, picture: tuple[int, int, int, int]) -> np.ndarray:
    """(N,) trust by the distance to the edge of the picture."""
    left, top, right, bottom = picture
    x, y = pixel[:, 0], pixel[:, 1]
    margin = np.minimum(np.minimum(x - left, right - x), np.minimum(y - top, bottom - y))
    return smoothstep(margin, 1.0, 1.0 + 0.01 * (bottom - top))


def _visible(head, vertices, camera: Camera, rgb, scale: float, triangle, pixel, depth) -> np.ndarray:
    """(N,) trust by visibility: nothing in front of the texel, off the border of its material, on the person.

    scale: pixels of the depth buffer per pixel of the frame.
    """
    import cv2

    unit = camera.face_height_px * scale
    (left, top), (right, bottom), buffer, shown_triangle = _depth_buffer(
        head, vertices, camera, rgb.shape[1::-1], scale
    )
    at = (pixel - (left, top)) * scale - 0.5
    nearest = _lookup(cv2.erode(buffer, np.ones((3, 3))), at, cv2.INTER_NEAREST)
    trust = (depth <= nearest + OCCLUSION_BIAS_M).astype(np.float32)

    material = triangle_material(head)
    own, shown = material[triangle], np.append(material, BACKGROUND)[shown_triangle]
    region = np.append(head.face_region.cpu().numpy(), -1)[shown_triangle]
    person = person_mask(rgb[top:bottom, left:right], region, head.config.region_names, camera.face_height_px)

    def off(others: np.ndarray, low_high: tuple[float, float]) -> np.ndarray:
        distance = cv2.distanceTransform((~others).astype(np.uint8), cv2.DIST_L2, 3)
        return smoothstep(_lookup(distance, at, cv2.INTER_LINEAR) / unit, *low_high)

    trust *= off(shown == BACKGROUND, TRUST_FROM_SILHOUETTE) * off(~person, TRUST_FROM_BACKGROUND)
    for one, low_high in TRUST_FROM_OTHER_MATERIAL.items():
        others = (shown != one) & (shown != BACKGROUND)
        trust[own == one] *= off(others, low_high)[own == one]
    return trust


def _depth_buffer(head, vertices, camera: Camera, image_size, scale: float):
    """What the camera sees first, in the part of the picture where the head is, at `scale` pixels per pixel.

    Returns the part's first and one-past-last corner (x, y) in pixels of the picture, depth (h, w) float32 metres,
    inf where nothing is, and triangle (h, w) int32, -1 there.
    """
    from studio_avatar.head.layout import rasterise

    pixel, depth = camera.project(vertices, image_size)
    margin = BACKGROUND_MARGIN * camera.face_height_px
    low = np.clip(np.floor(pixel.min(0) - margin), 0, np.array(image_size) - 8).astype(int)
    high = np.clip(np.ceil(pixel.max(0) + margin), low + 8, image_size).astype(int)
    width, height = np.ceil((high - low) * scale).astype(int)
    faces = head.faces.cpu().numpy()
    corners = (pixel[faces] - low) * scale
    towards = np.flatnonzero(_doubled_area(corners) > 0.0)  # a closed surface is hidden by its front alone
    nearness = 1.0 / depth.astype(np.float64)  # linear in the picture, unlike depth
    found, shares = rasterise(corners[towards], height, width, -nearness[faces[towards]])
    triangle = np.append(towards, -1)[found].astype(np.int32)
    buffer = np.full((height, width), np.inf, np.float32)
    hit = found >= 0
    buffer[hit] = 1.0 / np.einsum("nc,nc->n", nearness[faces[triangle[hit]]], shares[hit])
    return low, high, buffer, triangle


def _pixels_per_texel(head, vertices, camera: Camera, image_size, size: int) -> np.ndarray:
    """(F,) float32: how many pixels of the frame fit along one texel of each triangle, from the two areas."""
    faces, uv_faces, uv = (getattr(head, name).cpu().numpy() for name in ("faces", "uv_faces", "uv"))
    area_px = np.abs(_doubled_area(camera.project(vertices, image_size)[0][faces]))
    area_texels = np.abs(_doubled_area(uv[uv_faces] * size))
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
    image, full = rgb, np.array(rgb.shape[1::-1], np.float32)
    out = np.zeros((len(pixel), 3), np.float32)
    for k in range(top + 1):
        if k > 0:
            size = tuple(max(n // 2, 1) for n in image.shape[1::-1])
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        share = np.clip(1.0 - np.abs(np.minimum(level, top) - k), 0.0, 1.0)
        at = pixel * (np.array(image.shape[1::-1], np.float32) / full) - 0.5
        out += share[:, None] * _lookup(image, at, cv2.INTER_CUBIC if k == 0 else cv2.INTER_LINEAR)
    return np.clip(out / 255.0, 0.0, 1.0)


def _lookup(image: np.ndarray, at: np.ndarray, method: int) -> np.ndarray:
    """Values (N, ...) of an image at `at` (N, 2) array coordinates; the edge is continued outside."""
    import cv2

    # cv2.remap wants a picture of coordinates, no side longer than 32766.
    width = 4096
    grid = np.zeros((-(-len(at) // width) * width, 2), np.float32)
    grid[: len(at)] = at
    grid = grid.reshape(-1, width, 2)
    values = cv2.remap(image, grid, None, method, borderMode=cv2.BORDER_REPLICATE)
    return values.reshape(-1, *image.shape[2:])[: len(at)]
