"""Align views to each other in texture space, by their looks, and bring them into one light."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from studio_avatar.capture.unwrap import View

FLOW_SIZE = 512  # texels; flow at this size finds shifts well below one texel of a 1024 texture
MAX_SHIFT = 9.0  # texels at FLOW_SIZE: a larger one is a wrong match, not a fitting error
FLOW_SMOOTHING = 6.0  # sigma, texels at FLOW_SIZE
LIGHT_SIZE = 64  # texels; light differences are this smooth
LIGHT_SMOOTHING = 5.0  # sigma, texels at LIGHT_SIZE
MAX_LIGHT_LOG_GAIN = 0.5  # frames of one clip differ by less than half a stop in any one place


def align(views: Sequence[View], tell: Callable[[float], None] = lambda fraction: None) -> list[View]:
    """Move each of K views, the most frontal first, onto what the views before it show, and into their light.

    tell: called after each view with the share that is done.
    """
    aligned = [views[0]]
    for view in views[1:]:
        tell(len(aligned) / len(views))
        rgb, trust = average(aligned)
        aligned.append(_equalise_light(_move(view, rgb, trust), rgb, trust))
    return aligned


def average(views: list[View]) -> tuple[np.ndarray, np.ndarray]:
    weights = np.stack([view.trust for view in views]) ** 2
    total = weights.sum(0)
    rgb = sum(w[..., None] * view.rgb for w, view in zip(weights, views, strict=True))
    return rgb / np.maximum(total, 1e-6)[..., None], np.max([view.trust for view in views], axis=0)


def _move(view: View, rgb: np.ndarray, trust: np.ndarray) -> View:
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
    pixel = cv2.remap(view.pixel, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return replace(view, rgb=np.clip(moved, 0.0, 1.0), trust=moved_trust, pixel=pixel)


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
    return replace(view, rgb=np.clip(view.rgb * gain, 0.0, 1.0))
