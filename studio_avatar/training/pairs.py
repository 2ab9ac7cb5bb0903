"""Simulated pairs: phone texture, seen mask and true studio texture at base size."""

from pathlib import Path

import torch

from .datasets import TextureSet, join, load_textures, mirror, to_float, to_mask
from .loop import Draws, batch_indices


def load_pairs(data: Path, resolution: int, split: str = "train") -> TextureSet:
    """Captures through rendered frames first, then (for training) those made in texture space."""
    captures = load_textures(data / "captures.safetensors", resolution, split)
    if split != "train":
        return captures
    texels = load_textures(data / "texel_captures.safetensors", resolution, split)
    parts = ("rgb", "seen", "target")
    joined = (torch.cat([getattr(one, part) for one in (captures, texels)]) for part in parts)
    return TextureSet(*joined, captures.items + texels.items)


def load_phone_set(data: Path, resolution: int, pairs: int) -> TextureSet:
    """Training portraits and the first of the simulated pairs (as many as there are) as one set, in this order."""
    simulated = load_pairs(data, resolution)
    portraits = load_textures(data / "portraits.safetensors", resolution, "train")
    return join(portraits, simulated.rows(range(min(pairs, len(simulated)))))


def pair_batch(pairs: TextureSet, step: int, config, accelerator):
    """This process's share of batch `step`, half of it mirrored at random: phone, seen, target; on the device."""
    rows = torch.tensor(batch_indices(len(pairs), step, config, accelerator))
    flip = Draws(accelerator).rand(len(rows)) < 0.5
    batch = mirror(
        to_float(pairs.rgb[rows]), to_mask(pairs.seen[rows]), to_float(pairs.target[rows]), flip=flip
    )
    return tuple(part.to(accelerator.device) for part in batch)
