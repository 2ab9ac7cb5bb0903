"""HairSegmenter: a picture of a head → where its hair is.

The network of MediaPipe's hair segmentation (Tkachenka et al. 2019, arXiv 1907.06740), an hourglass of bottlenecks whose
max pools hand the places of their maxima to the unpooling on the way up. The weights are Google's (Apache-2.0), converted by
`python -m tools.convert_hair_segmenter`; batch normalisation is folded into the convolutions.
This file imports nothing of the package: it is also published on the Hub as remote code.
"""

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn

HAIR = 1  # of the two classes
# (kind, dilation or kernel size) of the bottlenecks at the narrowest place
MIDDLE = (
    ("depthwise", 3), ("dilated", 2), ("wide", 5), ("dilated", 4), ("depthwise", 3), ("dilated", 8),
    ("depthwise", 3), ("dilated", 2), ("wide", 5), ("dilated", 4), ("depthwise", 3), ("dilated", 8),
)  # fmt: skip


def _conv(inside, outside, size=1, dilation=1, groups=1, stride=1):
    padding = dilation * (size // 2) if stride == 1 else 0
    return nn.Conv2d(inside, outside, size, stride, padding, dilation, groups)


def _pair(width):
    """Two depthwise convolutions with a mixing one in between."""
    return [
        _conv(width, width, 3, groups=width), _conv(width, width), nn.PReLU(width),
        _conv(width, width, 3, groups=width), nn.PReLU(width),
    ]  # fmt: skip


class DoublingConv(nn.ConvTranspose2d):
    """Transposed convolution of stride 2 with TensorFlow's "same" padding: what lies beyond the end is cut off."""

    def forward(self, x):
        return super().forward(x)[..., : 2 * x.shape[-2], : 2 * x.shape[-1]]


class Bottleneck(nn.Module):
    """act(x + widen(kind of convolution(narrow(x)))); with `merge`, x is brought to `outside` channels first."""

    def __init__(self, inside, middle, kind, size=3, outside=None):
        super().__init__()
        outside = outside or inside
        if kind == "depthwise":
            inner = _pair(middle)
        elif kind == "wide":
            inner = [_conv(middle, middle, size, groups=middle), _conv(middle, middle), nn.PReLU(middle)]
        else:
            inner = [_conv(middle, middle, 3, dilation=size if kind == "dilated" else 1), nn.PReLU(middle)]
        self.path = nn.Sequential(_conv(inside, middle), nn.PReLU(middle), *inner, _conv(middle, outside))
        self.skip = _conv(inside, outside) if outside != inside else nn.Identity()
        self.act = nn.PReLU(outside)

    def forward(self, x):
        return self.act(self.path(x) + self.skip(x))


class Down(nn.Module):
    """Halves the side; also returns where the maxima of 2×2 were."""

    def __init__(self, inside, middle, outside):
        super().__init__()
        self.path = nn.Sequential(
            _conv(inside, middle, 2, stride=2), nn.PReLU(middle), *_pair(middle), _conv(middle, outside)
        )
        self.skip = _conv(inside, outside) if outside != inside else nn.Identity()
        self.act = nn.PReLU(outside)

    def forward(self, x):
        largest, places = F.max_pool2d(x, 2, return_indices=True)
        return self.act(self.path(x) + self.skip(largest)), places


class Up(nn.Module):
    """Doubles the side; values of the skip go to where the maxima were."""

    def __init__(self, inside, middle, outside):
        super().__init__()
        self.narrow = nn.Sequential(
            _conv(inside, middle),
            nn.PReLU(middle),
            DoublingConv(middle, middle, 3, stride=2),
            nn.PReLU(middle),
        )
        self.skip = _conv(inside, outside)
        self.widen = _conv(middle, outside)
        self.act = nn.PReLU(outside)

    def forward(self, x, places):
        return self.act(self.widen(self.narrow(x)) + F.max_unpool2d(self.skip(x), places, 2))


class HairSegmenter(ModelMixin, ConfigMixin):
    """Layers are registered in the order in which they run, which is what the converter relies on.

    Args:
        resolution: side of the picture that the network was trained on, pixels.
    """

    @register_to_config
    def __init__(self, resolution: int = 512):
        super().__init__()
        self.stem = nn.Sequential(
            _conv(4, 8, 2, stride=2), nn.PReLU(8), _conv(8, 32, 2, stride=2), nn.PReLU(32)
        )
        self.down1 = Down(32, 16, 64)
        self.level1 = nn.Sequential(*[Bottleneck(64, 16, "depthwise") for _ in range(2)])
        self.down2 = Down(64, 32, 128)
        self.level2 = nn.Sequential(*[Bottleneck(128, 16, "depthwise") for _ in range(4)])
        self.down3 = Down(128, 16, 128)
        self.middle = nn.Sequential(
            *[Bottleneck(128, 8, kind, size) for kind, size in MIDDLE], Bottleneck(128, 4, "plain")
        )
        self.up3 = Up(128, 8, 128)
        self.merge2 = Bottleneck(256, 8, "plain", outside=128)
        self.up2 = Up(128, 8, 64)
        self.merge1 = Bottleneck(128, 4, "plain", outside=64)
        self.up1 = Up(64, 4, 32)
        self.last = Bottleneck(32, 4, "plain")
        self.grow = nn.Sequential(
            DoublingConv(32, 8, 2, stride=2), nn.PReLU(8), DoublingConv(8, 2, 2, stride=2)
        )

    def forward(self, rgb, previous=None):
        """rgb (B, 3, R, R) sRGB in [0, 1], previous (B, 1, R, R) the hair of the frame before, 0 if None → logits
        (B, 2, R, R) of background and hair. R is a multiple of 32."""
        if previous is None:
            previous = torch.zeros_like(rgb[:, :1])
        start = self.stem(torch.cat([rgb, previous], 1))
        one, places1 = self.down1(start)
        two, places2 = self.down2(self.level1(one))
        x, places3 = self.down3(self.level2(two))
        x = self.up3(self.middle(x), places3)
        x = self.up2(self.merge2(torch.cat([x, two], 1)), places2)
        x = self.up1(self.merge1(torch.cat([x, one], 1)), places1)
        return self.grow(self.last(x))

    @torch.no_grad()
    def segment(self, picture: np.ndarray) -> np.ndarray:
        """How much of every pixel is hair.

        Args:
            picture: (H, W, 3) uint8 sRGB, upright, a head or a head and shoulders.
        Returns:
            (H, W) float32 in [0, 1].
        """
        height, width = picture.shape[:2]
        parameter = next(self.parameters())
        rgb = torch.from_numpy(np.array(picture)).to(parameter.device).permute(2, 0, 1)[None]
        side = self.config.resolution
        rgb = F.interpolate(
            rgb.float() / 255, (side, side), mode="bilinear", antialias=True, align_corners=False
        )
        hair = self(rgb.to(parameter.dtype)).float().softmax(1)[:, HAIR : HAIR + 1]
        whole = F.interpolate(hair, (height, width), mode="bilinear", antialias=True, align_corners=False)
        return whole[0, 0].clamp(0, 1).cpu().numpy()
