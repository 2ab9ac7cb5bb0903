"""From the light of the phone to the light of the studio, without losing the person.

    S = a · P · exp(g) + (1 − a) · B'

P is the phone texture in the estimated tone and B the studio base, both in linear colour. The gain g is smooth: it says what
the light did. The keep mask a is at most the visibility, and 0 where the phone texture shows something that is not the
person (glasses, strands of hair, clipped highlights, the edges of shadows). B' is the base with what the network repairs.
So texture passes through untouched wherever it is trusted. Gain, mask and repair do not depend on the size of the picture:
they are made at the network's resolution and act on phone textures of any size above it.

Without a network, g is the smoothed quotient: log B − log P, averaged over the seen texels around.
This file imports only single files beside it: it is also published on the Hub as remote code.
"""

import dataclasses

import torch
import torch.nn.functional as F

from .inversion import largest_around, shrink_observed
from .skin_tone import SRGB_TO_XYZ, apply_gain, linear_to_srgb, set_tone, srgb_to_linear, tone_gain

EPSILON = 0.01  # added to linear colours before the logarithm, so that black has one
QUOTIENT_SIGMA = 12 / 1024  # of the texture's width: over what the quotient is averaged
QUOTIENT_RESOLUTION = 512  # at which it is computed where no network says otherwise
CONTINUED = 40 / 1024  # of the width: how far the phone texture's continuation counts in eyes and mouth
MAX_GAIN = 3.0  # of the log gain
SCLERA = (0.66, 0.62, 0.58)  # linear reflectance of the white of the eye
WHITENING = 0.5  # how much of their cast eyes and teeth lose
SHADE_OF_LIPS = 0.35  # what they leave of the light on teeth
MAX_CAST = 0.35  # natural logarithm: what is so far from the white of an eye is none, but lids and lashes


@dataclasses.dataclass
class Relit:
    """texture: (B, 3, H, W) sRGB in [-1, 1]. keep: (B, 1, H, W) in [0, 1]. gain: (B, 3, H, W), natural logarithm of the
    factor in linear colour. repair: (B, 3, H, W) sRGB in [-1, 1], what stands where nothing is kept."""

    texture: torch.Tensor
    keep: torch.Tensor
    gain: torch.Tensor
    repair: torch.Tensor


def log_linear(texture):
    """(B, 3, H, W) sRGB in [-1, 1] → log(linear + EPSILON)."""
    return torch.log(srgb_to_linear((texture * 0.5 + 0.5).clamp(0, 1)) + EPSILON)


def from_log_linear(log):
    """Inverse of `log_linear`, clamped to what a texture can show."""
    return linear_to_srgb((torch.exp(log) - EPSILON).clamp(0, 1)) * 2.0 - 1.0


def smoothed(values, weight, sigma):
    """Gaussian mean of `values` (B, C, H, W) by `weight` (B, 1, H, W); `sigma` in texels.

    Far from any weight it fades to the mean of all that has weight.
    """
    step = max(int(sigma // 2), 1)
    sums = F.avg_pool2d(torch.cat([values * weight, weight], dim=1), step)
    radius = max(int(3 * sigma / step + 0.5), 1)
    offsets = torch.arange(-radius, radius + 1, device=values.device, dtype=values.dtype)
    kernel = torch.exp(-0.5 * (offsets * step / sigma) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, -1, 1).expand(sums.shape[1], -1, -1, -1)
    everywhere = sums.mean((2, 3), keepdim=True) * 1e-3
    sums = F.conv2d(sums, kernel, padding=(radius, 0), groups=sums.shape[1])
    sums = F.conv2d(sums, kernel.transpose(2, 3), padding=(0, radius), groups=sums.shape[1]) + everywhere
    mean = sums[:, :-1] / sums[:, -1:].clamp_min(1e-8)
    return F.interpolate(mean, values.shape[-2:], mode="bilinear", align_corners=False) if step > 1 else mean


def smoothed_quotient(phone, base, visibility, sigma=QUOTIENT_SIGMA):
    """Log gain (B, 3, H, W) that turns the smooth part of the phone texture into that of the base.

    phone, base: (B, 3, H, W) sRGB in [-1, 1]. sigma: share of the texture's width.
    """
    return smoothed(log_linear(base) - log_linear(phone), visibility, sigma * phone.shape[-1])


def compose(phone, visibility, gain, keep, repair):
    """The formula above on textures of one size; `keep` is cut to the visibility."""
    keep = keep * visibility
    relit = from_log_linear(log_linear(phone) + gain)
    return Relit(torch.lerp(repair, relit, keep), keep, gain, repair)


def answers(base, phone, visibility, network, sigma=QUOTIENT_SIGMA, both_ways=False):
    """The network's gain, keep mask and repaired base for textures of its own size.

    base, phone: (B, 3, R, R) sRGB in [-1, 1], both in the estimated tone. visibility: (B, 1, R, R).
    both_ways: the answer is the mean of those to the textures and to their mirror images (of the keep mask's logits).
    """
    quotient = smoothed_quotient(phone, base, visibility, sigma)
    if network is None:
        return quotient, torch.ones_like(visibility), base
    parts = (phone, base, quotient, visibility)
    dtype = next(network.parameters()).dtype
    if both_ways:
        parts = (torch.cat([part, part.flip(-1)]) for part in parts)
    told = (part.float() for part in network(*(part.to(dtype) for part in parts)))
    change, keep, repair = (_mean_of_both(part) for part in told) if both_ways else told
    change = F.interpolate(change, phone.shape[-2:], mode="bicubic", align_corners=False)
    return (quotient + change).clamp(-MAX_GAIN, MAX_GAIN), torch.sigmoid(keep), (base + repair).clamp(-1, 1)


def _mean_of_both(answer):
    """(2B, C, H, W), answers to B pictures and to their mirror images → (B, C, H, W)."""
    straight, mirrored = answer.chunk(2)
    return (straight + mirrored.flip(-1)) * 0.5


def shaded_beside_skin(texture, skin):
    """The texture (B, 3, H, W) sRGB in [-1, 1], eyes, teeth and mouth, where `skin` is 0, in the shade of lids and lips."""
    shaded = linear_to_srgb(srgb_to_linear(texture * 0.5 + 0.5) * SHADE_OF_LIPS) * 2 - 1
    return torch.lerp(shaded, texture, skin)


def beside_skin(gain, keep, repair, visibility, wet, skin):
    """Eyes, teeth and mouth, where `skin` is 0, stay what the phone texture shows, times `wet` (B, 3, 1, 1), a log gain.

    They are wet, moving and lie in holes: what a network could learn of their light is little, what it could spoil is much.
    Around what was seen of them counts the phone texture's own continuation. What was not seen is drawn in the shade of lids
    and lips, which even light has, too: otherwise teeth flash between lips that are nearly closed.

    Returns: gain, keep mask, repair and visibility.
    """
    repair = shaded_beside_skin(repair, skin)
    reach = 2 * round(visibility.shape[-1] * CONTINUED / 2) + 1
    around = largest_around(visibility * (1 - skin), reach)
    blend = torch.lerp(wet.expand_as(gain), gain, skin), torch.lerp(torch.ones_like(keep), keep, skin)
    return *blend, repair, torch.maximum(visibility, around * (1 - skin))


def gain_of_eyes(phone, seen_eyes, gain_of_skin):
    """Log gain (B, 3, 1, 1) of eyes and teeth: brighter or darker as the skin is made, but white stays white.

    The tone that skin is given says little about the color of the light, and would color whites that the phone balanced
    well. So the brightest of eyes and teeth come nearer to the chromaticity of the white of an eye, as far as they can be
    taken for that, and are made no lighter than it is.

    Args:
        phone: (B, 3, H, W) sRGB in [-1, 1]. seen_eyes: (B, 1, H, W), visibility of eyes and teeth.
        gain_of_skin: (B, 3) mean log gain of the skin, from the phone texture itself.
    """
    luma = torch.tensor(SRGB_TO_XYZ[1], device=phone.device)
    sclera = torch.tensor(SCLERA, device=phone.device)
    linear = srgb_to_linear((phone * 0.5 + 0.5).clamp(0, 1))
    bright = seen_eyes * (linear * luma.view(1, 3, 1, 1)).sum(1, keepdim=True) ** 4
    white = (linear * bright).sum((2, 3)) / bright.sum((2, 3)).clamp_min(1e-12)
    level = torch.log((gain_of_skin.exp() @ luma).clamp_min(1e-3))
    level = torch.minimum(level, torch.log((sclera @ luma) / (white @ luma).clamp_min(0.01)))
    cast = torch.log(white.clamp_min(1e-3)) - torch.log(sclera)
    cast = (cast - (cast @ luma)[:, None]) * (bright.sum((2, 3)) > 0)
    plausible = (2 * (1 - cast.abs().amax(1, keepdim=True) / MAX_CAST)).clamp(0, 1)
    return (level[:, None] - WHITENING * plausible * cast)[:, :, None, None]


def resized(image, size, mode="bicubic"):
    """(B, C, h, w) → (B, C, size, size): averaged when it gets smaller, interpolated when larger."""
    side = image.shape[-1]
    if side == size:
        return image
    if size < side:
        return F.interpolate(image, size=(size, size), mode="area")
    return F.interpolate(image, size=(size, size), mode=mode, align_corners=False)


def relight(base, phone, visibility, lab, network, weight, skin, sigma=QUOTIENT_SIGMA, both_ways=False):
    """Studio base and phone texture → `Relit`, the person in studio light, at the phone texture's size.

    Args:
        base: (B, 3, r, r) sRGB in [-1, 1], float32 like all that follow; the network may have another dtype.
        phone: (B, 3, H, H) phone texture. visibility: (B, 1, H, H) in [0, 1].
        lab: (B, 3) L*a*b* tone to give to the skin.
        network: a `RelightNetwork`, or None for the smoothed quotient alone, at `QUOTIENT_RESOLUTION`.
        sigma: of the quotient, share of the texture's width; networks were trained with the default.
        weight, skin: the tone estimator's buffers (1, 1, R, R): where tone is measured, and where it is set.
        both_ways: the network is asked of the mirror images, too: its answers then depend less on where light comes from.
    """
    size = phone.shape[-1]
    side = QUOTIENT_RESOLUTION if network is None else network.config.resolution
    if size > side:
        small_phone, small_visibility = shrink_observed(phone, visibility, side)
    else:
        small_phone, small_visibility = (
            resized(phone, side).clamp(-1, 1),
            resized(visibility, side, "bilinear"),
        )
    weight, skin = resized(weight, side, "bilinear"), resized(skin, side, "bilinear")

    # 1. One tone for both: their global colour says nothing any more.
    base = set_tone(resized(base, side).clamp(-1, 1), weight, lab, skin)
    factor = tone_gain(small_phone, weight * small_visibility, lab)

    # 2. What the light did, what to keep, and what to repair.
    gain, keep, repair = answers(
        base, apply_gain(small_phone, factor), small_visibility, network, sigma, both_ways
    )
    seen_skin = small_visibility * weight
    of_skin = (gain * seen_skin).sum((2, 3)) / seen_skin.sum((2, 3)).clamp_min(1e-4) + torch.log(factor)
    wet = gain_of_eyes(small_phone, small_visibility * (1 - skin), of_skin)
    gain, keep, repair, small_visibility = beside_skin(gain, keep, repair, small_visibility, wet, skin)

    # 3. The phone texture itself, at its own size; its tone is changed where it is skin.
    smooth = (gain, keep, small_visibility, weight, skin)
    gain, keep, wide_visibility, weight, skin = (resized(part, size, "bilinear") for part in smooth)
    visibility = torch.lerp(wide_visibility, visibility, skin)
    toned = torch.lerp(phone, apply_gain(phone, factor), skin)
    relit = compose(toned, visibility, gain, keep, resized(repair, size).clamp(-1, 1))
    return dataclasses.replace(relit, texture=set_tone(relit.texture, weight, lab, skin))
