"""Normals of triangles and of the smooth surface through them, on arrays; `HeadModel.normals` is for tensors."""

import numpy as np


def face_normals(corners: np.ndarray) -> np.ndarray:
    """Unit normals (..., 3) of triangles (..., 3, 3); zero for one without area."""
    return _unit(_area_vectors(corners))


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals (..., V, 3) of `vertices` (..., V, 3), in their precision."""
    from scipy.sparse import csr_matrix

    normal = _area_vectors(vertices[..., faces, :])
    count, number = vertices.shape[-2], np.repeat(np.arange(len(faces)), 3)
    gather = csr_matrix((np.ones(faces.size, np.float32), (faces.ravel(), number)), shape=(count, len(faces)))
    flat = np.moveaxis(normal, -2, 0).reshape(len(faces), -1)
    total = (gather @ flat).reshape(count, *vertices.shape[:-2], 3)
    return _unit(np.moveaxis(total, 0, -2))


def _area_vectors(corners: np.ndarray) -> np.ndarray:
    """Along the normals, twice as long as the triangles' areas."""
    return np.cross(corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :])


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-20)
