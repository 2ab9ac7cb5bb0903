"""Relight network: how light changes the phone texture on its way to the studio, and which of it is not skin.

Three answers for each texel of a partly seen phone texture: a smooth gain (what the light did to it), a keep mask
(whether the texel, so changed, can stay as it is) and a repair (what stands there where it cannot). The texture itself is
never drawn by the network where it is kept, so nothing of a person is lost that the network did not learn.
`relight.py` has the formula. At the start of training all last layers are zero: the answers are those of the smoothed
quotient of base and phone texture.
This file imports nothing of the package: it is also published on the Hub as remote code.
"""

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn

PATCH = 2  # space-to-depth factor before the first layer
KEEP_AT_START = 4.0  # logit of the keep mask of an untrained network: 0.982


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions behind group normalisation, added to the input."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, channels), nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x):
        h = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(h)))


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(count)))


class RelightNetwork(ModelMixin, ConfigMixin):
    """Args:
    resolution: side of the textures in texels, a multiple of 2^(levels + 1).
    channels: feature maps on 1/2, 1/4, … of the resolution.
    blocks: residual blocks a level, on the way down and on the way up: one number for all levels, or one for each.
    gain_level: level whose features give the gain: 1 is a quarter of the resolution.
    place_level: level at which learned maps tell where on the face a texel lies.
    mirrored: whether the network sees the mirrored phone texture, too. A face is nearly its own mirror image, the light on
        it is not: what differs between the halves is light first of all, and what one half lacks the other may have.
    """

    @register_to_config
    def __init__(
        self,
        resolution: int = 512,
        channels: tuple[int, ...] = (48, 80, 128, 192, 256),
        blocks: int | tuple[int, ...] = 1,
        gain_level: int = 1,
        place_level: int = 2,
        mirrored: bool = False,
    ):
        super().__init__()
        blocks = (blocks,) * len(channels) if isinstance(blocks, int) else blocks
        inputs = 10 * PATCH**2  # phone, base, quotient's gain (3 each), visibility
        self.first = nn.Conv2d(inputs, channels[0], 3, padding=1)
        self.mirror = nn.Conv2d(4 * PATCH**2, channels[0], 3, padding=1, bias=False) if mirrored else None
        side = resolution // PATCH // 2**place_level
        self.place = nn.Parameter(torch.zeros(1, channels[place_level], side, side))
        self.down = nn.ModuleList(_blocks(*level) for level in zip(channels, blocks, strict=True))
        self.shrink = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in zip(channels[:-1], channels[1:], strict=True)
        )
        self.up = nn.ModuleList(_blocks(*level) for level in zip(channels[:-1], blocks[:-1], strict=True))
        self.grow = nn.ModuleList(
            nn.Conv2d(b, a, 1) for a, b in zip(channels[:-1], channels[1:], strict=True)
        )
        self.gain = nn.Conv2d(channels[gain_level], 3, 3, padding=1)
        self.keep = nn.Conv2d(channels[0], PATCH**2, 3, padding=1)
        self.repair = nn.Conv2d(channels[0], 3 * PATCH**2, 3, padding=1)
        for layer in (self.gain, self.keep, self.repair):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.constant_(self.keep.bias, KEEP_AT_START)
        if mirrored:
            nn.init.zeros_(self.mirror.weight)

    def forward(self, phone, base, gain, visibility):
        """All (B, C, R, R): phone and base sRGB in [-1, 1], the quotient's log gain, visibility in [0, 1].

        Returns:
            gain: (B, 3, r, r) what is to be added to the log gain, at the gain level's size.
            keep: (B, 1, R, R) logits. repair: (B, 3, R, R), what is to be added to the base.
        """
        seen, visible = phone * visibility, visibility * 2.0 - 1.0
        x = self.first(F.pixel_unshuffle(torch.cat([seen, base, gain, visible], dim=1), PATCH))
        if self.mirror is not None:
            x = x + self.mirror(F.pixel_unshuffle(torch.cat([seen, visible], dim=1).flip(-1), PATCH))
        skips = []
        for level, blocks in enumerate(self.down):
            if level == self.config.place_level:
                x = x + self.place
            x = blocks(x)
            if level < len(self.shrink):
                skips.append(x)
                x = self.shrink[level](x)
        change = None
        for level in reversed(range(len(self.up))):
            x = F.interpolate(self.grow[level](x), scale_factor=2, mode="nearest") + skips[level]
            x = self.up[level](x)
            if level == self.config.gain_level:
                change = self.gain(x)
        x = F.silu(x)
        return change, F.pixel_shuffle(self.keep(x), PATCH), F.pixel_shuffle(self.repair(x), PATCH)
