"""Fuse the views of several frames into one texture that is sharper than each of them, not blurrier.

The views are aligned to each other (`alignment`), then blended in bands. At each texel one view leads, the one that shows it
best; half of the detail is its own, half the mean of all that agree with it, which has less noise. Slow changes come from
all around.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from .alignment import Average, align
from .smoothing import add_weighted, blur, mean_of_sums
from .unwrap import View

COHERENCE = 1.0 / 128.0  # over the size of the texture: the best view changes in patches, not in specks
# Share of the detail that comes from the best view alone. All of it kept the frame's noise, none of it costs sharpness where
# views lie some texels off, and lets expressions that differ show through.
LEAD = 0.5
# Of the finest bands, by the others' share: what views that are not quite aligned take from detail.
RAISED = (1.0, 0.7, 0.3)
AGREEING = 0.03  # of luma: half a say for a view that is so far off the best
AGREED_OVER = 256  # cells of the texture's side over each of which luma is averaged


@dataclass(frozen=True)
class Fused:
    """The texture of all views.

    rgb: (H, W, 3) float32 sRGB in [0, 1], smoothly filled where unseen; seen: (H, W) float32 in [0, 1].
    best_view: (H, W) int, the view that the finest detail comes from, an index into `views`.
    views: the K views as they were blended, aligned to each other and in one light.
    """

    rgb: np.ndarray
    seen: np.ndarray
    best_view: np.ndarray
    views: list[View]


def fuse(
    views: Sequence[View],
    quality: Sequence[float],
    tell: Callable[[float], None] = lambda fraction: None,
) -> Fused:
    """Fuse K views, the most frontal first, into one.

    quality: (K,) > 0, how sharp each frame is. tell: called with the share that is done.
    """
    if len(views) == 1:
        rgb, seen = fill_unseen(views[0].rgb, views[0].trust), views[0].trust
        return Fused(rgb, seen, np.zeros(seen.shape, int), list(views))
    aligned, average = align(views, lambda fraction: tell(0.6 * fraction))
    best = _best_view(aligned, quality)
    tell(0.65)
    rgb = blend(aligned, average, best, lambda fraction: tell(0.65 + 0.3 * fraction))
    return Fused(rgb, average.trust, best, aligned)  # many poor views do not make a good one


def blend(
    views: list[View],
    average: Average,
    best: np.ndarray,
    tell: Callable[[float], None] = lambda fraction: None,
    lead: float = LEAD,
) -> np.ndarray:
    """One texture (H, W, 3) of K aligned views and their `average`, each view leading where it is the `best` (H, W).

    lead: share of the detail that is the best view's alone; 1 leaves every detail as one view has it.
    """
    fallback = fill_unseen(average.rgb, average.trust)
    shares = _shares(views, best, lead)
    others = 1.0 - np.choose(best, shares)
    return fill_unseen(_blend_bands(views, shares, others, fallback, tell), average.trust)


def _shares(views: list[View], best: np.ndarray, lead: float) -> list[np.ndarray]:
    """(H, W) of each view in the detail, with the sum 1: `lead` for the best one, the rest for all that agree with it."""
    weights = [
        view.trust**2 * agreement for view, agreement in zip(views, _agreements(views, best), strict=True)
    ]
    total = np.maximum(sum(weights), 1e-6)
    for k, weight in enumerate(weights):
        weight *= (1 - lead) / total
        weight += np.float32(lead) * (best == k)
    return weights


def _best_view(views: list[View], quality: Sequence[float]) -> np.ndarray:
    """(H, W) index of the view with the most detail to show: trusted, near, facing the camera, sharp."""
    sigma = COHERENCE * len(views[0].trust)
    most, best = None, None
    for k, (view, sharp) in enumerate(zip(views, quality, strict=True)):
        worth = blur(view.trust * view.scale * np.float32(sharp), sigma)
        worth *= np.minimum(4.0 * view.trust, 1.0)  # the blur must not carry it to where nothing is seen
        if most is None:
            most, best = worth, np.zeros(worth.shape, int)
            continue
        best[worth > most] = k
        most = np.maximum(most, worth)
    return best


def _agreements(views: list[View], best: np.ndarray) -> Iterator[np.ndarray]:
    """(H, W) in (0, 1] of one view after the other: how well its luma is the `best` view's at a place and right beside."""
    import cv2

    width, height = best.shape[::-1]
    cells = (min(AGREED_OVER, width), min(AGREED_OVER, height))
    lumas = [
        cv2.resize(cv2.cvtColor(view.rgb, cv2.COLOR_RGB2GRAY), cells, interpolation=cv2.INTER_AREA)
        for view in views
    ]
    nearest = cv2.resize(best.astype(np.uint8), cells, interpolation=cv2.INTER_NEAREST)
    leading = np.choose(nearest, lumas)
    for luma in lumas:
        off = (luma - leading) / np.float32(AGREEING)
        # The edges of a rim or a strand lie in cells that agree nearly.
        agreement = cv2.erode(1 / (1 + off * off), np.ones((3, 3), np.uint8))
        yield cv2.resize(agreement, (width, height), interpolation=cv2.INTER_LINEAR)


def fill_unseen(rgb: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """Replace untrusted texels by a smooth continuation of the trusted ones (pull-push).

    rgb: (H, W, 3) float32; trust: (H, W) float32 in [0, 1]. Returns (H, W, 3); unchanged where trust is 1.
    """
    import cv2

    # A little trust is better than a guess, the very border of what is seen is not.
    weight = np.clip(trust * 4.0 - 0.4, 0.0, 1.0).astype(np.float32)
    levels = [(rgb.astype(np.float32) * weight[..., None], weight)]
    while max(levels[-1][1].shape) > 1:
        size = tuple(max((n + 1) // 2, 1) for n in levels[-1][1].shape[::-1])
        levels.append(tuple(cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in levels[-1]))
    total, weight = levels.pop()
    filled = (total / max(float(weight.max()), 1e-6)).reshape(1, 1, 3)
    while levels:
        total, weight = levels.pop()
        coarse = cv2.resize(filled, weight.shape[::-1], interpolation=cv2.INTER_LINEAR).reshape(
            *weight.shape, 3
        )
        own = mean_of_sums(total, weight)
        # Pulled levels average what is there: any weight makes them a full answer.
        share = np.clip(weight * (1.0 if not levels else 4.0), 0.0, 1.0)[..., None]
        filled = share * own + (1.0 - share) * coarse
    return np.clip(filled, 0.0, 1.0)


def _blend_bands(
    views: list[View],
    shares: list[np.ndarray],
    others: np.ndarray,
    fallback: np.ndarray,
    tell: Callable[[float], None],
) -> np.ndarray:
    """Laplacian-pyramid blend (Burt and Adelson 1983) of K views by their `shares` (H, W), of which the best ones leave
    `others` (H, W)."""
    import cv2

    levels, done = max(int(np.log2(min(fallback.shape[:2]))) - 4, 1), itertools.count(1)

    def bands_of(numbers: range) -> list[list[np.ndarray]]:
        """For each level the sum of weighted details (h, w, 3) and of weights (h, w) of these views."""
        totals = [[np.zeros((*size, 3), np.float32), np.zeros(size, np.float32)] for size in sizes]
        for k in numbers:
            # What a view has not seen must not bleed into its coarse bands.
            shown = np.clip(views[k].trust * 4.0, 0.0, 1.0)
            band, share = cv2.blendLinear(views[k].rgb, fallback, shown, 1.0 - shown), shares[k]
            for level in range(levels + 1):
                smaller = cv2.pyrDown(band) if level < levels else None
                detail = band - cv2.pyrUp(smaller, dstsize=band.shape[1::-1]) if level < levels else band
                weight = share + np.float32(1e-6)
                add_weighted(totals[level][0], detail, weight)
                totals[level][1] += weight
                if level < levels:
                    band, share = smaller, cv2.pyrDown(share)
            tell(next(done) / len(views))
        return totals

    sizes = [image.shape for image in _halved(others, levels + 1)]
    # Always two sums, on however many cores: the same bytes everywhere.
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(bands_of, (range(0, len(views), 2), range(1, len(views), 2)))
    blended, norms = ([a[part] + b[part] for a, b in zip(one, other)] for part in (0, 1))
    out = blended[levels] / norms[levels][..., None]
    raised = [1 + np.float32(by) * one for by, one in zip(RAISED, _halved(others, len(RAISED)))]
    for level in reversed(range(levels)):
        detail = blended[level] / norms[level][..., None]
        if level < len(RAISED):
            detail *= raised[level][..., None]
        out = cv2.pyrUp(out, dstsize=detail.shape[1::-1]) + detail
    return np.clip(out, 0.0, 1.0, out=out)


def _halved(image: np.ndarray, count: int) -> list[np.ndarray]:
    """The image and its halves, `count` in all."""
    import cv2

    images = [image]
    while len(images) < count:
        images.append(cv2.pyrDown(images[-1]))
    return images
