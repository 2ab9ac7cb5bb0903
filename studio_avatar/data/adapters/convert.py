"""Foreign textures in head-v1, by two ways.

any textured mesh ─ place ─ photograph without light ─ our capture ─ complete ─► head-v1
textures that share a mesh ─ the same once: fit our head ─► layout map ─ remap ─► head-v1
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studio_avatar.avatar.material.eyes import paint_eyes_and_mouth
from studio_avatar.capture import capture
from studio_avatar.capture.detection.landmarks import FaceLandmarker
from studio_avatar.capture.fitting.head_fit import HeadFit, fit_head
from studio_avatar.data.augment.augmentation import NOT_SKIN, studio_masks
from studio_avatar.data.flat_views import VIEW_SIZE, VIEWS, flat_view, flat_views, view_camera
from studio_avatar.data.simulate.simulation import shaped_mesh
from studio_avatar.data.studio_set import complete, sample_iris, trusted
from studio_avatar.errors import InvalidInputError, NoFaceError
from studio_avatar.head.layout import fill_gutters, region_mask, texel_map, texel_positions
from studio_avatar.rendering import FLAT, Camera, TexturedMesh, render, render_texels

from .placement import in_head_space

LEAST_COSINE = 0.25  # between a texel's normal and the line of sight
SEAM = 0.004  # of the layout's width: neighboring pixels that differ by more lie on different charts
MIN_COVERED = 0.6  # of the face: less means that our head did not come to lie on the mesh


@dataclass(frozen=True)
class LayoutMap:
    """Where each head-v1 texel is in another layout.

    uv: (S, S, 2) v down; covered: (S, S) bool, whether the other layout has a counterpart at all.
    """

    uv: np.ndarray
    covered: np.ndarray

    def carry(self, texture: np.ndarray) -> np.ndarray:
        """A texture (h, w, 3) of the other layout in head-v1, (S, S, 3), bilinear; uncovered texels are arbitrary."""
        import cv2

        size = np.array([texture.shape[1], texture.shape[0]], np.float32)
        # Texels of the source that shrink to less than one here are averaged first.
        step = int(max(round(min(size) / self.uv.shape[0]), 1))
        if step > 1:
            texture = cv2.resize(texture, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
            size = np.array([texture.shape[1], texture.shape[0]], np.float32)
        at = (self.uv * size - 0.5).astype(np.float32)
        return cv2.remap(texture, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def capture_flat(
    mesh: TexturedMesh, texture: np.ndarray, head, size: int, completion: np.ndarray
) -> np.ndarray:
    """Any textured mesh of a head -> its studio texture, (size, size, 3) float32 sRGB in head-v1.

    Args:
        mesh, texture: see `mesh_files.read_textured_mesh`.
        completion: (size, size, 3) sRGB, for what no view shows; its tone is bent to meet the person's.

    Raises:
        CaptureError: no face, or a face that cannot be captured.
    """
    placed = in_head_space(mesh, texture, head)
    phone = capture(flat_views(placed, texture, np.zeros(3)), head, size=size, max_keyframes=len(VIEWS))
    return finished(phone.rgb, trusted(phone.rgb, phone.seen, head), head, completion)


def layout_map(mesh: TexturedMesh, texture: np.ndarray, head, size: int) -> LayoutMap:
    """Fit our head to pictures of a textured mesh, and find each head-v1 texel in the mesh' layout through them.

    A texel is looked up in the view that shows it best. Nearest points on the surfaces (`head.resample`) would need
    the two to lie within a centimeter of each other; the fit promises that only across the line of sight.

    Raises:
        CaptureError: no face, or a face that cannot be captured.
        InvalidInputError: too little of the face is found on the mesh.
    """
    placed = in_head_space(mesh, texture, head)
    fit, cameras = _fitted(placed, texture, head)
    uv, best = np.zeros((size, size, 2), np.float32), np.full((size, size), LEAST_COSINE, np.float32)
    for k, camera in enumerate(cameras):
        coordinates, cosine = _seen_through(placed, camera, fit, k, head, size)
        better = cosine > best
        uv[better], best[better] = coordinates[better], cosine[better]
    covered = (best > LEAST_COSINE) & ~region_mask(head, size, *NOT_SKIN)
    found = covered[region_mask(head, size, "face")].mean()
    if found < MIN_COVERED:
        raise InvalidInputError(
            f"Only {found:.0%} of the face found a place on the mesh: is it a whole face?"
        )
    return LayoutMap(fill_gutters(uv, covered), covered)


def _fitted(mesh: TexturedMesh, texture: np.ndarray, head) -> tuple[HeadFit, list[Camera]]:
    """Our head fitted to all views in which the landmarker finds the face, and the cameras of these views."""
    cameras = [view_camera(np.zeros(3), yaw, pitch) for yaw, pitch in VIEWS]
    with FaceLandmarker(max_faces=1) as landmarker:
        faces = [landmarker.detect(flat_view(mesh, texture, camera)) for camera in cameras]
    seen = [k for k, found in enumerate(faces) if found]
    if not seen:
        raise NoFaceError("No face can be seen on the mesh from the front.")
    return fit_head(head, [faces[k][0] for k in seen], VIEW_SIZE), [cameras[k] for k in seen]


def _seen_through(mesh: TexturedMesh, camera: Camera, fit: HeadFit, k: int, head, size: int):
    """Coordinates (S, S, 2) in the mesh' layout of what `camera` shows at each texel of the head fitted to it, frame `k`
    of `fit`, and the cosine (S, S) under which it is seen, 0 where hidden or off the mesh."""
    body = shaped_mesh(head, fit.identity, fit.expression[k], np.ones(len(head.neutral)))
    shown = render(mesh, np.ones((2, 2, 3), np.float32), camera)
    corners = mesh.uv[mesh.uv_faces[shown.triangle]]  # triangle -1 is masked below
    picture = (corners * shown.barycentric[..., None]).sum(2)
    fitted = Camera(fit.focal_px, fit.rotation[k], fit.translation[k], fit.image_size)
    texels = texel_map(head, size)
    _, cosine = render_texels(body, texels, np.ones((2, 2, 3), np.float32), fitted, FLAT)
    pixel = fitted.project(texel_positions(texels, head, body.vertices))
    inside = ((pixel >= 0) & (pixel < fit.image_size)).all(-1)
    column, row = (
        np.clip(np.nan_to_num(pixel), 0, np.array(fit.image_size) - 1).astype(int).transpose(2, 0, 1)
    )
    on_mesh = inside & (shown.triangle[row, column] >= 0)
    return _between_pixels(picture, pixel, row, column), cosine * on_mesh


def _between_pixels(picture, pixel, row, column) -> np.ndarray:
    """`picture` (H, W, 2) at `pixel` (S, S, 2): bilinear, but the nearest pixel's value across seams."""
    import cv2

    nearest = picture[row, column].astype(np.float32)
    at = (np.nan_to_num(pixel) - 0.5).astype(np.float32)
    smooth = cv2.remap(
        picture.astype(np.float32), at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.where(np.abs(smooth - nearest).max(-1, keepdims=True) < SEAM, smooth, nearest)


def finished(rgb: np.ndarray, trust: np.ndarray, head, completion: np.ndarray) -> np.ndarray:
    """What is trusted of a texture, completed elsewhere, with painted eyes and mouth."""
    whole = complete(rgb, trust.astype(np.float32), completion)
    whole = texel_map(head, len(whole)).filled(whole)
    rng = np.random.default_rng(0)
    iris = sample_iris(rng, whole[studio_masks(head, len(whole)).cheek])
    return paint_eyes_and_mouth(whole, head, iris, shaded=False)
