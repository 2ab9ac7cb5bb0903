"""Name the region of every triangle, from MediaPipe's landmarks and the ears' vertices (bake time only)."""

import numpy as np

from .landmark_ids import FACE_OVAL, LEFT_BROW, LEFT_LID_RING, LIPS_OUTER, RIGHT_BROW, RIGHT_LID_RING

REGION_NAMES = (
    "face",
    "lips",
    "brows",
    "eyelids",
    "ears",
    "scalp",
    "neck",
    "eye_sockets",
    "eyeball_left",
    "eyeball_right",
    "teeth",
    "tongue",
    "mouth",
)
HAIRLINE_RISE = 1.15  # the hairline's height over the oval's center, in heights of the oval's top
CHEEK_WIDTH = 1.30  # the skin in front of the ears, in widths of the oval
BROW_SIZE = 1.35  # hairs reach beyond the landmarks


def face_regions(mesh, uv, landmark_uv, ear_vertices) -> np.ndarray:
    """(F,) index into `REGION_NAMES`.

    Args:
        mesh: the `head_v1.ChartMesh`. uv: (T, 2) head-v1. landmark_uv: (468, 2).
        ear_vertices: (V,) bool.
    """
    center = uv[mesh.uv_faces].mean(1)
    on_head = mesh.part == "head"

    def inside(polygon):
        return on_head & _inside(center, polygon)

    names = np.where(on_head, "scalp", mesh.part).astype("U16")
    ears = on_head & ear_vertices[mesh.faces].all(1)
    points = mesh.points[mesh.faces].mean(1)
    names[on_head & (points[:, 1] < points[ears, 1].min())] = "neck"
    names[inside(_face_outline(landmark_uv[FACE_OVAL]))] = "face"
    for brow in (RIGHT_BROW, LEFT_BROW):
        outline = landmark_uv[brow]
        names[inside(outline.mean(0) + BROW_SIZE * (outline - outline.mean(0)))] = "brows"
    for ring in (RIGHT_LID_RING, LEFT_LID_RING):
        names[inside(landmark_uv[ring])] = "eyelids"
    names[inside(landmark_uv[LIPS_OUTER])] = "lips"
    names[ears] = "ears"
    return np.array([REGION_NAMES.index(name) for name in names])


def _face_outline(oval):
    """The oval raised to the hairline and widened to the ears; the chin keeps its place."""
    center = (oval.min(0) + oval.max(0)) / 2
    offset = oval - center
    below = np.clip(offset[:, 1] / offset[:, 1].max(), 0, 1)  # 0 at the eyes and above, 1 at the chin
    offset[:, 0] *= CHEEK_WIDTH + (1.03 - CHEEK_WIDTH) * below**2
    offset[:, 1] *= np.where(offset[:, 1] < 0, HAIRLINE_RISE, 1.02)
    return center + offset


def _inside(points, polygon):
    """(N,) bool by the even-odd rule."""
    inside = np.zeros(len(points), bool)
    for start, end in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        spans = (start[1] > points[:, 1]) != (end[1] > points[:, 1])
        rise = np.where(end[1] == start[1], 1.0, end[1] - start[1])
        inside ^= spans & (points[:, 0] < start[0] + (points[:, 1] - start[1]) * (end[0] - start[0]) / rise)
    return inside
