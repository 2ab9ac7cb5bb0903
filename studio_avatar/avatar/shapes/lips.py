"""The mouth of one person: lips that meet, and an inner mouth that stays under the skin.

Identity components are drawn to the outside of the face. On people far from the mean the lips may part by a
millimeter, which shows the teeth, and the pouch of the mouth may come out through a thin cheek.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.head.geometry import geometry
from studio_avatar.head.mesh_graph import edges_of
from studio_avatar.rendering.normals import face_normals

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel

SAMPLES = 61  # cuts across the mouth, from corner to corner
PITCHES = np.radians((-20.0, -10.0, 0.0, 10.0, 20.0))  # of the views that must not see between the lips
OVERLAP = 3e-4  # meters by which closed lips press into each other
NEAR, FAR = (
    0.003,
    0.010,
)  # meters from the seam: lips move in full up to the first, not at all from the second
MAX_TUCK = 0.005  # meters; deeper, the triangle that is over a vertex at rest says nothing
SKIN_DEPTH = 0.002  # meters that the inner mouth stays under the skin, less where the mean head has less


@dataclass(frozen=True)
class LipRig:
    """What closing the lips needs to know about the head.

    upper, lower: edges cut by the planes across the mouth, as (SAMPLES, C) vertex pairs and shares:
        (first, second, share), a point being (1 - share) * first + share * second; padded by repeating a cut.
    side: (V,) the share with which a vertex follows the lips: positive moves down, negative up.
    place: (V,) where it lies along the mouth, in samples.
    """

    upper: tuple[np.ndarray, np.ndarray, np.ndarray]
    lower: tuple[np.ndarray, np.ndarray, np.ndarray]
    side: np.ndarray
    place: np.ndarray


@dataclass(frozen=True)
class PouchRig:
    """inner: (n,) vertices of the inner mouth; faces: (n, 2, 3) vertices of the skin triangle over each, and of the
    mirror image of its partner's (the same, but on the midline); depth: (n,) meters that it must stay under the skin;
    skin: (f, 3) all triangles of the outer skin.
    """

    inner: np.ndarray
    faces: np.ndarray
    depth: np.ndarray
    skin: np.ndarray


def lip_rig(head: HeadModel) -> LipRig:
    """Find the upper and the lower lip by what opening the jaw does to them."""
    shape = geometry(head)
    neutral, drop = shape.neutral, shape.expression_basis[shape.expression("jawOpen")][:, 1]
    lip_faces, mouth_faces = (shape.faces[shape.in_regions(name)] for name in ("lips", "mouth"))
    ring = np.intersect1d(lip_faces, mouth_faces)  # where the lips' skin goes over into the inner mouth
    corner = np.abs(neutral[ring, 0]).max()
    along = neutral[:, 0] / corner

    halfway = _halfway(np.abs(along[ring]), drop[ring], neutral[ring, 1])
    is_upper = drop > halfway(np.abs(along))
    near = np.unique(np.concatenate([lip_faces, mouth_faces]))
    seam = neutral[ring].mean(0)[1]
    grid = np.linspace(-1, 1, SAMPLES)[1:-1]
    cuts = [
        _cuts(faces_of, along, grid)
        for faces_of in (
            lip_faces[is_upper[lip_faces].all(1)],
            lip_faces[~is_upper[lip_faces].any(1)],
        )
    ]
    reach = np.zeros(len(neutral))
    distance = np.linalg.norm(neutral[:, None, :] - neutral[None, ring], axis=-1).min(1)
    fade = np.clip((FAR - distance) / (FAR - NEAR), 0, 1)
    reach[near] = 1.0
    skin = np.unique(shape.faces[shape.in_regions("face")])
    reach[skin[np.abs(neutral[skin, 1] - seam) < 2 * FAR]] = 1.0
    ends = np.clip((1 - np.abs(along)) / 0.03, 0, 1)  # the corners belong to both lips and stay
    side = np.where(is_upper, 1.0, -1.0) * fade * reach * ends
    return LipRig(*cuts, side, np.interp(along, grid, np.arange(len(grid))))


def close_lips(neutral: np.ndarray, rig: LipRig) -> None:
    """Bring the lips together where they are apart, in place; neutral: (V, 3) meters."""
    gap = lip_gap(neutral, rig)
    if gap.max() <= 0:
        return
    needed = np.where(gap > 0, gap + OVERLAP, 0.0)
    window = np.array([0.25, 0.5, 0.25])
    wide = np.maximum.reduce([needed, np.roll(needed, 1), np.roll(needed, -1)])
    smooth = np.maximum(needed, np.convolve(wide, window, mode="same"))
    neutral[:, 1] -= 0.5 * rig.side * np.interp(rig.place, np.arange(len(smooth)), smooth)


def lip_gap(vertices: np.ndarray, rig: LipRig) -> np.ndarray:
    """Height of the slit between the lips along the mouth, (SAMPLES - 2,) meters; negative where they overlap.

    It is what the most favorable of five views, level to 20° from above or below, can see through.
    """

    def heights(cut):
        first, second, share = cut
        points = vertices[first] * (1 - share[..., None]) + vertices[second] * share[..., None]
        depth = points[..., 2] - vertices[rig.upper[0]][..., 2].mean()
        return points[..., 1] + depth * np.tan(PITCHES)[:, None, None]  # (pitch, sample, cut)

    return (heights(rig.upper).min(-1) - heights(rig.lower).max(-1)).max(0)


def pouch_rig(head: HeadModel) -> PouchRig:
    """Pair each vertex of the inner mouth with the skin over it on the mean head."""
    from scipy.spatial import cKDTree

    shape = geometry(head)
    neutral, mirror = shape.neutral, shape.mirror_vertices
    skin = shape.faces[shape.in_regions("face", "lips", "neck")]
    inner = np.setdiff1d(shape.faces[shape.in_regions("mouth")], skin)
    nearest = cKDTree(neutral[skin].mean(1)).query(neutral[inner])[1]
    over = {vertex: skin[number] for vertex, number in zip(inner, nearest, strict=True)}
    # A mirrored triangle runs the other way round.
    pairs = np.stack([[over[vertex], mirror[over[mirror[vertex]]][::-1]] for vertex in inner])
    depth = _depth(neutral[None], inner, pairs)[0][0].mean(-1)
    covered = depth > 0
    return PouchRig(inner[covered], pairs[covered], np.minimum(SKIN_DEPTH, 0.6 * depth[covered]), skin)


def nearest_skin(neutral: np.ndarray, rig: PouchRig) -> PouchRig:
    """The rig with the skin triangles that are nearest on this person, (V, 3) meters: a second look at who is far
    from the mean.
    """
    from scipy.spatial import cKDTree

    nearest = cKDTree(neutral[rig.skin].mean(1)).query(neutral[rig.inner])[1]
    return replace(rig, faces=np.repeat(rig.skin[nearest][:, None], 2, axis=1))


def tuck_pouch(posed: np.ndarray, rig: PouchRig) -> np.ndarray:
    """Offsets (N, n, 3) that bring the inner mouth of `posed` (N, V, 3) back under the skin; mostly zero."""
    depth, normal = _depth(posed, rig.inner, rig.faces)
    push = np.clip(rig.depth[:, None] - depth, 0.0, MAX_TUCK)
    return -(push[..., None] * normal).mean(-2)


def _depth(posed: np.ndarray, inner: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far vertices (n,) of `posed` (N, V, 3) lie under triangles (n, 2, 3): (N, n, 2) meters, and the triangles'
    normals (N, n, 2, 3).
    """
    corners = posed[:, faces]
    normal = face_normals(corners)
    return ((corners.mean(-2) - posed[:, inner, None]) * normal).sum(-1), normal


def _halfway(along, drop, height):
    """A function of |place along the mouth|: between how far opening the jaw lowers the lips above and below."""
    order = np.argsort(along)
    bins = np.linspace(0, 1, 9)
    number = np.clip(np.digitize(along[order], bins) - 1, 0, 7)
    middles = [
        (drop[order][number == k].max() + drop[order][number == k].min()) / 2 for k in np.unique(number)
    ]
    return lambda x: np.interp(x, (bins[np.unique(number)] + bins[np.unique(number) + 1]) / 2, middles)


def _cuts(faces, along, grid):
    """Where the planes `along` = grid cut the edges of `faces`; see `LipRig`."""
    edges = edges_of(faces)
    start, end = along[edges[:, 0]], along[edges[:, 1]]
    crossed = (np.minimum(start, end) <= grid[:, None]) & (
        np.maximum(start, end) >= grid[:, None]
    )  # (S, edges)
    crossed &= np.abs(end - start) > 1e-9
    most = crossed.sum(1).max()
    chosen = np.stack([np.resize(np.flatnonzero(row), most) for row in crossed])
    share = (grid[:, None] - start[chosen]) / (end - start)[chosen]
    return edges[chosen][..., 0], edges[chosen][..., 1], share.astype(np.float32)
