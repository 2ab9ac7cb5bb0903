"""StyleGAN2 residual discriminator for partly observed textures (training only).

Karras et al., CVPR 2020 (residual discriminator, fig. 7) with minibatch standard deviation (Karras et al., ICLR 2018).
The observation mask is a fourth input channel and multiplies the picture, for real and generated textures alike, so that
the generator learns complete textures from partial ones.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from .stylegan2 import LEAKY_GAIN, EqualizedLinear, leaky_relu


class EqualizedConv(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, bias=True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.gain = 1.0 / math.sqrt(in_channels * kernel_size**2)

    def forward(self, x):
        return F.conv2d(x, self.weight * self.gain, self.bias, padding=self.weight.shape[-1] // 2)


class DiscriminatorBlock(nn.Module):
    """(B, in, H, W) → (B, out, H/2, W/2). Average pooling stands for the FIR low-pass: it is much faster on CPUs."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.conv0 = EqualizedConv(in_channels, in_channels, 3)
        self.conv1 = EqualizedConv(in_channels, out_channels, 3)
        self.skip = EqualizedConv(in_channels, out_channels, 1, bias=False)

    def forward(self, x):
        residual = leaky_relu(self.conv0(x))
        residual = leaky_relu(self.conv1(F.avg_pool2d(residual, 2)))
        return (self.skip(F.avg_pool2d(x, 2)) + residual) / LEAKY_GAIN


def minibatch_std(x, group_size=4):
    """Appends one channel: the standard deviation over groups of samples, averaged over channels and pixels."""
    batch, _, height, width = x.shape
    group = math.gcd(batch, group_size)
    y = x.reshape(group, -1, *x.shape[1:])  # (G, B/G, C, H, W)
    std = (y.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))  # (B/G,)
    return torch.cat([x, std.repeat(group).view(batch, 1, 1, 1).expand(-1, 1, height, width)], dim=1)


class Discriminator(nn.Module):
    """Args: resolution, channels at 4², 8², … `resolution` (as the generator's)."""

    def __init__(self, resolution=128, channels=(192, 192, 128, 96, 64, 32)):
        super().__init__()
        if 2 ** (len(channels) + 1) != resolution:
            raise ValueError(f"{len(channels)} channel counts do not fit resolution {resolution}.")
        widths = list(reversed(channels))
        self.from_rgb = EqualizedConv(4, widths[0], 1)
        self.blocks = nn.ModuleList(DiscriminatorBlock(a, b) for a, b in zip(widths[:-1], widths[1:]))
        self.conv = EqualizedConv(widths[-1] + 1, widths[-1], 3)
        self.fc = EqualizedLinear(widths[-1] * 16, widths[-1])
        self.out = EqualizedLinear(widths[-1], 1)

    def features(self, image, mask):
        """Feature maps (finest first) of `image` (B, 3, R, R) in [-1, 1] seen through `mask` (B, 1, R, R) in [0, 1]."""
        x = leaky_relu(self.from_rgb(torch.cat([image * mask, mask], dim=1)))
        maps = []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        return maps

    def forward(self, image, mask):
        """Realness logits (B,)."""
        x = minibatch_std(self.features(image, mask)[-1])
        x = leaky_relu(self.conv(x)).flatten(1)
        return self.out(leaky_relu(self.fc(x))).squeeze(1)
