"""Networks that only training makes: UNets of diffusers as the stages start them, means of trained ones, and a critic of
patches."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from diffusers import UNet2DModel
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from studio_avatar.errors import InvalidInputError


@torch.no_grad()
def mean_parameters(networks: Sequence[nn.Module], shares: Sequence[float] | None = None) -> nn.Module:
    """The first network with the mean of the parameters of all by their shares, which are divided by their sum; buffers are
    the first's. None: equal shares.

    What began as one network has a mean that is often better than any of them (model soups: Wortsman et al. 2022).

    Raises:
        InvalidInputError: shares are not positive, or the networks are not of one shape.
    """
    shares = shares or [1.0] * len(networks)
    if min(shares) < 0 or sum(shares) <= 0:
        raise InvalidInputError("Shares must be positive, such as 0.7 and 0.3.")
    shapes = [[(name, p.shape) for name, p in network.named_parameters()] for network in networks]
    if any(shape != shapes[0] for shape in shapes):
        raise InvalidInputError("The networks are not of one shape: they have no mean.")
    weights = [share / sum(shares) for share in shares]
    for parts in zip(*(network.parameters() for network in networks), strict=True):
        parts[0].copy_(sum(weight * part for weight, part in zip(weights, parts, strict=True)))
    return networks[0]


def build_unet(
    channels, inputs: int, patch: int, outputs: int = 3, sample_size: int | None = None, start: str = ""
):
    """Image-to-image UNet on space-to-depth patches of `inputs` channels; `outputs` channels out, zero at the start.

    sample_size: side in patches of the pictures it is for, where it is for one size.
    start: folder of a trained one, which is taken as it is in the place of a new one; empty: none.
    """
    if start:
        return UNet2DModel.from_pretrained(start).float()
    levels = len(channels)
    unet = UNet2DModel(
        sample_size=sample_size,
        in_channels=inputs * patch**2,
        out_channels=outputs * patch**2,
        block_out_channels=tuple(channels),
        down_block_types=("DownBlock2D",) * levels,
        up_block_types=("UpBlock2D",) * levels,
        layers_per_block=1,
        norm_num_groups=16,
        add_attention=False,
    )
    torch.nn.init.zeros_(unet.conv_out.weight)
    torch.nn.init.zeros_(unet.conv_out.bias)
    return unet


class PatchDiscriminator(nn.Module):
    """Tells studio textures from relit ones, patch by patch (Isola et al. 2017), with spectral normalization."""

    def __init__(self, channels: tuple[int, ...] = (32, 64, 128, 192)):
        super().__init__()
        layers, width = [], 16  # four maps on patches of two by two texels
        for out in channels:
            layers += [spectral_norm(nn.Conv2d(width, out, 4, 2, 1)), nn.LeakyReLU(0.2)]
            width = out
        self.net = nn.Sequential(*layers, spectral_norm(nn.Conv2d(width, 1, 3, 1, 1)))

    def forward(self, texture, visibility):
        """Texture (B, 3, H, W) in [-1, 1] and visibility (B, 1, H, W) → logits (B, 1, H / 32, W / 32)."""
        return self.net(F.pixel_unshuffle(torch.cat([texture, visibility], 1), 2))
