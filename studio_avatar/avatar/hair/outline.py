"""A style takes the outline and hairline that the person's hair has in the most frontal picture."""

from __future__ import annotations

import numpy as np

from studio_avatar.imaging.ramps import smoothstep

from .cards import MIDDLE, Style
from .skin import NEAR_M, Skin
from .views import HeadView

BINS = 48  # directions around the head
SMOOTH_BINS = 3
OUTER_LIMITS = (0.75, 1.35)  # how far a style is drawn in or out: beyond, it is another one
INNER_LIMITS = (0.9, 1.15)  # of the hairline
OUTER, INNER = (
    0.97,
    0.03,
)  # quantiles of hair's distance from the middle that are its outline and its hairline
HAIRLINE = 0.35  # cosine of the angle from straight up, up to which there is a hairline to be seen
UPWARD = 0.77
SMOOTH_M, NEIGHBORS = 0.025, 64  # meters and vertices over which moves are smoothed
EDGE = 3  # pixels: hair that reaches the border of the picture goes on beyond it
HANGS_FROM, LONGEST, SHORTEST = (
    -0.03,
    -0.2,
    -0.14,
)  # heights in head space [m]; longer hair would hang in the air
DIRECTIONS = (np.arange(BINS) + 0.5) / BINS * 2 * np.pi


def crown_share(view: HeadView) -> float:
    """Share of the directions within 40 degrees of the head's up in which hair is segmented."""
    reach, _ = _reach(view, view.hair & view.inside, OUTER)
    return float(np.isfinite(reach[np.cos(DIRECTIONS) > UPWARD]).mean())


def fitted_to_outline(style: Style, vertices: np.ndarray, view: HeadView, skin: Skin) -> np.ndarray:
    """`vertices` (N, 3) of a style, drawn in or out along each direction from the middle of the skull so that hairline and
    outline come to lie where the segmented hair has them; what lies on the skin stays on it.

    What is behind the head is seen by nobody; it follows the mean of the upper half.
    """
    covered = view.covered(style.points(vertices))
    outer, inner = (_ratio(view, covered, quantile) for quantile in (OUTER, INNER))
    near, _ = _reach(view, covered, INNER)
    far, _ = _reach(view, covered, OUTER)
    pixel, _ = view.see(vertices)
    angle, distance = _polar(view, pixel)
    near, far = (_along(np.where(np.isfinite(r), r, np.nanmedian(r)), angle) for r in (near, far))
    share = smoothstep(distance, *np.stack([near, np.maximum(far, near + 1)]))
    factor = _along(inner, angle) * (1 - share) + _along(outer, angle) * share
    result = vertices.copy()
    result[:, :2] = MIDDLE[:2] + (vertices[:, :2] - MIDDLE[:2]) * factor[:, None]
    upper = outer[np.cos(DIRECTIONS) > 0].mean()
    behind = smoothstep(MIDDLE[2] - vertices[:, 2], 0.0, 0.06)
    result[:, 2] = MIDDLE[2] + (vertices[:, 2] - MIDDLE[2]) * (1 + (upper - 1) * behind)
    height = np.minimum(skin.heights(vertices)[0], NEAR_M)
    for _ in range(2):
        here, normal = skin.heights(result)
        low = smoothstep(height, 0.012, 0.004)  # only what lies on the skin
        result += (
            normal * np.where(np.isfinite(here), (height - np.minimum(here, NEAR_M)) * low, 0.0)[:, None]
        )
    return (vertices + _smooth(vertices, result - vertices)).astype(np.float32)


def _smooth(vertices: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Moves (N, 3) as a smooth field: cards that lie near each other move alike, or they would tear and stand up."""
    from scipy.spatial import cKDTree

    distance, near = cKDTree(vertices).query(vertices, NEIGHBORS)
    weight = np.exp(-0.5 * (distance / SMOOTH_M) ** 2)[..., None]
    return (moves[near] * weight).sum(1) / weight.sum(1)


def length(view: HeadView) -> float:
    """Height in head space at which the segmented hair ends, meters; not further down than the neck goes."""
    return float(np.clip(lowest(view), LONGEST, SHORTEST))


def lowest(view: HeadView) -> float:
    """The same without limits; minus infinity without hair."""
    row, column = np.nonzero(view.hair & view.inside)
    if not len(row):
        return -np.inf
    return float(np.quantile(view.height(np.stack([column + 0.5, row + 0.5], 1)), 0.01))


def _ratio(view: HeadView, covered: np.ndarray, quantile: float) -> np.ndarray:
    """(BINS,) how much further out the segmented hair begins or ends than `covered` (S, S); 1 where one has none."""
    from scipy.ndimage import gaussian_filter1d

    seen, cut = _reach(view, view.hair & view.inside, quantile)
    own, _ = _reach(view, covered, quantile)
    known = np.isfinite(seen) & np.isfinite(own)
    if quantile == OUTER:
        known, limits = known & ~cut, OUTER_LIMITS
    else:
        known, limits = known & (np.cos(DIRECTIONS) > HAIRLINE), INNER_LIMITS
    ratio = np.where(known, seen / np.where(known, own, 1), 1.0).clip(*limits)
    # Directions without an answer take their neighbors'.
    weight = gaussian_filter1d(known.astype(float), SMOOTH_BINS, mode="wrap") + 0.05
    return (gaussian_filter1d(ratio * known, SMOOTH_BINS, mode="wrap") + 0.05) / weight


def _reach(view: HeadView, mask: np.ndarray, quantile: float):
    """By direction: quantile of the mask's distances from the middle in pixels, NaN where it has none; and whether it
    touches the border of the picture there."""
    from scipy.ndimage import binary_erosion

    border = ~binary_erosion(view.inside, iterations=EDGE, border_value=0)
    row, column = np.nonzero(mask)
    angle, distance = _polar(view, np.stack([column + 0.5, row + 0.5], 1))
    number = np.floor(angle / (2 * np.pi) * BINS).astype(int) % BINS
    reach, cut = np.full(BINS, np.nan), np.zeros(BINS, bool)
    for k in range(BINS):
        own = number == k
        if own.sum() > 2:
            reach[k] = np.quantile(distance[own], quantile)
            cut[k] = border[row[own], column[own]].any()
    return reach, cut


def _along(values: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Values (BINS,) at angles (N,), linear in between."""
    place = angle / (2 * np.pi) * BINS - 0.5
    low = np.floor(place).astype(int)
    share = place - low
    return values[low % BINS] * (1 - share) + values[(low + 1) % BINS] * share


def _polar(view: HeadView, pixel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Angle from the head's up towards its left, and distance in pixels, around the middle of the skull."""
    middle, up = view.see(np.stack([MIDDLE, MIDDLE + np.float32([0, 0.05, 0])]))[0]
    up = (up - middle) / np.linalg.norm(up - middle)
    offset = pixel - middle
    along, across = offset @ up, offset @ np.array([-up[1], up[0]])
    return np.arctan2(across, along) % (2 * np.pi), np.hypot(along, across)
