"""Networks of diffusers as the stages start them."""

import torch
from diffusers import UNet2DModel


def build_unet(channels, inputs: int, patch: int):
    """Image-to-image UNet on space-to-depth patches of `inputs` channels; three channels out, zero at the start."""
    levels = len(channels)
    unet = UNet2DModel(
        in_channels=inputs * patch**2,
        out_channels=3 * patch**2,
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
