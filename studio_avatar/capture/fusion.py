"""Fuse the views of several frames into one texture that is sharper than each of them, not blurrier.

Each view, the most frontal first, is aligned to what is already fused by dense optical flow in texture space, and
its slow light differences are taken out. Then bands are blended, fine detail from the best view only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from studio_avatar.capture.alignment import align, average
from studio_avatar.capture.unwrap import View

BEST_VIEW_POWER = 6.0  # how strongly fine detail comes from the best view alone


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


def fuse(views: Sequence[View], quality: Sequence[float]) -> Fused:
    """Fuse K views, the most frontal first, into one; `quality` (K) > 0 says how sharp each frame is."""
    if len(views) == 1:
        rgb, seen = fill_unseen(views[0].rgb, views[0].trust), views[0].trust
        return Fused(rgb, seen, np.zeros(seen.shape, int), list(views))
    aligned = align(views)
    rgb, trust = average(aligned)
    weights = np.stack([view.trust for view in aligned]) * np.asarray(quality, np.float32)[:, None, None]
    blended = _blend_bands([view.rgb for view in aligned], weights, fill_unseen(rgb, trust))
    seen = np.max([view.trust for view in aligned], axis=0)  # many poor views do not make a good one
    return Fused(fill_unseen(blended, seen), seen, weights.argmax(0), aligned)


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
        own = total / np.maximum(weight, 1e-6)[..., None]
        # Pulled levels average what is there: any weight makes them a full answer.
        share = np.clip(weight * (1.0 if not levels else 4.0), 0.0, 1.0)[..., None]
        filled = share * own + (1.0 - share) * coarse
    return np.clip(filled, 0.0, 1.0)


def _blend_bands(images: list[np.ndarray], weights: np.ndarray, fallback: np.ndarray) -> np.ndarray:
    """Laplacian-pyramid blend (Burt and Adelson 1983) of K images by weights (K, H, W)."""
    import cv2

    best = weights.max(0, keepdims=True)
    sharp = np.where(best > 0.0, (weights / np.maximum(best, 1e-6)) ** BEST_VIEW_POWER, 0.0)
    sharp /= np.maximum(sharp.sum(0, keepdims=True), 1e-6)
    levels = max(int(np.log2(min(weights.shape[1:]))) - 4, 1)
    blended = [0.0] * (levels + 1)
    norms = [0.0] * (levels + 1)
    for image, weight, trust in zip(images, sharp, weights, strict=True):
        # What a view has not seen must not bleed into its coarse bands.
        shown = np.clip(trust / max(float(trust.max()), 1e-6) * 4.0, 0.0, 1.0)[..., None]
        band, share = shown * image + (1.0 - shown) * fallback, weight.astype(np.float32)
        for level in range(levels + 1):
            smaller = cv2.pyrDown(band) if level < levels else None
            detail = band - cv2.pyrUp(smaller, dstsize=band.shape[1::-1]) if level < levels else band
            blended[level] = blended[level] + (share[..., None] + 1e-6) * detail
            norms[level] = norms[level] + share[..., None] + 1e-6
            if level < levels:
                band, share = smaller, cv2.pyrDown(share)
    out = blended[levels] / norms[levels]
    for level in reversed(range(levels)):
        out = cv2.pyrUp(out, dstsize=blended[level].shape[1::-1]) + blended[level] / norms[level]
    return np.clip(out, 0.0, 1.0).astype(np.float32)
