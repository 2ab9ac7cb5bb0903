"""Foreign textures in head-v1, by two ways.

    any textured mesh ─ place ─ photograph without light ─ our capture ─ complete ─► head-v1     (10 s a person)
    textures that share a mesh ─ the same once: fit our head ─► layout map ─ remap ─► head-v1    (1 s a person)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studio_avatar.avatar.eyes import paint_eyes_and_mouth
from studio_avatar.capture import capture
from studio_avatar.capture.landmarks import FaceLandmarker
from studio_avatar.errors import InvalidInputError
from studio_avatar.head.layout import fill_gutters, texel_map
from studio_avatar.head.resample import WrappedMesh, to_head_v1
from studio_avatar.rendering import TexturedMesh
from studio_avatar.training.adapters.placement import (
    in_head_space,
    landmarks_on_mesh,
    similarity,
    transformed,
)
from studio_avatar.training.augment import studio_masks
from studio_avatar.training.flat_views import VIEWS, flat_views
from studio_avatar.training.studio_set import complete, sample_iris, trusted

RAMP_SIZE = 1024  # of the picture of coordinates that a layout map is read from
MIN_COVERED = 0.3  # of head-v1: less means that the head did not come to lie on the mesh


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


def capture_flat(mesh: TexturedMesh, texture: np.ndarray, head, size: int, completion: np.ndarray) -> np.ndarray:
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
    """Fit our head to a textured mesh, and find each head-v1 texel in the mesh' layout.

    Raises:
        CaptureError: no face, or a face that cannot be captured.
        InvalidInputError: the fitted head does not lie on the mesh.
    """
    import torch

    placed = in_head_space(mesh, texture, head)
    fit = capture(flat_views(placed, texture, np.zeros(3)), head, size=256, max_keyframes=len(VIEWS)).fit
    # The expression of the frontal view: the one whose camera looks along the face.
    frontal = int(np.argmax(-fit.rotation[:, 2, 2]))
    shape = head.vertices(torch.from_numpy(fit.identity), torch.from_numpy(fit.expression[frontal])).detach()
    with FaceLandmarker(max_faces=1) as landmarker:
        points, numbers = landmarks_on_mesh(placed, texture, landmarker)
    placed = transformed(placed, *similarity(points, head.landmarks(shape).cpu().numpy()[numbers]))
    wrapped = WrappedMesh(placed.vertices, placed.faces, placed.uv, placed.uv_faces)
    ramp = (np.stack(np.meshgrid(np.arange(RAMP_SIZE), np.arange(RAMP_SIZE)), -1) + 0.5) / RAMP_SIZE
    uv, covered = to_head_v1(ramp.astype(np.float32), wrapped, head, size, shape.cpu().numpy())
    if covered.mean() < MIN_COVERED:
        raise InvalidInputError(
            f"Only {covered.mean():.0%} of the texels found a place on the mesh: is it a whole face, in one piece?"
        )
    return LayoutMap(uv, covered)


def finished(rgb: np.ndarray, trust: np.ndarray, head, completion: np.ndarray) -> np.ndarray:
    """What is trusted of a texture, completed elsewhere, with painted eyes and mouth."""
    whole = complete(rgb, trust.astype(np.float32), completion)
    whole = fill_gutters(whole, texel_map(head, len(whole)).covered)
    rng = np.random.default_rng(0)
    return paint_eyes_and_mouth(whole, head, sample_iris(rng, whole[studio_masks(head, len(whole)).cheek]))
