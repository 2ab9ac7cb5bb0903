"""Align views to each other in texture space, by their looks, and bring them into one light."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from .smoothing import add_weighted, blur, mean_of_sums
from .unwrap import View

FLOW_SIZE = 512  # texels; flow at this size finds shifts well below one texel of a 1024 texture
MAX_SHIFT = 9.0  # texels at FLOW_SIZE: a larger one is a wrong match, not a fitting error
FLOW_SMOOTHING = 6.0  # sigma, texels at FLOW_SIZE
LIGHT_SIGMA, CONTRAST_SIGMA = 12.0, 24.0  # texels at FLOW_SIZE: what changes more slowly is no detail
LIGHT_SIZE = 64  # texels; light differences are this smooth
LIGHT_SMOOTHING = 5.0  # sigma, texels at LIGHT_SIZE
MAX_LIGHT_LOG_GAIN = 0.5  # frames of one clip differ by less than half a stop in any one place


class Average:
    """Mean of views, weighted by their trust squared."""

    def __init__(self, first: View):
        self._weight, self._total = np.zeros_like(first.trust), np.zeros_like(first.rgb)
        self.trust = np.zeros_like(first.trust)  # (H, W), the highest of all views
        self.add(first)

    def add(self, view: View) -> None:
        weight = view.trust**2
        self._weight += weight
        add_weighted(self._total, view.rgb, weight)
        self.trust = np.maximum(self.trust, view.trust)

    @property
    def rgb(self) -> np.ndarray:
        """(H, W, 3), 0 where no view has any trust."""
        return mean_of_sums(self._total, self._weight)

    def small(self, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """The mean's color (h, w, 3) and trust (h, w) at a smaller `size` (w, h)."""
        return mean_of_sums(_shrunk(self._total, size), _shrunk(self._weight, size)), _shrunk(
            self.trust, size
        )


def align(
    views: Sequence[View], tell: Callable[[float], None] = lambda fraction: None
) -> tuple[list[View], Average]:
    """Move each of K views, the most frontal first, onto what the views before it show, and into their light.

    tell: called after each view with the share that is done. Returns the views and their average.
    """
    aligned, average = [views[0]], Average(views[0])
    height, width = views[0].trust.shape
    scale = min(1.0, FLOW_SIZE / max(height, width))
    size = (round(width * scale), round(height * scale))
    for view in views[1:]:
        tell(len(aligned) / len(views))
        rgb, trust = average.small(size)
        aligned.append(_equalize_light(_move(view, rgb, trust), rgb, trust))
        average.add(aligned[-1])
    return aligned, average


def _shrunk(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    import cv2

    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _move(view: View, rgb: np.ndarray, trust: np.ndarray) -> View:
    """Shift `view` by a small smooth flow so that its detail falls on that of `rgb` (h, w, 3) where both are seen.

    rgb, trust: of what it is moved onto, at the size at which flow is looked for.
    """
    import cv2

    (height, width), size = view.trust.shape, trust.shape[::-1]
    both = np.minimum(trust, _shrunk(view.trust, size))
    if (both > 0.2).sum() < 0.005 * both.size:
        return view
    target, source = _detail_images((rgb, _shrunk(view.rgb, size)), both)
    solver = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = solver.calc(target, source, None)  # target(x) = source(x + flow)
    # Strong shifts are wrong matches (hair, highlights that stay with the light): they must not count at all.
    length = np.linalg.norm(flow, axis=-1)
    confidence = both * (length < MAX_SHIFT)
    smooth = blur(flow * confidence[..., None], FLOW_SMOOTHING)
    smooth /= (blur(confidence, FLOW_SMOOTHING) + 0.02)[..., None]
    smooth *= np.float32(width / size[0])
    at = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR)
    at[..., 0] += np.arange(width, dtype=np.float32)
    at[..., 1] += np.arange(height, dtype=np.float32)[:, None]
    moved = cv2.remap(view.rgb, at, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    # Trust is held down by the unmoved one, so that nothing slides over the border of a chart.
    moved_trust = cv2.remap(view.trust, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    moved_trust = np.minimum(moved_trust, view.trust)
    pixel = cv2.remap(view.pixel, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return replace(view, rgb=np.clip(moved, 0.0, 1.0, out=moved), trust=moved_trust, pixel=pixel)


def _detail_images(images: Sequence[np.ndarray], both: np.ndarray) -> list[np.ndarray]:
    """Luma of sRGB images without slow light and contrast, flat where not seen by both (h, w): uint8 (h, w)."""
    import cv2

    weight, wide_weight = blur(both, LIGHT_SIGMA) + 1e-3, blur(both, CONTRAST_SIGMA) + 1e-3
    details = []
    for rgb in images:
        luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        detail = (luma - blur(luma * both, LIGHT_SIGMA) / weight) * both
        spread = np.sqrt(blur(detail**2, CONTRAST_SIGMA) / wide_weight) + 0.01
        details.append(np.clip(128.0 + 48.0 * detail / spread, 0, 255).astype(np.uint8))
    return details


def _equalize_light(view: View, rgb: np.ndarray, trust: np.ndarray) -> View:
    """Multiply `view` by a slow, clamped gain so that its light agrees with `rgb` (h, w, 3) where both are seen.

    rgb, trust: of what it is compared with, at a smaller size than the view's.
    """
    import cv2

    size, small = (LIGHT_SIZE, LIGHT_SIZE), trust.shape[::-1]
    both = np.minimum(trust, _shrunk(view.trust, small))
    weight = _shrunk(both, size)
    if weight.sum() < 4.0:
        return view

    def mean(image: np.ndarray) -> np.ndarray:
        return mean_of_sums(_shrunk(image * both[..., None], size), weight)

    # What was not seen is black, and must not darken the border of what was.
    trusted = cv2.multiply(view.rgb, cv2.merge([view.trust] * 3))
    own = mean_of_sums(_shrunk(trusted, small), _shrunk(view.trust, small))
    log_gain = np.log((mean(rgb) + 0.02) / (mean(own) + 0.02))
    log_gain = log_gain.clip(-MAX_LIGHT_LOG_GAIN, MAX_LIGHT_LOG_GAIN)
    log_gain[weight < 1e-3] = 0.0
    total = cv2.GaussianBlur(log_gain * weight[..., None], (0, 0), LIGHT_SMOOTHING)
    overall = (log_gain * weight[..., None]).sum((0, 1)) / weight.sum()
    # Far from the overlap only the overall difference of the two frames is known.
    known = cv2.GaussianBlur(weight, (0, 0), LIGHT_SMOOTHING)[..., None]
    smooth = (total + 0.02 * overall) / (known + 0.02)
    gain = cv2.resize(np.exp(smooth), view.trust.shape[::-1], interpolation=cv2.INTER_LINEAR)
    gain *= view.rgb
    return replace(view, rgb=np.clip(gain, 0.0, 1.0, out=gain))
