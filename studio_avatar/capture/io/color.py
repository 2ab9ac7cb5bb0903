"""Color of video frames: high dynamic range and wide gamut become sRGB, as a standard picture of the same scene.

Signal → linear light → BT.709 primaries → highlights rolled off → sRGB. Transfer functions: ITU-R BT.2100-2 tables 4
(PQ) and 5 (HLG, shown on its reference display of 1000 cd/m²); diffuse white is 203 cd/m² (ITU-R BT.2408), so skin
has the same tone as in a standard picture. Everything below `KNEE` stays exactly in proportion.
"""

from functools import lru_cache

import numpy as np

from studio_avatar.imaging.color import linear_to_srgb, srgb_to_linear

WHITE_NITS = 203.0  # diffuse white, BT.2408
HLG_PEAK_NITS = 1000.0  # the reference display
HLG_GAMMA = 1.2  # of a display with that peak
KNEE = 0.75  # linear light over white; brighter is rolled off into what is left up to 1

# av.video.reformatter's numbers (ITU-T H.273).
TRANSFER_PQ, TRANSFER_HLG = 16, 18
PRIMARIES_BT2020, PRIMARIES_DISPLAY_P3 = 9, 12
HDR_TRANSFERS = (TRANSFER_PQ, TRANSFER_HLG)

# CIE xy of red, green, blue and white.
_D65 = (0.3127, 0.3290)
_CHROMATICITIES = {
    "bt709": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65),
    PRIMARIES_BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    PRIMARIES_DISPLAY_P3: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
}
_BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)
_LEVELS = 4096  # 12 bits: finer than any phone's video


def is_plain(transfer: int, primaries: int) -> bool:
    """Whether frames with these H.273 numbers can be taken for sRGB as they are, as every player does."""
    return transfer not in HDR_TRANSFERS and primaries not in _CHROMATICITIES


def to_srgb(rgb: np.ndarray, transfer: int, primaries: int) -> np.ndarray:
    """Bring a picture with another transfer function or other primaries to sRGB.

    rgb: (H, W, 3) uint16, full range R'G'B'. transfer, primaries: H.273 numbers. Returns (H, W, 3) uint8.
    """
    linear = _to_linear(transfer)[rgb >> 4]
    if transfer == TRANSFER_HLG:
        luma = np.maximum(linear @ _BT2020_LUMA, 1e-6)[..., None]
        linear *= luma ** (HLG_GAMMA - 1.0)  # the optical-optical transfer function: scene to display
        linear *= HLG_PEAK_NITS / WHITE_NITS
    if primaries in _CHROMATICITIES:
        linear = linear @ _primaries_matrix(primaries).T
    if transfer in HDR_TRANSFERS:
        linear = _roll_off(linear)
    # The table is over the square root, which spends its steps on the dark end as sRGB does.
    at = np.sqrt(np.clip(linear, 0.0, 1.0)) * (_LEVELS - 1) + 0.5
    return _from_linear()[at.astype(np.uint16)]


def _roll_off(linear: np.ndarray) -> np.ndarray:
    """Compress what is brighter than `KNEE` into [KNEE, 1), by the brightest channel, so that hue is kept."""
    peak = linear.max(axis=-1, keepdims=True)
    above = np.maximum(peak - KNEE, 0.0)
    rolled = KNEE + (1.0 - KNEE) * (1.0 - np.exp(-above / (1.0 - KNEE)))
    return linear * np.where(above > 0.0, rolled / np.maximum(peak, 1e-6), 1.0).astype(np.float32)


@lru_cache(maxsize=4)
def _to_linear(transfer: int) -> np.ndarray:
    """(_LEVELS,) float32. PQ and sRGB: display light over diffuse white; HLG: scene light in [0, 1]."""
    signal = (np.arange(_LEVELS) + 0.5) / _LEVELS
    if transfer == TRANSFER_PQ:
        m1, m2 = 2610 / 16384, 2523 / 4096 * 128
        c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
        power = signal ** (1 / m2)
        light = 10000.0 / WHITE_NITS * (np.maximum(power - c1, 0.0) / (c2 - c3 * power)) ** (1 / m1)
    elif transfer == TRANSFER_HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    else:
        light = srgb_to_linear(signal)
    return light.astype(np.float32)


@lru_cache(maxsize=1)
def _from_linear() -> np.ndarray:
    """(_LEVELS,) uint8 sRGB of the squares of evenly spaced values in [0, 1]."""
    encoded = linear_to_srgb(np.linspace(0.0, 1.0, _LEVELS) ** 2)
    return (encoded * 255 + 0.5).astype(np.uint8)


@lru_cache(maxsize=4)
def _primaries_matrix(primaries: int) -> np.ndarray:
    """(3, 3) float32 from linear RGB of these primaries to BT.709's."""
    to_xyz = [_rgb_to_xyz(_CHROMATICITIES[key]) for key in (primaries, "bt709")]
    return (np.linalg.inv(to_xyz[1]) @ to_xyz[0]).astype(np.float32)


def _rgb_to_xyz(chromaticities) -> np.ndarray:
    xyz = np.array([(x / y, 1.0, (1.0 - x - y) / y) for x, y in chromaticities]).T  # columns R, G, B, white
    return xyz[:, :3] * np.linalg.solve(xyz[:, :3], xyz[:, 3])
