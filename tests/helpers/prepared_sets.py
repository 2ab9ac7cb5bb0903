"""Prepared sets as small as training takes them, and settings for networks as small."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

TINY_PHONE = """
phone: {steps: %d, batch_size: 4, resolution: 64, w_dim: 8, generator_channels: [8, 8, 8, 8, 8],
        discriminator_channels: [8, 8, 8, 8, 8], adversarial_interval: 2, num_components: 4,
        code_learning_rate: 0.05, preview_steps: 1000, checkpoint_minutes: 0}
"""


def write_prepared_sets(folder: Path) -> Path:
    """Smooth colored 'faces' of 64 texels, one side unseen; what captures ought to have shown is half as bright."""
    generator = torch.Generator().manual_seed(0)
    for name, count in (("portraits", 9), ("captures", 4), ("texel_captures", 4), ("studio_augmented", 5)):
        colors = torch.rand(count, 1, 1, 3, generator=generator)
        rgb = (colors * torch.linspace(0.3, 1, 64).view(1, 64, 1, 1)).expand(-1, -1, 64, -1)
        seen = torch.full((count, 64, 64), 255, dtype=torch.uint8)
        seen[:, :, :16] = 0
        arrays = {"rgb": (rgb * 255).to(torch.uint8).contiguous(), "seen": seen}
        if "captures" in name:
            arrays["target"] = arrays["rgb"] // 2
        save_file(arrays, folder / f"{name}.safetensors")
        splits = ["train"] * (count - 2) + ["validation", "held_out"]
        items = [{"id": f"{name}{i}", "split": split} for i, split in enumerate(splits)]
        (folder / f"{name}.json").write_text(json.dumps({"items": items}))
    return folder
