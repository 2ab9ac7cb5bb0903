"""StyleGAN2 generator, skip architecture, in plain PyTorch.

Written from the published equations: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN",
CVPR 2020 (weight demodulation eq. 1-3, skip generator fig. 7) and "A Style-Based Generator Architecture", CVPR 2019
(mapping network, per-pixel noise). Weights map one to one to the official layout (`stylegan2_convert.py`).
This file imports nothing of the package: it is also published on the Hub as remote code.

    z (B, z_dim) ── mapping ──► w (B, w_dim) ── broadcast / edit ──► W+ (B, num_ws, w_dim) ── synthesize ──► (B, 3, R, R)
"""

import math

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import nn

LEAKY_SLOPE = 0.2
LEAKY_GAIN = math.sqrt(2.0)  # keeps the variance through a leaky ReLU


def leaky_relu(x):
    return F.leaky_relu(x, LEAKY_SLOPE) * LEAKY_GAIN


def fir_kernel(taps=(1.0, 3.0, 3.0, 1.0)):
    """Separable binomial low-pass, (4, 4), sums to one."""
    taps = torch.tensor(taps)
    kernel = torch.outer(taps, taps)
    return kernel / kernel.sum()


def upsample_image(image, kernel):
    """(B, C, H, W) → (B, C, 2H, 2W), zero insertion and low-pass as one depthwise transposed convolution."""
    channels = image.shape[1]
    weight = (kernel * 4.0).to(image.dtype).expand(channels, 1, -1, -1)
    return F.conv_transpose2d(image, weight, stride=2, padding=1, groups=channels)


class EqualizedLinear(nn.Module):
    """Linear layer with equalised learning rate: the He constant is applied at run time."""

    def __init__(self, in_features, out_features, bias_init=0.0, lr_multiplier=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), float(bias_init)) / lr_multiplier)
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier

    def forward(self, x):
        return F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)


class MappingNetwork(nn.Module):
    """z (B, z_dim) ~ N(0, I) → w (B, w_dim)."""

    def __init__(self, z_dim, w_dim, num_layers, lr_multiplier=0.01):
        super().__init__()
        widths = [z_dim] + [w_dim] * num_layers
        self.layers = nn.ModuleList(
            EqualizedLinear(a, b, lr_multiplier=lr_multiplier) for a, b in zip(widths[:-1], widths[1:])
        )
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z):
        x = z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)  # (B, z_dim) on the hypersphere
        for layer in self.layers:
            x = leaky_relu(layer(x))
        return x


class ModulatedConv(nn.Module):
    """Convolution whose input channels are scaled by a style; demodulated to unit variance (CVPR 2020, eq. 1-3).

    Scaling the activations instead of the weights gives the same result and keeps one ordinary convolution
    for the whole batch, which is what CPUs are fast at.
    """

    def __init__(self, in_channels, out_channels, kernel_size, w_dim, demodulate=True, upsample=False):
        super().__init__()
        self.affine = EqualizedLinear(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.gain = 1.0 / math.sqrt(in_channels * kernel_size**2)
        self.demodulate = demodulate
        self.upsample = upsample

    def forward(self, x, w, kernel=None):
        """x (B, in, H, W), w (B, w_dim) → feature maps before demodulation, and the demodulation factors (B, out)."""
        weight = self.weight * self.gain
        style = self.affine(w)  # (B, in)
        x = x * style[:, :, None, None]
        if self.upsample:
            channels = weight.shape[0]
            x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # (B, out, 2H + 1, 2W + 1)
            x = F.conv2d(
                x, (kernel * 4.0).to(x.dtype).expand(channels, 1, -1, -1), padding=1, groups=channels
            )
        else:
            x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        if not self.demodulate:
            return x, None
        energy = style.square() @ weight.square().sum(dim=(2, 3)).t()  # (B, out)
        return x, torch.rsqrt(energy + 1e-8)


class SynthesisLayer(nn.Module):
    """Modulated 3×3 convolution, noise, bias, leaky ReLU."""

    def __init__(self, in_channels, out_channels, w_dim, resolution, upsample=False):
        super().__init__()
        self.conv = ModulatedConv(in_channels, out_channels, 3, w_dim, upsample=upsample)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))

    def forward(self, x, w, kernel, noise_mode):
        x, demodulation = self.conv(x, w, kernel)
        # The leaky ReLU is positively homogeneous: its gain is applied to the small factors, not to the large maps.
        shift = self.bias[:, None, None] * LEAKY_GAIN  # (C, 1, 1)
        if noise_mode == "random":
            noise = torch.randn(x.shape[0], 1, *x.shape[2:], device=x.device, dtype=x.dtype)
            shift = shift + noise * (self.noise_strength * LEAKY_GAIN)
        elif noise_mode == "const":
            shift = shift + self.noise_const.to(x.dtype) * (self.noise_strength * LEAKY_GAIN)
        scale = demodulation[:, :, None, None] * LEAKY_GAIN
        return F.leaky_relu(torch.addcmul(shift, x, scale), LEAKY_SLOPE)


class ToRGB(nn.Module):
    """Modulated 1×1 convolution to colour, not demodulated."""

    def __init__(self, in_channels, w_dim):
        super().__init__()
        self.conv = ModulatedConv(in_channels, 3, 1, w_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x, w):
        rgb, _ = self.conv(x, w)
        return rgb + self.bias[:, None, None]


class SynthesisBlock(nn.Module):
    """One resolution: (up-sampling) layer, layer, to-RGB. The 4×4 block starts from the learned constant."""

    def __init__(self, in_channels, out_channels, w_dim, resolution):
        super().__init__()
        self.is_first = in_channels == 0
        if self.is_first:
            self.const = nn.Parameter(torch.randn(out_channels, resolution, resolution))
        else:
            self.conv0 = SynthesisLayer(in_channels, out_channels, w_dim, resolution, upsample=True)
        self.conv1 = SynthesisLayer(out_channels, out_channels, w_dim, resolution)
        self.torgb = ToRGB(out_channels, w_dim)
        self.num_convs = 1 if self.is_first else 2

    def forward(self, x, image, ws, kernel, noise_mode):
        """ws (B, num_convs + 1, w_dim): one style per layer; the last one colours and is shared with the next block."""
        if self.is_first:
            x = self.const.expand(ws.shape[0], -1, -1, -1)
        else:
            x = self.conv0(x, ws[:, 0], kernel, noise_mode)
        x = self.conv1(x, ws[:, self.num_convs - 1], kernel, noise_mode)
        rgb = self.torgb(x, ws[:, self.num_convs])
        return x, rgb if image is None else upsample_image(image, kernel) + rgb


class StyleGAN2Generator(ModelMixin, ConfigMixin):
    """StyleGAN2 texture generator.

    Args:
        resolution: side of the square output in texels, a power of two ≥ 8.
        z_dim, w_dim: widths of the latent spaces.
        num_mapping_layers: depth of the mapping network.
        channels: feature maps at 4², 8², … up to `resolution`.

    Buffers (float32 whatever dtype the parameters are cast to): `w_avg`, the filter `kernel`, the noise maps `noise_const`.
    """

    @register_to_config
    def __init__(
        self,
        resolution: int = 128,
        z_dim: int = 256,
        w_dim: int = 256,
        num_mapping_layers: int = 4,
        channels: tuple[int, ...] = (192, 192, 192, 128, 96, 48),
    ):
        super().__init__()
        resolutions = [2**i for i in range(2, int(math.log2(resolution)) + 1)]
        if resolutions[-1] != resolution or len(channels) != len(resolutions):
            raise ValueError(
                f"resolution must be a power of two with one entry of `channels` per level from 4² up: "
                f"got resolution {resolution} and {len(channels)} channel counts."
            )
        self.mapping = MappingNetwork(z_dim, w_dim, num_mapping_layers)
        self.blocks = nn.ModuleDict(
            {
                str(r): SynthesisBlock(channels[i - 1] if i else 0, channels[i], w_dim, r)
                for i, r in enumerate(resolutions)
            }
        )
        self.register_buffer("kernel", fir_kernel())
        self.num_ws = sum(block.num_convs for block in self.blocks.values()) + 1

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, dtype=None, torch_dtype=None, **kwargs):
        """As `ModelMixin.from_pretrained`, but the buffers stay float32 (its own switch for that needs accelerate)."""
        model = super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        return model if (dtype or torch_dtype) is None else nn.Module.to(model, dtype or torch_dtype)

    def _apply(self, fn, recurse=True):
        """Casts move the buffers but leave them float32."""
        exact = dict(self.named_buffers())
        super()._apply(fn, recurse)
        for name, buffer in exact.items():
            owner, _, leaf = name.rpartition(".")
            moved = self.get_buffer(name)
            if moved.dtype != buffer.dtype:
                setattr(self.get_submodule(owner), leaf, buffer.to(moved.device))
        return self

    def style_vectors(self, z, truncation=1.0):
        """z (B, z_dim) → W+ (B, num_ws, w_dim), all rows equal. `truncation` < 1 pulls towards the mean style."""
        w = self.mapping(z)
        w = torch.lerp(self.mapping.w_avg.to(w.dtype), w, truncation)
        return w[:, None].expand(-1, self.num_ws, -1)

    @apply_forward_hook  # CPU offloading watches `forward` only
    def synthesize(self, w_plus, noise_mode="const"):
        """W+ (B, num_ws, w_dim) in any float dtype → texture (B, 3, R, R), sRGB-encoded, nominally in [-1, 1] (not clamped).

        noise_mode: "const" (fixed noise, deterministic), "random" or "none".
        """
        if noise_mode not in ("const", "random", "none"):
            raise ValueError(f"noise_mode must be 'const', 'random' or 'none', not {noise_mode!r}.")
        if w_plus.ndim != 3 or w_plus.shape[1:] != (self.num_ws, self.config.w_dim):
            raise ValueError(
                f"w_plus must have shape (B, {self.num_ws}, {self.config.w_dim}), not {tuple(w_plus.shape)}."
            )
        w_plus = w_plus.to(self.dtype)
        x = image = None
        index = 0
        for block in self.blocks.values():
            ws = w_plus[:, index : index + block.num_convs + 1]
            x, image = block(x, image, ws, self.kernel, noise_mode)
            index += block.num_convs
        return image

    def forward(self, z, truncation=1.0, noise_mode="const"):
        return self.synthesize(self.style_vectors(z, truncation), noise_mode)
