"""What is done with whole textures, quickly: a blur on a smaller image, and weights by OpenCV, which repeats them for the
channels several times faster than NumPy."""

import numpy as np

SMALL_SIGMA = 2.5  # texels of the smaller image: below, its grid shows


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blur a float32 image (H, W) or (H, W, C), C at most 4, by `sigma` texels; more than a few are computed on a smaller
    image: what the blur leaves has no finer detail."""
    import cv2

    shrink = 2 ** max(int(np.log2(sigma / SMALL_SIGMA)), 0)
    if shrink == 1:
        return cv2.GaussianBlur(image, (0, 0), sigma)
    size = image.shape[1::-1]
    small = cv2.resize(image, tuple(max(n // shrink, 1) for n in size), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / shrink), size, interpolation=cv2.INTER_LINEAR)


def add_weighted(total: np.ndarray, rgb: np.ndarray, weight: np.ndarray) -> None:
    """Add float32 `rgb` (H, W, 3) times `weight` (H, W) to `total` (H, W, 3) in place."""
    import cv2

    cv2.accumulateProduct(rgb, cv2.merge([weight] * 3), total)


def mean_of_sums(total: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted mean (H, W, C) of a weighted sum (H, W, C) and the weights' sum (H, W); 0 where there is no weight."""
    return total / np.maximum(weight, 1e-6)[..., None]
