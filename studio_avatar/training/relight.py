"""Light moved from one simulated capture onto another subject's studio texture.

A capture and its true studio texture give the light as a ratio in linear color. Low-passed, so that registration errors
and noise of the capture do not become light, the ratio relights any other texture of the same layout.
"""

import torch
import torch.nn.functional as F

from studio_avatar.pipeline.skin_tone import linear_to_srgb, srgb_to_linear


def _blur(x, radius):
    """Two box filters, edges replicated."""
    for _ in range(2):
        x = F.avg_pool2d(F.pad(x, (radius,) * 4, mode="replicate"), 2 * radius + 1, stride=1)
    return x


def light_ratio(phone, studio, seen, radius):
    """Light as a linear-color ratio phone / studio, (B, 3, H, W), smooth over `radius` texels, 1 where unseen.

    phone, studio: (B, 3, H, W) sRGB in [-1, 1]; seen (B, 1, H, W) in [0, 1].
    """
    phone, studio = srgb_to_linear(phone * 0.5 + 0.5), srgb_to_linear(studio * 0.5 + 0.5)
    weight = seen + 1e-4
    ratio = _blur(phone * weight, radius) / _blur(studio * weight, radius).clamp_min(1e-4)
    return torch.lerp(
        torch.ones_like(ratio), ratio.clamp(0.05, 6.0), (_blur(seen, radius) > 0.02).to(ratio.dtype)
    )


def relight(studio, ratio):
    """Studio texture (B, 3, H, W) sRGB in [-1, 1] under the light of `ratio`."""
    lit = (srgb_to_linear(studio * 0.5 + 0.5) * ratio).clamp(0, 1)
    return linear_to_srgb(lit) * 2 - 1
