"""Lay our head on any mesh of a head: the same vertices, now on that surface (tools and benchmarks only).

Landmarks are detected in pictures of the mesh and of our head alike, so that the detector's own errors cancel; the
identity that explains them is the start of a non-rigid registration (Amberg et al. 2007: nearest points under a stiffness
that is let go of step by step).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from studio_avatar.data.adapters.placement import similarity
from studio_avatar.data.flat_views import BACKDROP, view_camera
from studio_avatar.data.simulate.simulation import MAKEHUMAN_COMPONENTS
from studio_avatar.errors import NoFaceError
from studio_avatar.head.geometry import geometry
from studio_avatar.head.landmark_ids import FACE_OVAL, NUM_SURFACE_LANDMARKS
from studio_avatar.head.mesh_graph import edges_of, neighbor_mean
from studio_avatar.rendering import Lamp, Light, TexturedMesh, nearest_on_surface, render, vertex_normals

VIEWS = ((0, 0), (30, 0), (-30, 0))  # yaw and pitch [degrees]
VIEW_PX = 640
LIGHT = replace(Light.even(0.5), lamps=(Lamp((0.0, 0.55, 0.83), (0.7,) * 3, shadow=False),))
MARK_SIGMA, IDENTITY_ROUNDS = 0.015, 3  # meters: marks of one face err together
MARK_PULL = 0.2  # against a nearest plane's 1
STIFFNESS = (30.0, 10.0, 3.0, 1.0, 0.4, 0.2, 0.1)
REACH, FACING = 0.012, 0.5  # meters and cosine within which a nearest point is believed
SKIN = ("face", "lips", "brows", "eyelids", "ears", "scalp", "neck")


@dataclass(frozen=True)
class Wrapped:
    """Our head on a mesh.

    vertices: (V, 3) meters, where the head's vertices come to lie. triangle, barycentric: (V,) and (V, 3), where on the mesh
    that is; on_mesh: (V,) bool, whether it truly is (inner mouth, eyeballs and what the mesh lacks are not).
    """

    vertices: np.ndarray
    triangle: np.ndarray
    barycentric: np.ndarray
    on_mesh: np.ndarray


def wrap(head, mesh: TexturedMesh, texture: np.ndarray) -> Wrapped:
    """Wrap `head` (a `HeadModel`) around a mesh that is about in head space already.

    Raises:
        NoFaceError: no face is seen on the mesh.
    """
    marks, trust = _marks(head, mesh, texture)
    trust[FACE_OVAL] = 0.0  # drawn where the silhouette is
    return _non_rigid(head, _explained_by_identity(head, marks, trust), mesh, marks, trust)


def skin_vertices(head, *regions: str) -> np.ndarray:
    """(V,) bool: vertices of the regions' triangles."""
    shape = geometry(head)
    chosen = np.zeros(len(shape.neutral), bool)
    chosen[shape.faces[shape.in_regions(*(regions or SKIN))]] = True
    return chosen


def _marks(head, mesh: TexturedMesh, texture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (468, 3) on the mesh, and how far each is to be trusted (468,), 0 = not seen."""
    from studio_avatar.capture.detection.landmarks import FaceLandmarker

    shape = geometry(head)
    own = TexturedMesh.of_head(head, shape.neutral)
    true = head.landmarks(head.neutral).numpy()
    skin = np.median(texture.reshape(-1, 3), 0) * np.ones((8, 8, 3), np.float32)
    total, weight = np.zeros((NUM_SURFACE_LANDMARKS, 3)), np.zeros(NUM_SURFACE_LANDMARKS)
    with FaceLandmarker(max_faces=1) as landmarker:
        for yaw, pitch in VIEWS:
            camera = view_camera(np.zeros(3), yaw, pitch)
            camera = replace(
                camera, focal_px=camera.focal_px * VIEW_PX / camera.size[0], size=(VIEW_PX, VIEW_PX)
            )
            bias = _detected(landmarker, own, skin, camera)[0] - camera.project(true)
            pixels, picture = _detected(landmarker, mesh, texture, camera)
            column, row = np.clip(pixels - bias, 0, VIEW_PX - 1).astype(int).T
            triangle = picture.triangle[row, column]
            normal = _triangle_normals(mesh)[triangle]
            facing = np.where(triangle >= 0, np.clip(normal @ -camera.rotation[2] - 0.3, 0.0, 1.0), 0.0)
            points = (mesh.vertices[mesh.faces[triangle]] * picture.barycentric[row, column][..., None]).sum(
                1
            )
            total += facing[:, None] * points
            weight += facing
    return total / np.maximum(weight, 1e-9)[:, None], np.minimum(weight, 1.0)


def _detected(landmarker, mesh, texture, camera):
    backdrop = np.full((VIEW_PX, VIEW_PX, 3), BACKDROP, np.float32)
    picture = render(mesh, texture, camera, LIGHT, background=backdrop)
    faces = landmarker.detect((picture.rgb * 255 + 0.5).astype(np.uint8))
    if not faces:
        raise NoFaceError("No face can be seen on the mesh: is it a head, upright, with the face towards +Z?")
    return faces[0].points[:NUM_SURFACE_LANDMARKS], picture


def _triangle_normals(mesh: TexturedMesh) -> np.ndarray:
    from studio_avatar.rendering import face_normals

    return face_normals(mesh.vertices[mesh.faces].astype(np.float64))


def _explained_by_identity(head, marks: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """(V, 3): the head whose landmarks lie nearest to the marks, in the mesh's place."""
    shape = geometry(head)
    corners = shape.faces[shape.landmark_faces]
    own = shape.identity_basis[:MAKEHUMAN_COMPONENTS]
    basis = np.einsum("incj,nc->inj", own[:, corners], shape.landmark_barycentric).astype(np.float64)
    mean = head.landmarks(head.neutral).numpy().astype(np.float64)
    identity, seen = np.zeros(len(basis)), trust > 0
    for _ in range(IDENTITY_ROUNDS):
        placed = mean + np.tensordot(identity, basis, 1)
        scale, rotation, shift = similarity(marks[seen], placed[seen])
        target = scale * marks @ rotation.T + shift
        rows = (basis * trust[:, None] / MARK_SIGMA).reshape(len(basis), -1)
        right = ((target - mean) * trust[:, None] / MARK_SIGMA).reshape(-1)
        identity = np.linalg.solve(rows @ rows.T + np.eye(len(basis)), rows @ right)
    vertices = shape.neutral + np.tensordot(identity, own, 1)
    return ((vertices - shift) @ rotation) / scale


def _non_rigid(head, start: np.ndarray, mesh: TexturedMesh, marks: np.ndarray, trust: np.ndarray) -> Wrapped:
    """Nearest points, planes first, under a membrane that grows softer."""
    from scipy.sparse import diags, kron, vstack
    from scipy.sparse.linalg import spsolve

    shape = geometry(head)
    skin, membrane = skin_vertices(head), laplacian(shape.faces, len(start))
    normals_there = vertex_normals(mesh.vertices, mesh.faces)
    points, landmarks = start.astype(np.float64), diags(MARK_PULL * trust) @ _landmark_matrix(head)
    for stiffness in STIFFNESS:
        triangle, shares = nearest_on_surface(mesh.vertices, mesh.faces, points.astype(np.float32))
        near = (mesh.vertices[mesh.faces[triangle]] * shares[..., None]).sum(1).astype(np.float64)
        normal = (normals_there[mesh.faces[triangle]] * shares[..., None]).sum(1)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        agrees = (normal * vertex_normals(points, shape.faces)).sum(1) > FACING
        believed = (
            skin
            & agrees
            & (np.linalg.norm(near - points, axis=1) < REACH)
            & ~_at_border(mesh, triangle, shares)
        )
        weight = np.sqrt(believed.astype(np.float64))
        plane = vstack(
            [diags(weight * normal[:, axis]) for axis in range(3)]
        ).T  # (V, 3V), coordinate by coordinate
        pull = kron(np.eye(3), diags(0.1 * weight))
        smooth = kron(np.eye(3), np.sqrt(stiffness) * membrane)
        rest = kron(np.eye(3), diags(np.full(len(points), 1e-3)))
        moved = (near - points).T.reshape(-1)
        # The membrane holds the offsets from the start, so that the start's own shape costs nothing.
        offset = (points - start).T.reshape(-1)
        place = kron(np.eye(3), landmarks)
        missed = (MARK_PULL * trust[:, None] * marks - landmarks @ points).T.reshape(-1)
        system = vstack([plane, pull, place, smooth, rest]).tocsc()
        right = np.concatenate([plane @ moved, pull @ moved, missed, -(smooth @ offset), 0.0 * moved])
        points = points + spsolve((system.T @ system).tocsc(), system.T @ right).reshape(3, -1).T
    triangle, shares = nearest_on_surface(mesh.vertices, mesh.faces, points.astype(np.float32))
    near = (mesh.vertices[mesh.faces[triangle]] * shares[..., None]).sum(1)
    close = np.linalg.norm(near - points, axis=1) < 0.001
    return Wrapped(points.astype(np.float32), triangle, shares, skin & close & believed)


def _landmark_matrix(head):
    """(468, V) sparse: landmarks from vertices."""
    from scipy.sparse import coo_matrix

    shape = geometry(head)
    corners, number = shape.faces[shape.landmark_faces], np.arange(NUM_SURFACE_LANDMARKS).repeat(3)
    values = (shape.landmark_barycentric.reshape(-1), (number, corners.reshape(-1)))
    return coo_matrix(values, shape=(NUM_SURFACE_LANDMARKS, len(shape.neutral))).tocsr()


def laplacian(faces: np.ndarray, count: int):
    """(V, V) sparse: a vertex less the mean of its neighbors."""
    from scipy.sparse import identity

    return identity(count) - neighbor_mean(faces, count)


def _at_border(mesh: TexturedMesh, triangle: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Whether the nearest point lies on an open edge: the mesh ends there, and says nothing of what is beyond."""
    edges, times = edges_of(mesh.faces, count_triangles=True)
    open_edge = np.zeros(len(mesh.vertices), bool)
    open_edge[edges[times == 1]] = True
    return ((shares > 1e-3) <= open_edge[mesh.faces[triangle]]).all(1)
