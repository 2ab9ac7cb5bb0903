"""Random numbers for captures that are made on the device."""

import functools
import random

import torch
import torch.nn.functional as F


class Draw:
    """Random tensors from a generator of the device; single decisions from Python's own, so that none waits for it.

    The same seed gives the same numbers on the same kind of device.
    """

    def __init__(self, seed: int, device):
        self.device = torch.device(device)
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.choices = random.Random(seed)

    def uniform(self, *shape, low=0.0, high=1.0):
        return low + (high - low) * torch.rand(*shape, generator=self.generator, device=self.device)

    def normal(self, *shape):
        return torch.randn(*shape, generator=self.generator, device=self.device)

    def chance(self, probability, *shape):
        """Bools that are true with `probability`."""
        return self.uniform(*shape) < probability

    def integers(self, high, *shape):
        """From 0 to `high` - 1."""
        return torch.randint(high, shape, generator=self.generator, device=self.device)

    def rows(self, high, count):
        """(count,) row numbers below `high`, on the CPU."""
        return torch.tensor([self.choices.randrange(high) for _ in range(count)])

    def smooth(self, batch, size, cells):
        """Smooth noise (B, 1, size, size), about N(0, 1), with features of a `cells`-th of the width."""
        nodes = self.normal(batch, 1, cells, cells)
        return 1.3 * F.interpolate(nodes, size=(size, size), mode="bicubic", align_corners=False)


def blur(image, sigma):
    """Gaussian blur of (B, C, H, W) with the edges replicated; `sigma` in texels.

    A product with two band matrices: on CPUs ten times as fast as a convolution of each channel with a row and a column.
    """
    if sigma < 0.2:
        return image
    rows, columns = (_band(side, sigma, image.device, image.dtype) for side in image.shape[-2:])
    return rows @ (image @ columns.T)


@functools.lru_cache(maxsize=64)
def _band(side: int, sigma: float, device, dtype) -> torch.Tensor:
    """(side, side), rows of Gaussian weights around the diagonal; what falls beyond an end counts for the end."""
    radius = max(int(2.5 * sigma + 0.5), 1)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    columns = (torch.arange(side)[:, None] + offsets.long()).clamp(0, side - 1)
    band = torch.zeros(side, side, dtype=torch.float64)
    band.scatter_add_(1, columns, (weights / weights.sum()).expand(side, -1))
    return band.to(device, dtype)
