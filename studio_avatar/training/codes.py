"""W+ codes of the phone set: the encoder's, and what refinement adds to each (Athar et al. 2024, §3.1)."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save

from studio_avatar.errors import InvalidInputError
from studio_avatar.imaging.files import write_atomically

from .datasets import to_float, to_mask

RESIDUALS_FILE = "residuals.safetensors"


def save_residuals(residuals: torch.Tensor, phone: Path) -> None:
    """Writes (2N, num_ws, w_dim) float32 into the run folder of stage 1; row 2i + mirrored belongs to texture i."""
    write_atomically(phone / RESIDUALS_FILE, save({"codes": residuals.contiguous()}))


def load_residuals(phone: Path) -> torch.Tensor:
    """What `save_residuals` wrote.

    Raises:
        InvalidInputError: nothing is there.
    """
    path = phone / RESIDUALS_FILE
    if not path.exists():
        raise InvalidInputError(
            f"{path} is missing: the stage phone writes it; for published weights run "
            "`python -m studio_avatar.training refine_codes`."
        )
    return load_file(path)["codes"]


@torch.no_grad()
def encoder_codes(encoder, textures):
    """The encoder's W+ codes of phone textures and their mirrors, (2N, num_ws, w_dim) on the CPU: row 2i + mirrored."""
    device = encoder.code_mean.device
    codes = torch.empty(2 * len(textures), *encoder.code_mean.shape)
    for rows in torch.arange(len(textures)).split(32):
        rgb, seen = to_float(textures.rgb[rows]), to_mask(textures.seen[rows])
        for side, images in enumerate(((rgb, seen), (rgb.flip(-1), seen.flip(-1)))):
            codes[rows * 2 + side] = encoder(*(image.to(device) for image in images)).cpu()
    return codes


def phone_codes(encoder, textures, residuals):
    """The same as refined in stage 1."""
    return encoder_codes(encoder, textures) + residuals
