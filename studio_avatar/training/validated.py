"""Captures of validation people, who are in no training, in rooms and under held-out light: they choose among weights."""

import copy

import torch
from torch import nn

from studio_avatar.data.prepare.pack import Pack

from .datasets import to_float, to_mask


class ValidatedCaptures:
    """The pack's, on a device; there may be none.

    phone, visibility: `size` texels a side, and scene, as a tone estimator takes them. lab: (N, 3) L*a*b* of the truth.
    """

    def __init__(self, pack: Pack, size: int, device):
        self.lab = torch.zeros(0, 3)
        if pack.facts.get("validated"):
            self.phone = to_float(pack.images("validated", size).to(device))
            self.visibility = to_mask(pack.images("validated_seen", size).to(device))[:, None]
            self.scene = pack.tensor("validated_scenes").to(device)
            self.lab = pack.tensor("validated_labs").to(device)

    def __len__(self):
        return len(self.lab)

    @torch.no_grad()
    def estimates(self, net):
        """(estimate, its standard deviation, truth), (N, 3) L*a*b* each."""
        return *net.estimate(self.phone, self.visibility, self.scene), self.lab


class Best(nn.Module):
    """The network with the smallest error so far; saved with the rest of a run."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = copy.deepcopy(net).requires_grad_(False)
        self.register_buffer("error", torch.tensor(torch.inf))

    def consider(self, net: nn.Module, error: torch.Tensor) -> None:
        if error < self.error:
            self.net.load_state_dict(net.state_dict())
            self.error.copy_(error)
