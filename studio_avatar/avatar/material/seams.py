"""The texture's borders meet without a step: at the back of the head, left and right edge show the same skin.

The models paint each texel from what surrounds it in the texture, and do not know that the two edges are neighbors
on the head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.head.geometry import geometry
from studio_avatar.head.layout import texel_map
from studio_avatar.head.mesh_graph import edges_of

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

REACH = 0.10  # of the texture: how far from a seam the correction fades
SMOOTHING = 0.006  # of the texture: colors are compared over patches of this size
PAINTED = (
    "eyeball_left",
    "eyeball_right",
    "teeth",
    "tongue",
    "mouth",
    "eye_sockets",
)  # their edges are never seen


def level_seams(texture: np.ndarray, head: HeadModel) -> np.ndarray:
    """The texture with its brightness and color evened out across seams.

    At the texture vertices that are one vertex of the mesh, each goes to their mean; the change fades over the
    surface as heat would (screened Laplace equation).

    Args:
        texture: (H, H, 3) float32 sRGB in [0, 1], layout head-v1.
    Returns:
        a new array like it, in [0, 1], gutters filled.
    """
    size = texture.shape[0]
    change = _spread(_step(texture, head), head)
    texels = texel_map(head, size)
    place = np.flatnonzero(texels.covered)
    corners = np.take(change[geometry(head).uv_faces], texels.triangle.ravel()[place], axis=0)  # (N, 3, 3)
    out = np.array(texture, np.float32)
    out.reshape(-1, 3)[place] += np.einsum("ncv,nc->nv", corners, texels.barycentric.reshape(-1, 3)[place])
    return texels.filled(np.clip(out, 0, 1))


def _step(texture, head: HeadModel) -> dict[int, np.ndarray]:
    """Texture vertex on a seam of the skin -> (3,) what brings it to the mean of its partners."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    size, shape = texture.shape[0], geometry(head)
    skin = ~shape.in_regions(*PAINTED)
    pairs = np.stack([shape.faces[skin].ravel(), shape.uv_faces[skin].ravel()], 1)
    pairs = np.unique(pairs, axis=0)
    shared = np.bincount(pairs[:, 0])[pairs[:, 0]] > 1
    pairs = pairs[shared]
    at = (shape.uv[pairs[:, 1]] * size - 0.5).T[::-1]
    filled = texel_map(head, size).filled(texture)
    smooth = [gaussian_filter(filled[..., c], SMOOTHING * size) for c in range(3)]
    color = np.stack([map_coordinates(plane, at, order=1, mode="nearest") for plane in smooth], 1)
    total = np.stack([np.bincount(pairs[:, 0], color[:, c]) for c in range(3)], 1)
    mean = total[pairs[:, 0]] / np.bincount(pairs[:, 0])[pairs[:, 0], None]
    return dict(zip(pairs[:, 1].tolist(), mean - color, strict=True))


def _spread(step: dict[int, np.ndarray], head: HeadModel) -> np.ndarray:
    """(T, 3) change of every texture vertex, `step` where given."""
    from scipy.sparse import coo_matrix, diags
    from scipy.sparse.linalg import splu

    uv, faces = geometry(head).uv.astype(np.float64), geometry(head).uv_faces
    edges = edges_of(faces)
    length = np.maximum(np.linalg.norm(uv[edges[:, 0]] - uv[edges[:, 1]], axis=1), 1e-6)
    links = coo_matrix((1 / length, edges.T), shape=(len(uv),) * 2)
    links = (links + links.T).tocsr()
    strength = np.asarray(links.sum(1)).ravel()
    span = np.asarray((links.sign()).sum(1)).ravel() / np.maximum(strength, 1e-9)  # mean edge length
    screen = np.maximum(strength, 1.0) * (span / (0.3 * REACH)) ** 2 + 1e-6
    fixed = np.array(sorted(step))
    free = np.setdiff1d(np.arange(len(uv)), fixed)
    change = np.zeros((len(uv), 3))
    if len(fixed):
        change[fixed] = np.stack([step[number] for number in fixed])
        system = (diags(strength + screen) - links).tocsc()[free][:, free]
        change[free] = splu(system).solve(links[free][:, fixed] @ change[fixed])
    return change.astype(np.float32)
