"""Fuse the views of several frames into one texture that is sharper than each of them, not blurrier.

Each view, the most frontal first, is aligned to what is already fused by dense optical flow in texture space, and
its slow light differences are taken out. Then bands are blended, fine detail from the best view only.
"""

from collections.abc import Sequence

import numpy as np

from studio_avatar.capture.unwrap import View

FLOW_SIZE = 512  # texels; flow at this size finds shifts well below one texel of a 1024 texture
MAX_SHIFT = 9.0  # texels at FLOW_SIZE: a larger one is a wrong match, not a fitting error
FLOW_SMOOTHING = 6.0  # sigma, texels at FLOW_SIZE
LIGHT_SIZE = 64  # texels; light differences are this smooth
LIGHT_SMOOTHING = 5.0  # sigma, texels at LIGHT_SIZE
MAX_LIGHT_LOG_GAIN = 0.5  # frames of one clip differ by less than half a stop in any one place
BEST_VIEW_POWER = 6.0  # how strongly fine detail comes from the best view alone


def fuse(views: Sequence[View], quality: Sequence[float]) -> View:
    """Fuse K views, the most frontal first, into one; `quality` (K) > 0 says how sharp each frame is."""
    if len(views) == 1:
        return View(fill_unseen(views[0].rgb, views[0].trust), views[0].trust)
    rgb, trust = views[0].rgb, views[0].trust
    aligned = [views[0]]
    for view in views[1:]:
        view = _align(view, rgb, trust)
        view = _equalise_light(view, rgb, trust)
        aligned.append(view)
        rgb, trust = _running_average(aligned)
    weights = np.stack([view.trust for view in aligned]) * np.asarray(quality, np.float32)[:, None, None]
    blended = _blend_bands([view.rgb for view in aligned], weights, fill_unseen(rgb, trust))
    seen = np.max([view.trust for view in aligned], axis=0)  # many poor views do not make a good one
    return View(fill_unseen(blended, seen), seen)


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


def _running_average(views: list[View]) -> tuple[np.ndarray, np.ndarray]:
    weights = np.stack([view.trust for view in views]) ** 2
    total = weights.sum(0)
    rgb = sum(w[..., None] * view.rgb for w, view in zip(weights, views, strict=True))
    return rgb / np.maximum(total, 1e-6)[..., None], np.max([view.trust for view in views], axis=0)


def _align(view: View, rgb: np.ndarray, trust: np.ndarray) -> View:
    """Shift `view` by a small smooth flow so that its detail falls on that of `rgb` where both are seen."""
    import cv2

    height, width = trust.shape
    scale = min(1.0, FLOW_SIZE / max(height, width))
    size = (round(width * scale), round(height * scale))
    both = cv2.resize(np.minimum(trust, view.trust), size, interpolation=cv2.INTER_AREA)
    if (both > 0.2).sum() < 0.005 * both.size:
        return view
    target, source = (_detail_image(image, both, size) for image in (rgb, view.rgb))
    solver = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = solver.calc(target, source, None)  # target(x) = source(x + flow)
    # Strong shifts are wrong matches (hair, highlights that stay with the light): they must not count at all.
    length = np.linalg.norm(flow, axis=-1)
    confidence = both * (length < MAX_SHIFT)
    smooth = cv2.GaussianBlur(flow * confidence[..., None], (0, 0), FLOW_SMOOTHING)
    smooth /= (cv2.GaussianBlur(confidence, (0, 0), FLOW_SMOOTHING) + 0.02)[..., None]
    shift = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR) / scale
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
    at = grid + shift.astype(np.float32)
    moved = cv2.remap(view.rgb, at, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    # Trust is held down by the unmoved one, so that nothing slides over the border of a chart.
    moved_trust = cv2.remap(view.trust, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    moved_trust = np.minimum(moved_trust, view.trust)
    return View(np.clip(moved, 0.0, 1.0), moved_trust)


def _detail_image(rgb: np.ndarray, both: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Luma with slow light and contrast taken out, flat where not seen by both: uint8 of `size`."""
    import cv2

    luma = cv2.resize(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
    weight = cv2.GaussianBlur(both, (0, 0), 12) + 1e-3
    mean = cv2.GaussianBlur(luma * both, (0, 0), 12) / weight
    detail = (luma - mean) * both
    spread = (
        np.sqrt(cv2.GaussianBlur(detail**2, (0, 0), 24) / (cv2.GaussianBlur(both, (0, 0), 24) + 1e-3)) + 0.01
    )
    return np.clip(128.0 + 48.0 * detail / spread, 0, 255).astype(np.uint8)


def _equalise_light(view: View, rgb: np.ndarray, trust: np.ndarray) -> View:
    """Multiply `view` by a slow, clamped gain so that its light agrees with `rgb` where both are seen."""
    import cv2

    size = (LIGHT_SIZE, LIGHT_SIZE)
    both = np.minimum(trust, view.trust)
    weight = cv2.resize(both, size, interpolation=cv2.INTER_AREA)
    if weight.sum() < 4.0:
        return view

    def mean(image: np.ndarray) -> np.ndarray:
        total = cv2.resize(image * both[..., None], size, interpolation=cv2.INTER_AREA)
        return total / np.maximum(weight, 1e-6)[..., None]

    log_gain = np.log((mean(rgb) + 0.02) / (mean(view.rgb) + 0.02)).clip(
        -MAX_LIGHT_LOG_GAIN, MAX_LIGHT_LOG_GAIN
    )
    log_gain[weight < 1e-3] = 0.0
    total = cv2.GaussianBlur(log_gain * weight[..., None], (0, 0), LIGHT_SMOOTHING)
    overall = (log_gain * weight[..., None]).sum((0, 1)) / weight.sum()
    # Far from the overlap only the overall difference of the two frames is known.
    known = cv2.GaussianBlur(weight, (0, 0), LIGHT_SMOOTHING)[..., None]
    smooth = (total + 0.02 * overall) / (known + 0.02)
    gain = np.exp(cv2.resize(smooth, view.trust.shape[::-1], interpolation=cv2.INTER_LINEAR))
    return View(np.clip(view.rgb * gain, 0.0, 1.0), view.trust)


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
