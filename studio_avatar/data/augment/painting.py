"""Small tools for painting in texture space: soft masks, lines, noise, seamless blending."""

from __future__ import annotations

import numpy as np


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur, sigma as a share of the width; large ones at reduced size."""
    import cv2

    size = image.shape[0]
    step = max(int(sigma * size / 4), 1)
    if step == 1:
        return cv2.GaussianBlur(image, (0, 0), sigma * size)
    small = cv2.resize(image, (size // step, size // step), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma * (size // step))
    return cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR)


def lay(texture: np.ndarray, alpha: np.ndarray, color) -> np.ndarray:
    """`color` (3,) or (H, W, 3) over the texture (H, W, 3) with coverage `alpha` (H, W)."""
    alpha = alpha[..., None]
    return texture * (1 - alpha) + np.asarray(color, np.float32) * alpha


def smooth_noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Band-limited noise about N(0, 1), (size, size), with about `cells` bumps across."""
    import cv2

    return cv2.resize(
        rng.standard_normal((cells, cells), np.float32) * 1.4, (size, size), interpolation=cv2.INTER_CUBIC
    )


def draw_path(canvas: np.ndarray, points: np.ndarray, value, width: float) -> None:
    """Draw a smooth curve through `points` (N, 2) texels into `canvas` (H, W), in place.

    value: what is drawn, one number or (N,) along the curve; width: of the line in texels.
    """
    import cv2
    from scipy.interpolate import PchipInterpolator

    knots = np.linspace(0, 1, len(points))
    fine = np.linspace(0, 1, 8 * len(points))
    curve = np.round(PchipInterpolator(knots, points)(fine) * 16).astype(int)
    values = np.interp(fine, knots, np.broadcast_to(value, (len(points),)))
    for a, b, v in zip(curve[:-1], curve[1:], values[1:], strict=True):
        cv2.line(
            canvas, tuple(map(int, a)), tuple(map(int, b)), float(v), max(round(width), 1), cv2.LINE_AA, 4
        )


def fill_polygon(size: int, points: np.ndarray, soft: float) -> np.ndarray:
    """(size, size) in [0, 1]: one inside the polygon `points` (N, 2) texels, blurred by `soft` (share of the width)."""
    import cv2

    mask = np.zeros((size, size), np.float32)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1.0)
    return blur(mask, soft)


def blend(texture: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Put `other` into `texture` without a seam in color or detail.

    The other's tone is bent so that it meets the texture's on the border (Laplace's equation in log color, as in
    Poisson blending), then the two are mixed band by band (Burt and Adelson 1983, "A multiresolution spline").

    Args:
        texture, other: (H, W, 3) sRGB in [0, 1]; share: (H, W) of the other, in [0, 1].
    """
    outside = share < 0.02
    if outside.all():
        return texture
    weight = outside.astype(np.float32)[..., None]
    offset = np.log(np.maximum(texture, 0.02) / np.maximum(other, 0.02))
    # Hairs and pores of the two people on the border have nothing to do with each other: compare patches.
    offset = blur(offset * weight, 0.01) / np.maximum(blur(weight, 0.01)[..., None], 1e-4)
    bent = np.clip(other * np.exp(membrane(offset, outside, sweeps=8)), 0, 1)
    return _multi_band(texture.astype(np.float32), bent.astype(np.float32), share.astype(np.float32))


def membrane(values: np.ndarray, known: np.ndarray, sweeps: int = 24) -> np.ndarray:
    """Solve Laplace's equation where not `known` (H, W), coarse to fine; values (H, W, C) float32."""
    import cv2

    height, width = known.shape
    weight = known.astype(np.float32)
    if min(height, width) <= 4:
        mean = (values * weight[..., None]).sum((0, 1)) / max(weight.sum(), 1e-6)
        return np.where(known[..., None], values, mean).astype(np.float32)
    half = (width // 2, height // 2)
    share = cv2.resize(weight, half, interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(values * weight[..., None], half, interpolation=cv2.INTER_AREA)
    coarse = membrane(coarse / np.maximum(share, 1e-6)[..., None], share > 0, sweeps)
    out = np.where(
        known[..., None], values, cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    )
    cross = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4
    for _ in range(sweeps):
        spread = cv2.filter2D(out, -1, cross, borderType=cv2.BORDER_REPLICATE)
        out = np.where(known[..., None], values, spread)
    return out.astype(np.float32)


def _multi_band(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Mix the Laplacian pyramids of `a` and `b` (H, W, 3) by the Gaussian pyramid of `share`."""
    import cv2

    if min(share.shape) < 16:
        return a + share[..., None] * (b - a)
    small = [cv2.pyrDown(level) for level in (a, b, share)]
    size = share.shape[1::-1]
    low = cv2.pyrUp(_multi_band(*small), dstsize=size)
    detail_a, detail_b = (fine - cv2.pyrUp(coarse, dstsize=size) for fine, coarse in zip((a, b), small))
    return low + detail_a + share[..., None] * (detail_b - detail_a)
