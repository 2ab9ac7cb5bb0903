"""Triangles as a graph: their edges, and means over neighbors."""

import numpy as np


def edges_of(faces: np.ndarray, count_triangles: bool = False):
    """Edges of triangles (F, 3), each once: (E, 2) vertices, the smaller number first, rows in rising order.

    count_triangles: return also how many triangles have each, (E,); an edge of one triangle is a border.
    """
    every = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    return np.unique(every, axis=0, return_counts=count_triangles)


def neighbor_mean(faces: np.ndarray, count: int, dtype=np.float64):
    """(V, V) sparse matrix: the mean over the vertices at one edge's distance; rows without neighbors are 0."""
    from scipy.sparse import coo_matrix, diags

    edges = edges_of(faces)
    start, end = np.concatenate([edges, edges[:, ::-1]]).T
    links = coo_matrix((np.ones(len(start), dtype), (start, end)), shape=(count, count)).tocsr()
    links.sort_indices()
    degree = np.asarray(links.sum(1)).reshape(-1)
    return diags(1 / np.maximum(degree, 1)) @ links
