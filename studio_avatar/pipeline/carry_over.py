"""What the W+ code misses of the person is carried over from the phone texture, without the light on it.

    base ─ tone ─────┐
    phone ─ same tone ├─► UNet ─► base + residual ─ tone ─► base that is the person
    seen ────────────┘

Both pictures get the estimated tone first: their global colour says nothing any more, so the network, trained on
simulated captures with their true studio textures, has only to tell marks of the person from shading.
This file imports nothing of the package but `skin_tone`: it is also published on the Hub as remote code.
"""

import torch
import torch.nn.functional as F

from .skin_tone import set_tone

PATCH = 2  # space-to-depth factor before the UNet


def carry_over(base, phone, seen, lab, unet, weight, skin):
    """Studio base (B, 3, R, R) → the same with the person's tone and own structure; sRGB in [-1, 1].

    Args:
        base: float32, like all that follow; the UNet may have another dtype.
        phone: (B, 3, R, R) phone texture at the base's size. seen: (B, 1, R, R) in [0, 1].
        lab: (B, 3) tone to give to the skin.
        weight, skin: the tone estimator's buffers (1, 1, R, R).
    """
    base = set_tone(base, weight, lab, skin)
    phone = set_tone(phone, weight * seen, lab)
    patches = F.pixel_unshuffle(torch.cat([base, phone * seen, seen * 2.0 - 1.0], dim=1), PATCH)
    time = torch.zeros(len(base), device=base.device)  # the UNet's clock, which has nothing to say here
    residual = F.pixel_shuffle(unet(patches.to(unet.dtype), time).sample, PATCH)
    return set_tone((base + residual).clamp(-1, 1), weight, lab, skin)
