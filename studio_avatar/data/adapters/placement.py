"""Put any mesh of a head into head space: which way is up, where the face is, how large a meter is.

The mesh is photographed without light from several sides; where a face is found, its landmarks are cast back on the
mesh, and the similarity that lays them on the mean head's landmarks is the answer. No correspondence is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from studio_avatar.data.flat_views import BACKDROP, flat_view, view_camera
from studio_avatar.errors import NoFaceError
from studio_avatar.head.landmark_ids import NUM_SURFACE_LANDMARKS
from studio_avatar.rendering import FLAT, Camera, TexturedMesh, look_at, render

SEARCH_SIZE = (640, 640)
# Rows: where the mesh' axes go, for +Y, +Z, -Y and -Z up.
UP_AXES = (
    np.eye(3),
    np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    np.diag([1.0, -1.0, -1.0]),
    np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
)
FRAMINGS = (1.0, 0.2)  # share of the mesh' height, from the top, that may be the head: a bust, a body


def in_head_space(mesh: TexturedMesh, texture: np.ndarray, head) -> TexturedMesh:
    """The mesh turned, scaled and moved into head space, meters.

    Raises:
        NoFaceError: no face can be seen from any side.
    """
    from studio_avatar.capture.detection.landmarks import FaceLandmarker

    with FaceLandmarker(max_faces=1) as landmarker:
        for turned, camera in _candidates(mesh):
            found = _marks_on_mesh(turned, texture, camera, landmarker)
            if found is not None:
                placed = _laid_on(head, turned, *found)
                # Once more with the camera of the views: the first picture may have been small.
                found = _marks_on_mesh(placed, texture, view_camera(np.zeros(3), 0, 0), landmarker)
                return placed if found is None else _laid_on(head, placed, *found)
    raise NoFaceError("No face can be seen on the mesh from any side: is it textured, and is it a head?")


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation (3, 3) and shift (3,) that lay `source` (N, 3) on `target` in the least squares' sense (Umeyama
    1991)."""
    middle_s, middle_t = source.mean(0), target.mean(0)
    u, size, vt = np.linalg.svd((target - middle_t).T @ (source - middle_s) / len(source))
    proper = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ proper @ vt
    scale = (size * np.diag(proper)).sum() / ((source - middle_s) ** 2).sum(1).mean()
    return float(scale), rotation, middle_t - scale * rotation @ middle_s


def _candidates(mesh: TexturedMesh) -> Iterator[tuple[TexturedMesh, Camera]]:
    """The mesh in unit size, turned in every way that files come in, and a camera in front of it."""
    for framing in FRAMINGS:
        for axes in UP_AXES:
            points = mesh.vertices @ axes.T
            low, high = points.min(0), points.max(0)
            low = np.array([low[0], high[1] - framing * (high[1] - low[1]), low[2]])
            middle, extent = (low + high) / 2, max(high[1] - low[1], framing * np.ptp(points[:, 0]))
            for yaw in (0, 90, 180, 270):
                c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
                turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
                turned = replace(mesh, vertices=((points - middle) / extent @ turn.T).astype(np.float32))
                yield turned, look_at((0, 0, 5), (0, 0, 0), 4.2 * SEARCH_SIZE[0], SEARCH_SIZE)


def _marks_on_mesh(mesh, texture, camera: Camera, landmarker) -> tuple[np.ndarray, np.ndarray] | None:
    faces = landmarker.detect(flat_view(mesh, texture, camera))
    if not faces:
        return None
    geometry = render(
        mesh, texture, camera, FLAT, background=np.full((*camera.size[::-1], 3), BACKDROP, np.float32)
    )
    column, row = np.clip(faces[0].points[:NUM_SURFACE_LANDMARKS].astype(int), 0, np.array(camera.size) - 1).T
    triangle = geometry.triangle[row, column]
    hit = np.flatnonzero(triangle >= 0)
    if len(hit) < 400 or faces[0].head_rotation[1, 1] < 0.5:  # beside the mesh, or upside down
        return None
    corners = mesh.vertices[mesh.faces[triangle[hit]]]
    return (corners * geometry.barycentric[row[hit], column[hit]][..., None]).sum(1), hit


def _laid_on(head, mesh: TexturedMesh, points: np.ndarray, numbers: np.ndarray) -> TexturedMesh:
    marks = head.landmarks(head.neutral).detach().cpu().numpy()[numbers]
    scale, rotation, shift = similarity(points, marks)
    return replace(mesh, vertices=(scale * mesh.vertices @ rotation.T + shift).astype(np.float32))
