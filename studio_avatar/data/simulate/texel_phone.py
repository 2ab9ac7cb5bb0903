"""Phone cameras for captures made in texture space: exposure, white balance, tone curve, and what the picture loses."""

import dataclasses
import math

import torch

from studio_avatar.imaging.color import LUMA
from studio_avatar.imaging.ramps import steeper
from studio_avatar.pipeline.skin_tone import linear_to_srgb

from .draw import Draw, blur

CURVES = 5  # families of tone curves; the last is held out unless asked for
DIM = 0.12  # share of captures in so little light that noise is plainly seen
UNDER = 0.1  # share of captures that are far under: dim rooms, windows behind
UNDER_STOPS = (-2.5, -1.0)  # by how much, here and in rendered captures
FACE_LEVELS = (0.012, 1.1)  # linear: no phone loses the face altogether


@dataclasses.dataclass(frozen=True)
class Development:
    """How a phone turns linear light into a picture; one row a capture.

    gain: (B, 3), exposure times white balance. curve: (B,) on the CPU, number of a `tone_curve`. strength, lift: (B, 1) in
    [0, 1], the curve's parameters. saturation: (B, 1), 1 leaves colors as they are, 0 is a gray picture.
    """

    gain: torch.Tensor
    curve: torch.Tensor
    strength: torch.Tensor
    lift: torch.Tensor
    saturation: torch.Tensor

    def __call__(self, linear):
        """Linear light (B, 3, …) → sRGB in [0, 1]."""

        def as_column(values):
            return values.view(len(linear), -1, *(1,) * (linear.dim() - 2))

        strength, lift = as_column(self.strength), as_column(self.lift)
        encoded = tone_curve(linear * as_column(self.gain), self.curve, strength, lift)
        luma = torch.tensor(LUMA, device=linear.device).view(1, 3, *(1,) * (linear.dim() - 2))
        gray = (encoded * luma).sum(1, keepdim=True)
        return (gray + as_column(self.saturation) * (encoded - gray)).clamp(0, 1)


def sample_development(face, albedo, behind, draw: Draw, held_out_curve: bool = False) -> Development:
    """A phone that meters face and scene.

    Args:
        face: (B, 3) mean linear light that the face reflects. albedo: (B, 3) its mean reflectance. behind: (B, 3) mean
        radiance around the head. held_out_curve: take the tone curve that training never sees.
    """
    batch = len(face)
    gain = _exposure(face, albedo, behind, draw) * _white_balance(face / albedo.clamp_min(0.01), draw)
    curve = torch.full((batch,), CURVES - 1) if held_out_curve else draw.rows(CURVES - 1, batch)
    strength, lift = draw.uniform(batch, 1), draw.uniform(batch, 1)
    saturation = draw.uniform(batch, 1, low=0.7, high=1.3)
    saturation = torch.where(draw.chance(0.01, batch, 1), torch.zeros_like(saturation), saturation)
    return Development(gain, curve, strength, lift, saturation)


def _exposure(face, albedo, behind, draw):
    """(B, 1). Phones meter the face, the scene, or both, make dark skin brighter by more or less, and err."""
    batch, luma = len(face), torch.tensor(LUMA, device=face.device)
    scene_share = draw.uniform(batch, 1) * draw.chance(0.6, batch, 1)
    kept = draw.uniform(batch, 1, low=0.25, high=1.0)
    wanted = draw.uniform(batch, 1, low=0.22, high=0.5) * ((albedo @ luma)[:, None] / 0.3) ** (kept * 0.6)
    metered = (face @ luma)[:, None].clamp_min(1e-4)
    of_scene = 0.3 / (behind @ luma)[:, None].clamp_min(1e-3)
    exposure = (wanted / metered) ** (1 - scene_share) * of_scene**scene_share
    error = torch.exp(0.35 * draw.normal(batch, 1))
    stops = 2.0 ** draw.uniform(batch, 1, low=-2.2, high=2.0)
    error = torch.where(draw.chance(0.15, batch, 1), stops, error)
    under = 2.0 ** draw.uniform(batch, 1, low=UNDER_STOPS[0], high=UNDER_STOPS[1])
    error = torch.where(draw.chance(UNDER, batch, 1), under, error)
    return (metered * exposure * error).clamp(*FACE_LEVELS) / metered


def _white_balance(arriving, draw):
    """(B, 3) that takes back most of the color of the light `arriving` (B, 3), and is off by a little."""
    batch, gray = len(arriving), arriving.mean(1, keepdim=True)
    balance = (arriving / gray) ** -draw.uniform(batch, 1, low=0.35, high=1.0)
    balance = balance * torch.exp(0.03 * draw.normal(batch, 3))
    shift = draw.normal(batch, 1) * 0.12 * draw.chance(0.4, batch, 1)
    return balance * torch.exp(torch.cat([shift, 0 * shift, -shift], 1))


def tone_curve(x, curve, strength, lift):
    """Linear light (B, …) → encoded, in [0, 1].

    curve: (B,) on the CPU: 0 contrast, 1 gamma, 2 HDR roll-off, 3 flat like a log profile, 4 filmic (held out).
    strength, lift: (B, …) in [0, 1], broadcastable to `x`.
    """
    out = torch.empty_like(x)
    for number, encode in enumerate((_contrast, _gamma, _rolled, _flat, _filmic)):
        rows = (curve == number).nonzero()[:, 0]
        if len(rows):
            out[rows] = encode(x[rows], strength[rows], lift[rows])
    return out.clamp(0, 1)


def _with_shoulder(x):
    return linear_to_srgb(
        torch.where(x > 0.75, 0.75 + 0.25 * torch.tanh((x - 0.75) / 0.25 * 0.75), x).clamp(0, 1)
    )


def _contrast(x, strength, _lift):
    return steeper(_with_shoulder(x), 0.9 * strength - 0.15)


def _gamma(x, strength, _lift):
    return _with_shoulder(x).clamp_min(1e-4) ** (0.75 + 0.5 * strength)


def _rolled(x, strength, _lift):
    return linear_to_srgb((x * (1 + x / 9) / (1 + x)).clamp(0, 1) * (1.15 + 0.4 * strength))


def _flat(x, strength, lift):
    """Half the contrast; a log profile, which is rare, above a lift of 0.9."""
    log = torch.log1p(60 * x.clamp_min(0)) / math.log(61) * (0.75 + 0.2 * strength) + 0.08 * lift
    return torch.where(lift > 0.9, log, torch.lerp(_with_shoulder(x), _contrast(x, strength, lift), 0.5))


def _filmic(x, _strength, _lift):
    y = x * 0.6
    return linear_to_srgb(((y * (2.51 * y + 0.03)) / (y * (2.43 * y + 0.59) + 0.14)).clamp(0, 1))


def grain(picture, draw: Draw):
    """What noise adds to pictures (B, 3, R, R) in [0, 1]: little, but strong and colored in dim light."""
    batch, size = len(picture), picture.shape[-1]
    fine = (draw.normal(batch, 1, size, size) * 0.7).repeat(1, 3, 1, 1)
    is_dim = torch.tensor([draw.choices.random() < DIM for _ in range(batch)])
    colors = int(is_dim.sum())
    fine[is_dim] += draw.uniform(colors, 1, 1, 1) * draw.normal(colors, 3, size, size)
    coarse = blur(draw.normal(batch, 3, size, size), 1.2) * 1.5
    usual = draw.uniform(batch, 1, 1, 1) ** 3 * 0.035 + 0.003
    level = torch.where(
        is_dim.view(-1, 1, 1, 1).to(usual.device), draw.uniform(batch, 1, 1, 1, low=0.02, high=0.07), usual
    )
    return (fine + coarse) * level * (1.2 - picture.mean(1, keepdim=True)) ** 2


def degrade(picture, draw: Draw):
    """Blur, beauty smoothing, grain and sharpening of pictures (B, 3, R, R) in [0, 1]."""
    batch, size = len(picture), picture.shape[-1]
    scale = size / 512
    picture = torch.lerp(picture, blur(picture, 1.3 * scale), draw.uniform(batch, 1, 1, 1) ** 2)
    smooth = blur(picture, 4 * scale)
    no_edge = torch.exp(-(((picture - smooth).abs().amax(1, keepdim=True) / 0.06) ** 2))
    beauty = draw.uniform(batch, 1, 1, 1) * draw.chance(0.12, batch, 1, 1, 1)
    picture = torch.lerp(picture, torch.lerp(picture, smooth, no_edge), beauty)
    picture = picture + grain(picture, draw)
    sharpening = draw.uniform(batch, 1, 1, 1, low=0.0, high=0.7) * draw.chance(0.6, batch, 1, 1, 1)
    return (picture + sharpening * (picture - blur(picture, 1.2 * scale))).clamp(0, 1)
