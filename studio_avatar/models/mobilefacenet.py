"""MobileFaceNet, a small face-identity embedding (Chen et al., CCBR 2018, arXiv 1804.07573, table 1).

Inference form: batch normalization is folded into the convolutions. Parameters stay frozen; gradients flow to
the picture, so that training can ask for the same identity. The weights come from
`python -m tools.convert_mobilefacenet`.
"""

import os
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

INPUT_SIZE = 112
EMBEDDING_SIZE = 192
INPUT_SCALE = 127.5 / 128.0  # the network was trained on (pixel - 127.5) / 128, a little inside [-1, 1]

# (expansion channels, output channels, blocks, stride of the first block), table 1 of the paper
STAGES = ((128, 64, 5, 2), (256, 128, 1, 2), (256, 128, 6, 1), (512, 128, 1, 2), (256, 128, 2, 1))


class ConvUnit(nn.Module):
    """Convolution, "same" padding at the end first (TensorFlow's habit), then an optional PReLU."""

    def __init__(self, in_channels, out_channels, kernel_size=1, stride=1, groups=1, active=True, same=True):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, groups=groups)
        self.act = nn.PReLU(out_channels) if active else nn.Identity()
        total = kernel_size - stride if same and kernel_size > 1 else 0
        self.padding = (total // 2, total - total // 2) * 2  # left, right, top, bottom

    def forward(self, x):
        return self.act(self.conv(F.pad(x, self.padding)))


class Bottleneck(nn.Module):
    """Expand 1×1, depthwise 3×3, project 1×1 without activation; a skip where the shape allows."""

    def __init__(self, in_channels, expansion, out_channels, stride, skip):
        super().__init__()
        self.expand = ConvUnit(in_channels, expansion)
        self.depthwise = ConvUnit(expansion, expansion, 3, stride, groups=expansion)
        self.project = ConvUnit(expansion, out_channels, active=False)
        self.skip = skip

    def forward(self, x):
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.skip else y


class MobileFaceNet(nn.Module):
    """Face picture → identity embedding.

    Convolution units are registered in the order in which they run, which is what the converter relies on.
    """

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            ConvUnit(3, 64, 3, stride=2),  # (B, 64, 56, 56)
            ConvUnit(64, 64, 3, groups=64),
            ConvUnit(64, 64, active=False),
        )
        blocks, channels = [], 64
        for expansion, out_channels, count, stride in STAGES:
            for index in range(count):
                first = index == 0
                skip = not first or (stride == 1 and channels == out_channels)
                blocks.append(Bottleneck(channels, expansion, out_channels, stride if first else 1, skip))
                channels = out_channels
        self.blocks = nn.Sequential(*blocks)  # (B, 128, 7, 7)
        self.head = nn.Sequential(
            ConvUnit(128, 512),
            ConvUnit(512, 512, 7, groups=512, active=False, same=False),  # (B, 512, 1, 1)
            ConvUnit(512, 512, active=False),
            ConvUnit(512, EMBEDDING_SIZE, active=False),
        )

    @classmethod
    def from_file(cls, path: str | os.PathLike) -> "MobileFaceNet":
        """Load converted weights, frozen and in eval mode, on the CPU.

        Args:
            path: safetensors file written by `tools.convert_mobilefacenet`.
        Raises:
            FileNotFoundError: no such file; the message names the command that makes it.
        """
        from safetensors.torch import load_file

        if not Path(path).is_file():
            raise FileNotFoundError(
                f"{path} does not exist; make it with python -m tools.convert_mobilefacenet."
            )
        model = cls()
        model.load_state_dict(load_file(path))
        return model.eval().requires_grad_(False)

    def forward(self, x):
        """(B, 3, 112, 112) sRGB in [-1, 1] → (B, 192), any length; differentiable."""
        if x.shape[1:] != (3, INPUT_SIZE, INPUT_SIZE):
            raise ValueError(f"MobileFaceNet takes (B, 3, {INPUT_SIZE}, {INPUT_SIZE}), not {tuple(x.shape)}.")
        return self.head(self.blocks(self.stem(x * INPUT_SCALE))).flatten(1)

    def features(self, x):
        """A perceptual space: (B, 3, 112, 112) sRGB in [-1, 1] → maps (B, 64, 56, 56), (B, 64, 28, 28) and
        (B, 128, 14, 14)."""
        maps = [self.stem(x * INPUT_SCALE)]
        first, second = STAGES[0][2], STAGES[0][2] + STAGES[1][2] + STAGES[2][2]
        maps.append(self.blocks[:first](maps[-1]))
        maps.append(self.blocks[first:second](maps[-1]))
        return maps

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Identity embedding of upright, frontal, tightly cropped faces.

        Args:
            x: (B, 3, 112, 112) sRGB in [-1, 1]; eyes at about 46 % of the height (ArcFace alignment).
        Returns:
            (B, 192) L2-normalized; the dot product of two is their cosine similarity. Differentiable in `x`.
        """
        return F.normalize(self(x), dim=1)
