"""Phone texture → W+: the encoder's code, then a few optimiser steps on the phone generator (§3.1 of the paper).

This file imports nothing of the package: it is also published on the Hub as remote code.
"""

import dataclasses

import torch
import torch.nn.functional as F

# Gradients of a mean over a picture are too small for float16; a power of two changes no digit of float32.
GRADIENT_SCALE = 1024.0


@dataclasses.dataclass(frozen=True)
class Inversion:
    """`w_plus` (1, num_ws, w_dim) float32, refined; `encoded`, the encoder's code it started from; `reconstruction`
    (1, 3, R, R) sRGB in [-1, 1] of `w_plus` by the phone generator."""

    w_plus: torch.Tensor
    encoded: torch.Tensor
    reconstruction: torch.Tensor


def shrink_observed(rgb, seen, resolution):
    """Area average of the seen texels only. rgb (B, 3, H, W), seen (B, 1, H, W) in [0, 1] → both at `resolution`.

    Colours of never observed texels do not bleed in; where nothing was seen the plain average stands.
    """
    weight = F.adaptive_avg_pool2d(seen, resolution)
    observed = F.adaptive_avg_pool2d(rgb * seen, resolution) / weight.clamp_min(1e-4)
    return torch.where(weight > 1e-3, observed, F.adaptive_avg_pool2d(rgb, resolution)), weight


def _masked_mean(values, mask):
    return (values * mask).sum() / (mask.sum() * values.shape[1]).clamp_min(1.0)


def reconstruction_loss(picture, rgb, seen):
    """Masked squared error + L1 + image gradients, all in [-1, 1] units."""
    difference = picture - rgb
    inner = -F.max_pool2d(-seen, 3, stride=1, padding=1)
    dx = (difference[..., :, 1:] - difference[..., :, :-1]).abs()
    dy = (difference[..., 1:, :] - difference[..., :-1, :]).abs()
    gradients = _masked_mean(dx, inner[..., :, 1:]) + _masked_mean(dy, inner[..., 1:, :])
    return (
        4.0 * _masked_mean(difference.square(), seen) + 0.5 * _masked_mean(difference.abs(), seen) + 0.25 * gradients
    )


def feature_distance(encoder, picture, target_maps, seen):
    """Mean L1, in float32, of the encoder's two finest feature stages between `picture` and the phone texture."""
    maps = [m.float() for m in encoder.features(picture, seen)[1:3]]
    return sum((a - b).abs().mean() / b.std().clamp_min(1e-3) for a, b in zip(maps, target_maps))


def invert(
    rgb,
    seen,
    encoder,
    generator,
    num_steps=100,
    learning_rate=0.12,
    feature_weight=0.002,
    manifold_weight=0.02,
    callback=None,
) -> Inversion:
    """Finds the W+ code whose phone texture agrees with what was seen.

    Args:
        rgb: (1, 3, R, R) phone texture at the generator's resolution, sRGB in [-1, 1], in the networks' dtype. The code
            itself is optimised in float32, and losses are taken in it: Adam's small numbers vanish in float16.
        seen: (1, 1, R, R) in [0, 1]; unseen texels do not count.
        num_steps: Adam steps after the encoder; 0 returns the encoder's code.
        manifold_weight: pull to the Gaussian of the training codes, which keeps unseen parts plausible.
        callback: called as `callback(step, num_steps)` after every step.
    """
    with torch.no_grad():
        start = encoder(rgb, seen).float()
        target_maps = [m.float() for m in encoder.features(rgb, seen)[1:3]]
        target, weight = rgb.float(), seen.float()
    with torch.enable_grad():
        w_plus = start.detach().clone().requires_grad_(True)
        optimizer = torch.optim.Adam([w_plus], lr=learning_rate, betas=(0.9, 0.99))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, num_steps), learning_rate * 0.05)
        for step in range(num_steps):
            picture = generator.synthesize(w_plus, noise_mode="const")
            loss = reconstruction_loss(picture.float(), target, weight)
            loss = loss + feature_weight * feature_distance(encoder, picture, target_maps, seen)
            loss = loss + manifold_weight * encoder.code_distance(w_plus).mean()
            (gradient,) = torch.autograd.grad(GRADIENT_SCALE * loss, [w_plus])
            w_plus.grad = gradient / GRADIENT_SCALE
            optimizer.step()
            schedule.step()
            if callback is not None:
                callback(step + 1, num_steps)
    with torch.no_grad():
        w_plus = w_plus.detach()
        return Inversion(w_plus, start, generator.synthesize(w_plus, noise_mode="const"))
