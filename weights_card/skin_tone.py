"""Skin tone of textures: measured, set, and moved along the range of human skin.

A phone's exposure and white balance hide how dark skin is; the generators only guess. So tone is one colour of its own, the
mean colour of the upper face's skin under even white light, which is estimated from the phone texture
(`models/tone_estimator.py`), can be corrected by the user, and is then given to the studio base.
This file imports nothing of the package: it is also published on the Hub as remote code.
"""

import dataclasses
import math

import torch

# linear sRGB → XYZ (IEC 61966-2-1, D65); the white is the image of (1, 1, 1)
SRGB_TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
LAB_DELTA = 6 / 29
MELANIN = (0.62, 0.96, 1.30)  # how melanin darkens red, green and blue: −log(linear light) per unit of dose
MAX_GAIN = 12.0  # of a channel when a texture gets another tone
ITA_CLASSES = (  # Chardon et al. 1991: above this angle [degrees]
    (55.0, "very light"), (41.0, "light"), (28.0, "intermediate"), (10.0, "tan"), (-30.0, "brown"),
)  # fmt: skip
ITA_RANGE = (-60.0, 65.0)  # individual typology angle of human skin, degrees


@dataclasses.dataclass(frozen=True)
class SkinTone:
    """`lab`, CIE L*a*b* (D65) of the skin's mean colour under even white light, and `std`, the standard deviations of the
    estimate: 3 floats each, zeros where the user gave the tone."""

    lab: tuple[float, float, float]
    std: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def ita(self) -> float:
        """Individual typology angle in degrees."""
        return math.degrees(math.atan2(self.lab[0] - 50.0, self.lab[2]))

    @property
    def name(self) -> str:
        """Chardon's class of the angle."""
        return next((name for above, name in ITA_CLASSES if self.ita > above), "dark")

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The colour in sRGB, 0 to 255."""
        encoded = linear_to_srgb(lab_to_linear(torch.tensor(self.lab)).clamp(0, 1))
        return tuple(round(255 * channel) for channel in encoded.tolist())

    @property
    def ita_std(self) -> float:
        """Standard deviation of `ita` in degrees, to first order."""
        lightness, b = self.lab[0] - 50.0, self.lab[2]
        square = max(lightness**2 + b**2, 1.0)
        return math.degrees(math.hypot(b * self.std[0], lightness * self.std[2]) / square)


def srgb_to_linear(x):
    """[0, 1] sRGB-encoded → [0, 1] linear (IEC 61966-2-1)."""
    return torch.where(x <= 0.04045, x / 12.92, ((x.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(x):
    """[0, 1] linear → [0, 1] sRGB-encoded."""
    return torch.where(x <= 0.0031308, x * 12.92, 1.055 * x.clamp_min(0.0031308) ** (1 / 2.4) - 0.055)


def linear_to_lab(linear):
    """Linear sRGB (..., 3) → CIE L*a*b* (..., 3)."""
    matrix = torch.tensor(SRGB_TO_XYZ, dtype=linear.dtype, device=linear.device)
    ratio = linear @ matrix.t() / matrix.sum(1)
    cube = ratio.clamp_min(LAB_DELTA**3) ** (1 / 3)
    x, y, z = torch.where(ratio > LAB_DELTA**3, cube, ratio / (3 * LAB_DELTA**2) + 4 / 29).unbind(-1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-1)


def lab_to_linear(lab):
    """CIE L*a*b* (..., 3) → linear sRGB (..., 3), not clipped."""
    y = (lab[..., 0] + 16) / 116
    f = torch.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], dim=-1)
    ratio = torch.where(f > LAB_DELTA, f**3, 3 * LAB_DELTA**2 * (f - 4 / 29))
    matrix = torch.tensor(SRGB_TO_XYZ, dtype=lab.dtype, device=lab.device)
    return (ratio * matrix.sum(1)) @ torch.linalg.inv(matrix).t()


def mean_linear(texture, weight):
    """Mean linear colour (B, 3) of a texture (B, 3, H, W) sRGB in [-1, 1] over `weight` (B or 1, 1, H, W) ≥ 0."""
    return weighted_mean(srgb_to_linear(texture * 0.5 + 0.5), weight)


def weighted_mean(maps, weight):
    """Mean (B, C) of `maps` (B, C, H, W) over `weight` (B or 1, 1, H, W) ≥ 0."""
    return (maps * weight).sum((2, 3)) / weight.sum((2, 3)).clamp_min(1e-4)


def measure_tone(texture, weight):
    """L*a*b* (B, 3) of the mean linear colour; arguments as of `mean_linear`."""
    return linear_to_lab(mean_linear(texture, weight))


def tone_gain(texture, weight, lab):
    """Factor (B, 3) in linear color that gives a texture the tone `lab`; arguments as of `set_tone`."""
    gain = lab_to_linear(lab).clamp_min(1e-3) / mean_linear(texture, weight).clamp_min(1e-3)
    return gain.clamp(1 / MAX_GAIN, MAX_GAIN)


def apply_gain(texture, gain):
    """Texture (B, 3, H, W) sRGB in [-1, 1], its linear color times `gain` (B, 3)."""
    linear = srgb_to_linear(texture * 0.5 + 0.5) * gain[:, :, None, None]
    return linear_to_srgb(linear.clamp(0, 1)) * 2 - 1


def set_tone(texture, weight, lab, mask=1.0):
    """The texture with another tone: one gain a channel in linear light, so that shading and detail keep their ratios.

    Args:
        texture: (B, 3, H, W) sRGB in [-1, 1]. weight: (B or 1, 1, H, W), where its tone is measured.
        lab: (B, 3) the wanted tone.
        mask: (1, 1, H, W) in [0, 1], where the gain acts: not on eyes and teeth.
    """
    changed = apply_gain(texture, tone_gain(texture, weight, lab))
    return torch.lerp(texture, changed, torch.as_tensor(mask, dtype=texture.dtype, device=texture.device))


def tone_of_ita(lab, degrees: float):
    """The tone (3,) that differs from `lab` (3,) by melanin alone and has the individual typology angle `degrees`."""
    linear = lab_to_linear(lab).clamp_min(1e-4)
    melanin = torch.tensor(MELANIN, dtype=lab.dtype, device=lab.device)
    low, high = -4.0, 6.0  # doses; more melanin is a smaller angle
    for _ in range(40):
        dose = (low + high) / 2
        moved = linear_to_lab((linear * torch.exp(-melanin * dose)).clamp_max(1.0))
        angle = math.degrees(math.atan2(float(moved[0]) - 50.0, float(moved[2])))
        low, high = (dose, high) if angle > degrees else (low, dose)
    return moved
