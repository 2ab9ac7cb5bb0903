"""Losses on partly observed textures. Images (B, 3, H, W) in [-1, 1], masks (B, 1, H, W) in [0, 1]."""

import torch
import torch.nn.functional as F


def masked_mean(values, mask):
    """Mean of `values` (B, C, H, W) over each sample's seen texels, then over the samples.

    Every sample counts alike, so that the mean over two half batches is that of the whole.
    """
    sums = (values * mask).sum((1, 2, 3))
    return (sums / (mask.sum((1, 2, 3)) * values.shape[1]).clamp_min(1.0)).mean()


def masked_l1(a, b, mask):
    return masked_mean((a - b).abs(), mask)


def weighted_l1(difference, weight):
    """Mean of |difference| (B, C, H, W) by `weight` (B, 1, H, W) over the whole batch: what is seen more, counts more."""
    return (difference.abs() * weight).sum() / (weight.sum() * difference.shape[1]).clamp_min(1.0)


def weighted_gradient_l1(difference, weight, levels=4):
    """L1 of the image gradients of a difference over an image pyramid, by weight as in `weighted_l1`."""
    total = 0.0
    for _ in range(levels):
        across = difference[..., :, 1:] - difference[..., :, :-1]
        down = difference[..., 1:, :] - difference[..., :-1, :]
        total = total + weighted_l1(across, weight[..., :, 1:]) + weighted_l1(down, weight[..., 1:, :])
        difference, weight = F.avg_pool2d(difference, 2), F.avg_pool2d(weight, 2)
    return total / levels


def masked_mse(a, b, mask):
    return masked_mean((a - b).square(), mask)


def image_gradients(image):
    """Forward differences along x and y, (B, C, H, W) each, zero at the last column and row."""
    dx = F.pad(image[..., :, 1:] - image[..., :, :-1], (0, 1, 0, 0))
    dy = F.pad(image[..., 1:, :] - image[..., :-1, :], (0, 0, 0, 1))
    return dx, dy


def gradient_loss(a, b, mask, levels=3):
    """L1 of the image gradients of a − b over an image pyramid; a texel counts where it and its neighbors are seen."""
    difference, total = a - b, 0.0
    for level in range(levels):
        inner = -F.max_pool2d(-mask, 3, stride=1, padding=1)
        dx, dy = image_gradients(difference)
        total = total + masked_mean(dx.abs(), inner) + masked_mean(dy.abs(), inner)
        if level + 1 < levels:
            difference = F.avg_pool2d(difference * mask, 2) / F.avg_pool2d(mask, 2).clamp_min(1e-3)
            mask = (F.avg_pool2d(mask, 2) > 0.99).to(mask.dtype)
    return total / levels


def feature_loss(maps_a, maps_b):
    """Mean L1 distance of two lists of feature maps, each scaled by the second's spread (perceptual loss)."""
    terms = [((a - b).abs().mean()) / b.detach().std().clamp_min(1e-3) for a, b in zip(maps_a, maps_b)]
    return torch.stack(terms).mean()


def discriminator_loss(real_logits, fake_logits):
    """Non-saturating logistic loss (Goodfellow et al. 2014)."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def generator_loss(fake_logits):
    return F.softplus(-fake_logits).mean()


def r1_penalty(discriminator, real, mask):
    """R1 gradient penalty on real samples (Mescheder et al., ICML 2018)."""
    real = real.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(real, mask).sum(), real, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def gaussian_nll(mean, log_variance, truth):
    """Negative log likelihood of `truth` (B, C) under independent Gaussians, up to a constant (Nix and Weigend 1994)."""
    return ((mean - truth).square() * torch.exp(-log_variance) + log_variance).mean()
