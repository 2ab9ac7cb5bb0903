"""Inversion encoder: phone texture and its seen mask → W+, with the statistics of the W+ codes it was trained on.

A `transformers` ResNet backbone looks at the masked texture; one linear head predicts all styles,
as in pixel2style2pixel / e4e (Richardson et al. 2021, Tov et al. 2021), here for partial textures.
This file imports nothing of the package: it is also published on the Hub as remote code.
"""

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import nn
from transformers import ResNetConfig, ResNetModel

MAX_CODE = 3.0  # styles are about 1; an unbounded encoder once ran away in training


class InversionEncoder(ModelMixin, ConfigMixin):
    """Args:
    resolution: side of the input texture in texels.
    num_ws, w_dim: shape of a W+ code.
    embedding_size, hidden_sizes, depths: the ResNet backbone (basic blocks).
    bottleneck: width of the shared code before the W+ head.
    num_components: principal components of the training codes kept as a prior.

    Buffers: `code_mean` (num_ws, w_dim), `code_components` (num_components, num_ws · w_dim) orthonormal rows,
    `code_std` (num_components,), the standard deviation along each component; float32 whatever dtype the rest is cast to.
    """

    @register_to_config
    def __init__(
        self,
        resolution: int = 128,
        num_ws: int = 12,
        w_dim: int = 256,
        embedding_size: int = 32,
        hidden_sizes: tuple[int, ...] = (48, 96, 160, 256),
        depths: tuple[int, ...] = (1, 1, 1, 1),
        bottleneck: int = 512,
        num_components: int = 128,
    ):
        super().__init__()
        self.backbone = ResNetModel(
            ResNetConfig(
                num_channels=4,
                embedding_size=embedding_size,
                hidden_sizes=list(hidden_sizes),
                depths=list(depths),
                layer_type="basic",
                hidden_act="relu",
            )
        )
        self.train()
        side = resolution // 32  # the stem halves twice, three of the four stages once each
        self.neck = nn.Linear(hidden_sizes[-1] * side * side, bottleneck)
        self.head = nn.Linear(bottleneck, num_ws * w_dim)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("code_mean", torch.zeros(num_ws, w_dim))
        self.register_buffer("code_components", torch.zeros(num_components, num_ws * w_dim))
        self.register_buffer("code_std", torch.zeros(num_components))

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, dtype=None, torch_dtype=None, **kwargs):
        """As `ModelMixin.from_pretrained`, but the buffers stay float32 (its own switch for that needs accelerate)."""
        model = super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        return model if (dtype or torch_dtype) is None else nn.Module.to(model, dtype or torch_dtype)

    def _apply(self, fn, recurse=True):
        """Casts move the code statistics but leave them float32; the batch norms' go with their weights."""
        exact = dict(self.named_buffers(recurse=False))
        super()._apply(fn, recurse)
        for name, buffer in exact.items():
            moved = self.get_buffer(name)
            if moved.dtype != buffer.dtype:
                setattr(self, name, buffer.to(moved.device))
        return self

    def train(self, mode=True):
        """Batch statistics stay off: training batches of partial textures are too small and too uneven for them."""
        super().train(mode)
        for module in self.backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    @apply_forward_hook  # CPU offloading watches `forward` only
    def features(self, rgb, seen):
        """Backbone feature maps, coarsest last. rgb (B, 3, R, R) in [-1, 1], seen (B, 1, R, R) in [0, 1]."""
        x = torch.cat([rgb * seen, seen * 2.0 - 1.0], dim=1)
        return self.backbone(x, output_hidden_states=True).hidden_states

    def forward(self, rgb, seen):
        """→ W+ (B, num_ws, w_dim)."""
        x = self.features(rgb, seen)[-1].flatten(1)
        code = self.head(F.leaky_relu(self.neck(x), 0.2))
        code = MAX_CODE * torch.tanh(code / MAX_CODE)
        return code.view(-1, *self.code_mean.shape)

    def sample_codes(self, noise):
        """Draws W+ codes from the Gaussian of the training codes. noise (B, num_components) ~ N(0, I)."""
        offset = (noise.to(self.code_std) * self.code_std) @ self.code_components
        return self.code_mean + offset.view(-1, *self.code_mean.shape)

    def code_distance(self, w_plus):
        """Mean squared distance of W+ (B, num_ws, w_dim) to the training codes' subspace and spread: (B,).

        A component counts by its own standard deviation, but by no less than a tenth of the largest, which also holds
        outside the subspace: few training textures say little about the narrow directions.
        """
        offset = (w_plus - self.code_mean).flatten(1)  # (B, D)
        coordinates = offset @ self.code_components.t()  # (B, K)
        outside = offset.square().sum(1) - coordinates.square().sum(1)
        floor = (0.1 * self.code_std[0]).clamp_min(1e-4)
        std = torch.maximum(self.code_std, floor)
        return ((coordinates / std).square().sum(1) + outside / floor.square()) / offset.shape[1]
