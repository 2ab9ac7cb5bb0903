"""Picture and skin metrics on textures, each over a mask of texels.

Textures are numpy (H, W, 3) floats, sRGB-encoded in [0, 1]; masks are (H, W), boolean or weights in [0, 1].
A metric over an empty mask is NaN.
"""

import cv2
import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab

SSIM_RADIUS, SSIM_SIGMA = 5, 1.5  # an 11×11 window, Wang et al. 2004
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2

OCTAVES = (2, 4, 8, 16)  # texels
LUMA = np.array([0.299, 0.587, 0.114])  # Rec. 601, as in FFHQ-UV's BS Error
BS_KERNEL_AT_1024 = 55


def masked_mean(values: np.ndarray, mask: np.ndarray) -> float:
    """Mean of (H, W) or (H, W, C) `values` over the mask, all channels alike."""
    weight = mask.astype(np.float64)
    if not weight.any():
        return float("nan")
    values = values if values.ndim == 3 else values[..., None]
    return float((values * weight[..., None]).sum() / (weight.sum() * values.shape[-1]))


def psnr(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, peak 1, one mean square over all masked texels and channels."""
    error = masked_mean((a.astype(np.float64) - b) ** 2, mask)
    return float("inf") if error == 0 else -10.0 * float(np.log10(error))


def ssim(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> float:
    """Structural similarity (Wang et al. 2004), Gaussian window 11, sigma 1.5, mean over channels and mask.

    Local means and covariances take masked texels only, so what lies in a hole changes nothing.
    """
    if not mask.any():
        return float("nan")
    box = _bounding_box(mask)  # beyond it no texel counts
    a, b, mask = a[box].astype(np.float64), b[box].astype(np.float64), mask[box]

    def local(values):
        return masked_blur(values, mask, SSIM_SIGMA, SSIM_RADIUS)

    mean_a, mean_b = local(a), local(b)
    var_a, var_b = local(a * a) - mean_a**2, local(b * b) - mean_b**2
    covariance = local(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + SSIM_C1) / (mean_a**2 + mean_b**2 + SSIM_C1)
    structure = (2 * covariance + SSIM_C2) / (var_a + var_b + SSIM_C2)
    return masked_mean(luminance * structure, mask)


def _bounding_box(mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns between the first and the last masked texel."""
    lines = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
    return tuple(slice(line[0], line[-1] + 1) for line in lines)


def masked_blur(values: np.ndarray, mask: np.ndarray, sigma: float, radius: int) -> np.ndarray:
    """Gaussian mean of the masked texels around each texel, (H, W[, C]) → the same; 0 where none is near."""
    weight = mask.astype(np.float64)
    sums = values * (weight if values.ndim == 2 else weight[..., None])
    taps = (2 * radius + 1, 2 * radius + 1)
    sums, weight = (
        cv2.GaussianBlur(part, taps, sigma, borderType=cv2.BORDER_CONSTANT) for part in (sums, weight)
    )
    weight = weight if values.ndim == 2 else weight[..., None]
    return np.divide(sums, weight, out=np.zeros_like(sums), where=weight > 1e-12)


def skin_delta_e(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> float:
    """Mean CIEDE2000 of the masked texels."""
    inside = mask > 0
    difference = deltaE_ciede2000(rgb2lab(a[inside]), rgb2lab(b[inside]))
    return masked_mean(difference[:, None], mask[inside][:, None])


def individual_typology_angle(lab: np.ndarray) -> np.ndarray:
    """ITA = atan2(L* - 50, b*) in degrees, (..., 3) → (...); higher is lighter skin (Chardon et al. 1991)."""
    lab = np.asarray(lab, np.float64)
    return np.degrees(np.arctan2(lab[..., 0] - 50, lab[..., 2]))


def skin_ita(texture: np.ndarray, mask: np.ndarray) -> float:
    """ITA in degrees of the mean L*a*b* color over the mask.

    The mean color first: single texels with b* near 0 have wild angles.
    """
    inside = mask > 0
    lab, weight = rgb2lab(texture[inside]), mask[inside][:, None]
    return float(individual_typology_angle([masked_mean(lab[:, [c]], weight) for c in range(3)]))


def bs_error(texture: np.ndarray, mask: np.ndarray) -> float:
    """Light evenness: the Brightness Symmetry Error of FFHQ-UV (Bai et al., CVPR 2023), 0 to 255, 0 is even.

    Mean absolute difference of the blurred luma and its left-right mirror image. Pinned here: Rec. 601 luma
    of the sRGB values times 255; a Gaussian kernel of 55 taps at 1024 texels (scaled with the width, odd)
    with OpenCV's sigma for it, 0.3 ((k - 1) / 2 - 1) + 0.8; blurred inside the mask only; mean over the
    texels whose mirror image is in the mask too.
    """
    kernel = 2 * round((BS_KERNEL_AT_1024 * texture.shape[1] / 1024 - 1) / 2) + 1
    radius = max(kernel // 2, 1)
    sigma = 0.3 * (radius - 1) + 0.8
    mask = mask * mask[:, ::-1]
    luma = masked_blur(texture @ LUMA * 255.0, mask, sigma, radius)
    return masked_mean(np.abs(luma - luma[:, ::-1]), mask)


def gradient_correlation(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> float:
    """Pearson correlation of the x and y luma gradients of two textures, over masked neighboring texels.

    Detail kept from the phone texture: 1 = the same edges and pores, 0 = unrelated ones.
    """
    samples = []
    for texture in (a, b):
        luma = texture.astype(np.float64) @ LUMA
        steps = [np.diff(luma, axis=axis)[_both(mask, axis)] for axis in (0, 1)]
        samples.append(np.concatenate(steps))
    if samples[0].size < 2 or not samples[0].std() or not samples[1].std():
        return float("nan")
    return float(np.corrcoef(*samples)[0, 1])


def octave_energy(texture: np.ndarray, mask: np.ndarray) -> list[float]:
    """Mean square luma detail of sizes n to 2n texels for n in `OCTAVES`: differences of masked Gaussian means."""
    luma = texture.astype(np.float64) @ LUMA
    inside = (mask > 0).astype(np.float64)
    # A Gaussian of sigma n / 4 leaves structures of about n texels and more.
    means = [masked_blur(luma, inside, n / 4, int(n)) for n in (*OCTAVES, 2 * OCTAVES[-1])]
    return [
        masked_mean((fine - coarse) ** 2, mask) for fine, coarse in zip(means[:-1], means[1:], strict=True)
    ]


def _both(mask: np.ndarray, axis: int) -> np.ndarray:
    """True where a texel and the next one along `axis` are both in the mask."""
    inside = mask > 0
    length = mask.shape[axis]
    return np.take(inside, range(length - 1), axis) & np.take(inside, range(1, length), axis)
