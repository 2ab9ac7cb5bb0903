"""A critic of patches that learns beside a network what its textures lack (Isola et al. 2017, hinge loss)."""

import torch
import torch.nn.functional as F

from .budget import descend, mixed_precision
from .networks import PatchDiscriminator

RISE = 0.2  # share of the schedule over which its weight rises
AHEAD = 0.05  # of the schedule: so much earlier it begins to learn


class Adversary:
    """Args:
    weight: of its answer in the loss. begin: share of the schedule from which on it counts; 1 or more: never.
    """

    def __init__(self, weight: float, begin: float, device):
        self.weight, self.begin, self.device = weight, begin, device
        self.critic = PatchDiscriminator().to(device)
        self.optimizer = torch.optim.Adam(self.critic.parameters(), lr=3e-4, betas=(0.0, 0.95))

    def answer(self, texture, visibility, progress: float):
        """What it says of made textures (B, 3, H, W) in [-1, 1], weighted: a term of the loss. visibility: (B, 1, H, W)."""
        since = progress - self.begin
        if since <= 0:
            return 0.0
        with mixed_precision(self.device):
            answer = -self.critic(texture, visibility).float().mean()
        return self.weight * min(since / RISE, 1.0) * answer

    def learn(self, real, made, visibility, progress: float) -> None:
        """One step of its own, on true and made textures."""
        if progress <= self.begin - AHEAD:
            return
        with mixed_precision(self.device):
            answers = self.critic(real, visibility).float(), self.critic(made.detach(), visibility).float()
        loss = F.relu(1 - answers[0]).mean() + F.relu(1 + answers[1]).mean()
        descend(self.optimizer, loss, max_norm=None)
