"""Eyes, teeth, tongue and inner mouth: what a phone never sees well; the lids are in `lids`.

Teeth, tongue and mouth are painted from the neutral head's own geometry (angle from the gaze axis, height above the biting
edge), so the paint lands right wherever the layout puts the charts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from studio_avatar.head.geometry import geometry
from studio_avatar.head.layout import region_mask, texel_map, texel_positions
from studio_avatar.imaging.ramps import smoothstep

from .eyeball import ball_rays, openings, paint_eyeball
from .iris import BROWN_IRIS

if TYPE_CHECKING:
    from studio_avatar.head.model import HeadModel


# Measures of an adult [m].
CROWN_HEIGHT = 0.0095
UPPER_TOOTH_WIDTHS = (0.0085, 0.0066, 0.0076, 0.007, 0.0068, 0.0102, 0.0098)
LOWER_TOOTH_WIDTHS = (0.0053, 0.0059, 0.0069, 0.007, 0.0071, 0.011, 0.0105)

ENAMEL = np.array([0.87, 0.83, 0.75], np.float32)
GUM = np.array([0.70, 0.42, 0.41], np.float32)
TONGUE = np.array([0.72, 0.43, 0.42], np.float32)
THROAT = np.array([0.20, 0.07, 0.07], np.float32)
INNER_LIP = np.array([0.60, 0.32, 0.31], np.float32)


def paint_eyes_and_mouth(
    texture: np.ndarray, head: HeadModel, iris_rgb=BROWN_IRIS, seed: int = 0, shaded: bool = True
) -> np.ndarray:
    """Paint the charts of the eyeballs, teeth, tongue and inner mouth; everything else stays as it is.

    Args:
        texture: (H, W, 3) float32 sRGB in [0, 1], layout head-v1, square.
        iris_rgb: the iris' mean color, sRGB in [0, 1].
        seed: of the iris' fibers and the sclera's veins.
        shaded: paint the lids' shade onto the eyeballs. Viewers cast none; the simulator does.

    Returns:
        a new (H, W, 3) float32 array with its gutters filled.
    """
    size = texture.shape[0]
    texels = texel_map(head, size)
    neutral = geometry(head).neutral
    out = np.array(texture, np.float32)
    rng = np.random.default_rng(seed)
    for region, opening in zip(("eyeball_left", "eyeball_right"), openings(head), strict=True):
        mask = region_mask(head, size, region)
        if mask.any():
            out[mask] = paint_eyeball(
                ball_rays(head, region, texel_positions(texels, head, neutral, mask)),
                np.float32(iris_rgb),
                opening if shaded else None,
                rng,
            )
    painters = {
        "teeth": lambda p, v: _teeth(p, head),
        "tongue": _tongue,
        "mouth": _mouth,
    }
    for region, paint in painters.items():
        mask = region_mask(head, size, region)
        if mask.any():
            out[mask] = paint(
                texel_positions(texels, head, neutral, mask), neutral[_region_vertices(head, region)]
            )
    return texels.filled(np.clip(out, 0, 1))


def _region_vertices(head: HeadModel, region: str) -> np.ndarray:
    shape = geometry(head)
    return np.unique(shape.faces[shape.in_regions(region)])


def _teeth(points: np.ndarray, head: HeadModel) -> np.ndarray:
    """points (N, 3) on both rows -> rgb (N, 3): crowns near the biting edge, gums beyond."""
    rows = _tooth_rows(head)
    nearest = [np.linalg.norm(points[:, None] - row[None], axis=-1).min(1) for row in rows]
    belongs = np.argmin(nearest, 0)
    rgb = np.empty((len(points), 3), np.float32)
    upper = int(np.argmax([row[:, 1].mean() for row in rows]))
    for index, row in enumerate(rows):
        mine = belongs == index
        sign, widths = (1, UPPER_TOOTH_WIDTHS) if index == upper else (-1, LOWER_TOOTH_WIDTHS)
        rgb[mine] = _tooth_row(points[mine], row, sign, widths)
    return rgb


def _tooth_rows(head: HeadModel) -> list[np.ndarray]:
    """Vertices of the upper and the lower row: connected pieces of the teeth, gathered by height into two."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    shape = geometry(head)
    faces, neutral = shape.faces[shape.in_regions("teeth")], shape.neutral
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    graph = coo_matrix((np.ones(len(edges)), edges.T), shape=(len(neutral),) * 2)
    pieces = connected_components(graph, directed=False)[1]
    used = np.unique(faces)
    groups = [neutral[used[pieces[used] == piece]] for piece in np.unique(pieces[used])]
    middle = np.mean([group[:, 1].mean() for group in groups])
    above = [group for group in groups if group[:, 1].mean() > middle]
    below = [group for group in groups if group[:, 1].mean() <= middle]
    return [np.concatenate(row) for row in (above, below) if row]


def _tooth_row(points: np.ndarray, row: np.ndarray, sign: int, widths) -> np.ndarray:
    along, edge_height = _arch(points, row, sign)
    height = sign * points[:, 1] - edge_height  # meters from the biting edge towards the gum
    borders = np.concatenate([[0.0], np.cumsum(widths)])
    tooth = np.clip(np.searchsorted(borders, along) - 1, 0, len(widths) - 1)
    inside = np.clip((along - borders[tooth]) / np.asarray(widths)[tooth], 0, 1)
    bulge = np.sqrt(np.clip(1 - (2 * inside - 1) ** 2, 0, 1))  # 0 between two teeth, 1 in the middle of one
    gum_line = CROWN_HEIGHT * (0.78 + 0.22 * bulge)
    gap = np.exp(-((1 - np.abs(2 * inside - 1)) * np.asarray(widths)[tooth] / 0.0006))
    crown = ENAMEL * (1 - 0.45 * gap[:, None]) * (0.94 + 0.06 * np.clip(height / CROWN_HEIGHT, 0, 1))[:, None]
    gum = GUM * (0.9 + 0.1 * bulge)[:, None]
    mix = smoothstep(height, gum_line - 0.0006, gum_line + 0.0006)
    mix = np.where(along > borders[-1], 1.0, mix)[:, None]  # behind the last tooth
    return (crown * (1 - mix) + gum * mix).astype(np.float32)


def _arch(points: np.ndarray, row: np.ndarray, sign: int) -> tuple[np.ndarray, np.ndarray]:
    """-> distance along the half-elliptic arch from the middle [m], and the biting edge's (signed) height
    there.
    """
    half_width, back = np.abs(row[:, 0]).max(), row[:, 2].min()
    depth = row[:, 2].max() - back

    def angle_of(p):
        return np.arctan2(np.abs(p[:, 0]) / half_width, (p[:, 2] - back) / depth)

    grid = np.linspace(0, np.pi / 2, 200)
    speed = np.hypot(half_width * np.cos(grid), depth * np.sin(grid))
    length = np.concatenate([[0], np.cumsum((speed[1:] + speed[:-1]) / 2 * np.diff(grid))])
    angle, knots = angle_of(points), np.linspace(0, np.pi / 2, 10)
    row_angle, row_height = angle_of(row), sign * row[:, 1]
    near = [np.abs(row_angle - knot) < 0.22 for knot in knots]
    edge = [row_height[n].min() if n.any() else row_height.min() for n in near]
    return np.interp(angle, grid, length), np.interp(angle, knots, edge)


def _tongue(points: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    low, high = vertices.min(0), vertices.max(0)
    share = (points - low) / np.maximum(high - low, 1e-6)
    furrow = np.exp(-((points[:, 0] / 0.0025) ** 2))
    light = 0.55 + 0.45 * share[:, 2] - 0.12 * furrow * share[:, 1]
    return (TONGUE * light[:, None]).astype(np.float32)


def _mouth(points: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Lip-red at the front, dark towards the throat."""
    low, high = vertices[:, 2].min(), vertices[:, 2].max()
    front = smoothstep((points[:, 2] - low) / max(high - low, 1e-6), 0.35, 1.0)[:, None]
    return (THROAT * (1 - front) + INNER_LIP * front).astype(np.float32)
