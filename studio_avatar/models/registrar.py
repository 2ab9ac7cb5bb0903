"""Registrar: a frame in texture space → where on the head each of its texels truly lies.

Landmarks place a face on the head to about one percent of its height, and draw every face nearer to the average. What is
left can be seen in texture space, where everybody's lids, nostrils and lips should be at the same texels: a small
convolutional network with a learnt map of places answers with an offset for every cell of a grid and how sure it is of it
(Laplace distribution; uncertainty as in Kendall and Gal 2017).
This file imports nothing of the package: it is also published on the Hub as remote code.
"""

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn


class Residual(nn.Module):
    """x + conv(act(norm(conv(act(norm(x)))))), channels kept."""

    def __init__(self, channels):
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(channels // 8 or 1, channels) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x):
        y = x
        for norm, conv in zip(self.norms, self.convs):
            y = conv(F.silu(norm(y)))
        return x + y


class Registrar(ModelMixin, ConfigMixin):
    """Args:
    resolution: side of the input in texels, a multiple of 32; the answer has a cell for every 8 of them.
    channels: feature maps after each of the five halvings.
    hidden: width of the layer that looks at all of the face at once.
    window: (left, top, side) of the part of the texture that the input shows, over the texture's size: the face and ears.
    unit: the answer's unit of length over the texture's size.
    """

    @register_to_config
    def __init__(
        self,
        resolution: int = 256,
        channels: tuple[int, ...] = (24, 32, 64, 96, 96),
        hidden: int = 256,
        window: tuple[float, float, float] = (48 / 352, 66 / 352, 256 / 352),
        unit: float = 1.0 / 256.0,
    ):
        super().__init__()
        widths = (7, *channels)
        self.halve = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in zip(widths, widths[1:])
        )
        self.blocks = nn.ModuleList(Residual(width) for width in channels[1:])
        cells, last = resolution // 8, resolution // 32
        # What a feature says of a place depends on the place: weights of their own for every cell.
        self.local = nn.Parameter(torch.randn(3, channels[2], cells, cells) * 0.1 / channels[2] ** 0.5)
        self.bias = nn.Parameter(torch.zeros(3, cells, cells))
        self.norm = nn.GroupNorm(channels[2] // 8 or 1, channels[2])
        # Faces differ as a whole: so do the errors of their fits.
        self.whole = nn.Sequential(
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(channels[-1] * last * last, hidden),
            nn.SiLU(),
            nn.Linear(hidden, 2 * (cells // 2) ** 2),
        )
        nn.init.normal_(self.whole[-1].weight, std=0.1 / hidden**0.5)
        nn.init.zeros_(self.whole[-1].bias)

    def forward(self, rgb, trust):
        """rgb (B, 3, R, R) sRGB in [-1, 1], trust (B, 1, R, R) in [0, 1] → offset (B, 2, R/8, R/8), columns and rows to
        add to a cell's place, and log_scale (B, 1, R/8, R/8) of its errors; both in `unit`s.
        """
        x = torch.cat([contrast(rgb, trust), rgb, trust * 2.0 - 1.0], dim=1)
        x = F.silu(self.halve[0](x))
        for halve, block in zip(self.halve[1:], self.blocks):
            x = block(halve(x))
            if x.shape[-1] == self.local.shape[-1]:
                features = F.silu(self.norm(x))
        answer = torch.einsum("bchw,ochw->bohw", features, self.local) + self.bias
        coarse = self.whole(x).unflatten(1, (2, answer.shape[-1] // 2, answer.shape[-1] // 2))
        coarse = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        return answer[:, :2] + coarse, answer[:, 2:].clamp(-4.0, 3.0)


def contrast(rgb, trust):
    """The picture without slow light and of one contrast everywhere, (B, 3, H, W), zero where nothing is trusted."""
    known = (trust > 0.02).to(rgb.dtype)
    share = _around(known).clamp_min(1e-3)
    detail = (rgb - _around(rgb * known) / share) * known
    spread = (_around(detail.square()) / share).mean(1, keepdim=True).sqrt()
    return detail / (spread + 0.03)


def _around(x):
    """Mean over some 40 texels, (B, C, H, W)."""
    small = F.avg_pool2d(F.avg_pool2d(x, 8), 5, stride=1, padding=2, count_include_pad=False)
    return F.interpolate(small, x.shape[-2:], mode="bilinear", align_corners=False)
