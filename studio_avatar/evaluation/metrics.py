"""Picture and skin metrics on textures, each over a mask of texels.

Textures are numpy (H, W, 3) floats, sRGB-encoded in [0, 1]; masks are (H, W), boolean or weights in [0, 1].
A metric over an empty mask is NaN.
"""

import cv2
import numpy as np

from studio_avatar.imaging.color import srgb_to_linear

SSIM_RADIUS, SSIM_SIGMA = 5, 1.5  # an 11×11 window, Wang et al. 2004
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2

OCTAVES = (2, 4, 8, 16)  # texels
LUMA = np.array([0.299, 0.587, 0.114])  # Rec. 601, as in FFHQ-UV's BS Error
BS_KERNEL_AT_1024 = 55

# linear sRGB → XYZ (IEC 61966-2-1); the white is the image of (1, 1, 1), so that white is exactly L* = 100
SRGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
D65_WHITE = SRGB_TO_XYZ.sum(axis=1)


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


def srgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    """sRGB (..., 3) in [0, 1] → CIE L*a*b* (D65, 2° observer), (..., 3)."""
    ratio = srgb_to_linear(rgb) @ SRGB_TO_XYZ.T / D65_WHITE
    delta = 6 / 29
    f = np.where(ratio > delta**3, np.cbrt(ratio), ratio / (3 * delta**2) + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def delta_e2000(lab1: np.ndarray, lab2: np.ndarray) -> np.ndarray:
    """CIEDE2000 colour difference of L*a*b* colours (..., 3) → (...), with kL = kC = kH = 1.

    Written from Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula", CRA 2005.
    """
    (l1, a1, b1), (l2, a2, b2) = (np.moveaxis(np.asarray(lab, np.float64), -1, 0) for lab in (lab1, lab2))
    # 1. chroma and hue with the rescaled a axis
    mean_chroma7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    g = 0.5 * (1 - np.sqrt(mean_chroma7 / (mean_chroma7 + 25.0**7)))
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    # 2. differences of lightness, chroma and hue; hue is undefined, so zero, when a chroma is zero
    gray = c1 * c2 == 0
    dh = np.where(gray, 0, (h2 - h1 + 180) % 360 - 180)
    d_l, d_c = l2 - l1, c2 - c1
    d_h = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(dh) / 2)
    # 3. means, weights and the rotation term
    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2
    mean_h = np.where(gray, h1 + h2, _mean_hue(h1, h2))
    t = (
        1
        - 0.17 * np.cos(np.radians(mean_h - 30))
        + 0.24 * np.cos(np.radians(2 * mean_h))
        + 0.32 * np.cos(np.radians(3 * mean_h + 6))
        - 0.20 * np.cos(np.radians(4 * mean_h - 63))
    )
    s_l = 1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2)
    s_c, s_h = 1 + 0.045 * mean_c, 1 + 0.015 * mean_c * t
    rotation = -np.sin(np.radians(60 * np.exp(-(((mean_h - 275) / 25) ** 2))))
    rotation = rotation * 2 * np.sqrt(mean_c**7 / (mean_c**7 + 25.0**7))
    l_term, c_term, h_term = d_l / s_l, d_c / s_c, d_h / s_h
    return np.sqrt(np.maximum(l_term**2 + c_term**2 + h_term**2 + rotation * c_term * h_term, 0))


def _mean_hue(h1: np.ndarray, h2: np.ndarray) -> np.ndarray:
    """Mean of two hues in degrees along the shorter arc, in [0, 360)."""
    far = np.abs(h1 - h2) > 180
    return np.where(far, h1 + h2 + np.where(h1 + h2 < 360, 360, -360), h1 + h2) / 2


def skin_delta_e(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> float:
    """Mean CIEDE2000 of the masked texels."""
    inside = mask > 0
    difference = delta_e2000(srgb_to_lab(a[inside]), srgb_to_lab(b[inside]))
    return masked_mean(difference[:, None], mask[inside][:, None])


def individual_typology_angle(lab: np.ndarray) -> np.ndarray:
    """ITA = atan2(L* - 50, b*) in degrees, (..., 3) → (...); higher is lighter skin (Chardon et al. 1991)."""
    lab = np.asarray(lab, np.float64)
    return np.degrees(np.arctan2(lab[..., 0] - 50, lab[..., 2]))


def skin_ita(texture: np.ndarray, mask: np.ndarray) -> float:
    """ITA in degrees of the mean L*a*b* colour over the mask.

    The mean colour first: single texels with b* near 0 have wild angles.
    """
    inside = mask > 0
    lab, weight = srgb_to_lab(texture[inside]), mask[inside][:, None]
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
    """Pearson correlation of the x and y luma gradients of two textures, over masked neighbouring texels.

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
