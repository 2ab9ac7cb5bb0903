"""Random numbers for captures that are made on the device."""

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
    """Gaussian blur of (B, C, H, W) with the edges replicated; `sigma` in texels."""
    if sigma < 0.2:
        return image
    radius = max(int(2.5 * sigma + 0.5), 1)
    offsets = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, -1, 1).expand(image.shape[1], -1, -1, -1)
    image = F.conv2d(F.pad(image, (0, 0, radius, radius), mode="replicate"), kernel, groups=image.shape[1])
    across = kernel.transpose(2, 3)
    return F.conv2d(F.pad(image, (radius, radius, 0, 0), mode="replicate"), across, groups=image.shape[1])
