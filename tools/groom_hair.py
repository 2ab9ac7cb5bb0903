"""Short hair grown on the mean head: many narrow cards that start in the scalp, for `tools.bake_hair`.

MakeHuman's short styles are shells with an edge across the forehead; cut hair has no edge. Every card is a tuft of strands
that leaves the skin, bends the way the hair is combed, and is short where barbers cut short: at the sides, in the neck and
along the hairline. The same numbers come out every time.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from studio_avatar.head.geometry import geometry
from studio_avatar.head.hair_styles import TEXTURE_MEAN
from studio_avatar.head.model import HeadModel
from studio_avatar.imaging.color import linear_to_srgb
from studio_avatar.imaging.ramps import smoothstep
from studio_avatar.rendering.normals import vertex_normals

CANDIDATES = 40_000  # places on the scalp of which roots are chosen
TUFTS = 4  # different ones, side by side in the texture
TEXTURE_SIZE = 256
CLEAR_M = 0.0015  # above the skin
DOWN, BACK = -np.eye(3)[1], -np.eye(3)[2]
# In front of the ears, where the head's layout has face: |x| from, y from and to, z up to; and their length; meters.
SIDEBURNS, SIDEBURN_LENGTH = (0.056, -0.002, 0.066, 0.042), 0.013


@dataclass(frozen=True)
class Groom:
    """How a style grows; meters, first on top of the head and at the forehead, then at the sides and in the neck.

    length: of the hair. rise: how far the body of hair stands off the skin. comb: (3,) where the hair on top lies, in head
    space; at the sides it falls. stray: radians, spread of the directions. spacing: of the roots. width: of a tuft. curl:
    [0, 1]. rows: of vertices along a tuft. strands: of a tuft. sideburns: grow, too.
    """

    length: tuple[float, float]
    rise: tuple[float, float]
    comb: tuple[float, float, float]
    stray: float
    spacing: float = 0.006
    width: float = 0.011
    curl: float = 0.0
    rows: int = 5
    strands: int = 34
    sideburns: bool = True


GROOMS = {
    "crop01": Groom(
        (0.014, 0.008),
        (0.008, 0.003),
        (0.0, -0.2, 0.9),
        0.5,
        spacing=0.0038,
        width=0.006,
        rows=3,
        strands=20,
        sideburns=False,
    ),
    "curls01": Groom((0.024, 0.014), (0.020, 0.010), (0.0, 0.5, -0.3), 1.5, curl=1.0),
    "slick01": Groom((0.050, 0.025), (0.018, 0.006), (0.1, 0.0, -1.0), 0.2, curl=0.1),
    "swept01": Groom((0.065, 0.030), (0.034, 0.012), (0.6, 0.0, -0.8), 0.35, width=0.012, curl=0.45),
    "fringe01": Groom((0.045, 0.022), (0.018, 0.007), (0.3, 0.0, 0.9), 0.3, curl=0.15),
}


def groom(head: HeadModel, style: Groom) -> dict:
    """rest (N, 3) meters on the mean head, uv (N, 2), faces (F, 3) and texture (bytes), as `HairStyles` keeps them."""
    random = np.random.default_rng(5)
    scalp = _Scalp(head)
    roots, normals, inside, beside = scalp.roots(style.spacing, random)
    kept = (random.random(len(roots)) < 0.75 + smoothstep(inside, 0.0, 0.006)) & ~beside
    if style.sideburns:
        kept |= beside
    roots, normals, inside, beside = (part[kept] for part in (roots, normals, inside, beside))
    count = len(roots)
    on_top = np.maximum(smoothstep(normals[:, 1], 0.15, 0.75), smoothstep(normals[:, 2], 0.15, 0.5))
    at_edge = 1 - smoothstep(inside, 0.0, 0.02)  # of the hairline, where hair is fine and short
    wide = np.where(beside, 1.0, 1 - 0.35 * at_edge)
    length, rise = (side + (top - side) * on_top for top, side in (style.length, style.rise))
    length = np.where(beside, SIDEBURN_LENGTH, length * (1 - 0.5 * at_edge))
    length = length * random.uniform(0.8, 1.15, count)
    depth = 0.7 * random.random(count) ** 2  # most tufts lie outside, the rest fill
    rise = rise * (1 - 0.5 * at_edge) * (1 - depth)
    comb = (1 - on_top)[:, None] * (DOWN + 0.5 * BACK) + on_top[:, None] * np.asarray(style.comb)
    turn = random.normal(0, style.stray, count)
    spines, across = _lying(scalp, roots, normals, comb, turn, length, rise, style.rows)
    half = 0.5 * style.width * wide[:, None, None] * across
    rest = np.stack([spines - half, spines + half], 2).reshape(-1, 3)
    return {
        "rest": rest,
        "uv": _uv(count, style.rows, random),
        "faces": _faces(count, style.rows),
        "texture": tuft_texture(style.curl, style.strands, random),
    }


def _lying(scalp: "_Scalp", roots, normals, comb, turn, length, rise, rows: int):
    """Middles of the cards (K, rows, 3) and the directions across them: from the roots up to the height `rise`, and along
    the head the way it is combed, turned by `turn` radians."""
    spine, spines, across = roots, [roots - 0.001 * normals], []
    step = (np.sqrt(np.maximum(length**2 - rise**2, 1e-6)) / (rows - 1))[:, None]
    for row in range(1, rows):
        along = _turned(_tangent(comb, normals), normals, turn)
        across.append(np.cross(along, normals))
        height = rise * np.sin(0.5 * np.pi * min(1.6 * row / (rows - 1), 1.0))
        spine, normals = scalp.at_height(spine + along * step, height)
        spines.append(spine)
    return np.stack(spines, 1), np.stack([across[0], *across], 1)


class _Scalp:
    """Skin of the mean head: where hair grows, and how far it is to where it does not."""

    def __init__(self, head: HeadModel):
        shape = geometry(head)
        self.vertices, self.normals = shape.neutral, vertex_normals(shape.neutral, shape.faces)
        scalp, face = (shape.faces[shape.in_regions(name)] for name in ("scalp", "face"))
        x, y, z = np.moveaxis(self.vertices[face].mean(1), -1, 0)
        beside, low, high, front = SIDEBURNS
        burns = face[(np.abs(x) > beside) & (y > low) & (y < high) & (z < front)]
        self.faces = np.concatenate([scalp, burns])
        skin = shape.faces[shape.in_regions("face", "scalp", "neck", "ears")]
        self.skin = np.unique(skin)
        edge = np.intersect1d(scalp, shape.faces[shape.in_regions("face", "neck", "ears")])
        self.edge, self.of_scalp = cKDTree(self.vertices[edge]), len(scalp)
        self.tree = cKDTree(self.vertices[self.skin])

    def roots(self, spacing: float, random):
        """Places (K, 3) at least `spacing` apart, normals (K, 3), meters to the hairline (K,), and which are sideburns'."""
        corners = self.vertices[self.faces]
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        triangle = random.choice(len(self.faces), CANDIDATES, p=area / area.sum())
        weight = random.dirichlet(np.ones(3), CANDIDATES)[..., None]
        places = (corners[triangle] * weight).sum(1)
        near = cKDTree(places).query_ball_point(places, spacing)
        free, chosen = np.ones(CANDIDATES, bool), []
        for number in range(CANDIDATES):
            if free[number]:
                chosen.append(number)
                free[near[number]] = False
        normals = _unit((self.normals[self.faces[triangle]] * weight).sum(1))
        beside = triangle[chosen] >= self.of_scalp
        inside = np.where(beside, 0.0, self.edge.query(places[chosen])[0])
        return places[chosen], normals[chosen], inside, beside

    def at_height(self, points, height):
        """Points (K, 3) moved along the skin's normals to `height` (K,) meters, and the normals (K, 3)."""
        distance, near = self.tree.query(points, 3)
        weight = 1 / (distance + 1e-4)
        weight = (weight / weight.sum(1, keepdims=True))[..., None]
        vertex = self.skin[near]
        normals = _unit((self.normals[vertex] * weight).sum(1))
        heights = ((points[:, None] - self.vertices[vertex]) * normals[:, None]).sum(-1, keepdims=True)
        now = (heights * weight).sum((1, 2))
        return points + normals * (np.maximum(height, CLEAR_M) - now)[:, None], normals


def tuft_texture(curl: float, strands: int, random) -> bytes:
    """Gray and alpha PNG: `TUFTS` tufts of strands side by side, roots above."""
    side, width = TEXTURE_SIZE, TEXTURE_SIZE // TUFTS
    light, alpha = np.zeros((side, side), np.float32), np.zeros((side, side), np.float32)
    for tuft in range(TUFTS):
        part = np.s_[:, tuft * width : (tuft + 1) * width]
        for _ in range(strands):
            ink, tone = _strand(curl, width, random)
            light[part] = light[part] * (1 - ink) + ink * tone
            alpha[part] = np.maximum(alpha[part], ink)
    light = np.where(alpha > 0.05, light / np.maximum(alpha, 0.05), 1.0)
    # Darker at the roots, where hair shades hair.
    light = gaussian_filter(light, 0.5) * (0.78 + 0.35 * np.linspace(0, 1, side)[:, None])
    light *= TEXTURE_MEAN / (light * alpha).sum() * alpha.sum()
    stored = np.stack([linear_to_srgb(light.clip(0, 1)), alpha.clip(0, 1)], -1)
    buffer = io.BytesIO()
    Image.fromarray(np.rint(stored * 255).astype(np.uint8), "LA").save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _strand(curl: float, width: int, random) -> tuple[np.ndarray, float]:
    """How much of each pixel (TEXTURE_SIZE, width) a strand covers, and how light it is."""
    along = np.linspace(0, 1, TEXTURE_SIZE)
    start, lean = random.uniform(0.2, 0.8), random.normal(0, 0.12)
    wave = np.sin(along * random.uniform(4, 8 + 14 * curl) + random.uniform(0, 6.3))
    column = (start + lean * along + (0.03 + 0.14 * curl) * wave * along**0.5) * width
    begin, end, thick = random.uniform(0.0, 0.25), random.uniform(0.6, 1.0), random.uniform(0.6, 1.2)
    tone = random.uniform(0.65, 1.35)
    distance = np.abs(np.arange(width)[None] + 0.5 - column[:, None])
    ink = (1.5 - distance / thick).clip(0, 1) * smoothstep(along, begin, begin + 0.12)[:, None]
    inside = smoothstep(np.abs(column / width - 0.5), 0.5, 0.44)
    return ink * (smoothstep(along, end, end - 0.18) * inside)[:, None], tone


def _uv(count: int, rows: int, random) -> np.ndarray:
    tuft, turned = random.integers(TUFTS, size=count), random.random(count) < 0.5
    left, right = (tuft + turned) / TUFTS, (tuft + ~turned) / TUFTS
    u = np.stack([left, right], 1)[:, None] * np.ones((1, rows, 1))
    v = np.linspace(0.002, 0.998, rows)[None, :, None] * np.ones((count, 1, 2))
    return np.stack([u.clip(0.002, 0.998), v], -1).reshape(-1, 2)


def _faces(count: int, rows: int) -> np.ndarray:
    quads = np.array([[2 * r, 2 * r + 1, 2 * r + 3, 2 * r + 2] for r in range(rows - 1)])
    one = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return (one[None] + 2 * rows * np.arange(count)[:, None, None]).reshape(-1, 3)


def _unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def _tangent(vectors, normals):
    """Directions (K, 3) along the skin."""
    return _unit(vectors - (vectors * normals).sum(1, keepdims=True) * normals)


def _turned(vectors, axes, angles):
    """Vectors (K, 3) turned around axes (K, 3), perpendicular to them, by angles (K,)."""
    return vectors * np.cos(angles)[:, None] + np.cross(axes, vectors) * np.sin(angles)[:, None]
