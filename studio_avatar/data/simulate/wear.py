"""What hides skin in captures made in texture space: glasses, strands, caps, masks, hands, scarfs, and holes."""

import dataclasses

import torch
import torch.nn.functional as F

from .draw import Draw, blur

HAND = (1.0, 0.6, 0.42)  # relative linear color of skin or hair in front of the face
BLACK = 0.3  # share of caps, masks and hands (gloves) that are, beside those that happen to be dark
DYE = 2.2  # most standard deviation of the logarithms of dyed cloth's channels: a red cap's are 4 apart


@dataclasses.dataclass(frozen=True)
class Dressed:
    """lit: (B, 3, R, R) linear light with what is worn. cover: (B, 1, R, R) in [0, 1], 1 where something is worn."""

    lit: torch.Tensor
    cover: torch.Tensor

    def under(self, color, alpha) -> "Dressed":
        """With something of linear light `color` (B, 3, R, R) in front, opaque where `alpha` (B, 1, R, R) is 1."""
        return Dressed(torch.lerp(self.lit, color, alpha), torch.maximum(self.cover, alpha))


def dress(lit, irradiance, covers, face, draw: Draw) -> Dressed:
    """Puts on what people wear.

    Args:
        lit: (B, 3, R, R) linear light. irradiance: (B, 3, R, R), over pi. covers: (M, 1, R, R) uint8 alpha of glasses and
        strands, maybe none. face: (1, 1, R, R) mask.
    """
    batch, size = len(lit), lit.shape[-1]
    dressed = Dressed(lit, torch.zeros(batch, 1, size, size, device=lit.device))
    if len(covers):
        dressed = _glasses(dressed, irradiance, covers, draw)
    rough_edge = draw.smooth(batch, size, 7)
    weave = 1 + 0.15 * draw.smooth(batch, size, size // 4) * draw.uniform(batch, 1, 1, 1)
    cloth_light = irradiance * weave
    dressed = _cap_mask_and_hand(dressed, cloth_light, rough_edge, draw)
    return _scarf(dressed, cloth_light, rough_edge, face, draw)


def _glasses(dressed: Dressed, irradiance, covers, draw) -> Dressed:
    """Frames or strands of hair on four tenths of the people, with their shadow on the skin."""
    batch, size = len(irradiance), irradiance.shape[-1]
    scale = size / 512
    alpha = covers[draw.integers(len(covers), batch)].float() / 255 * draw.chance(0.4, batch, 1, 1, 1)
    shadow = blur(F.pad(alpha, (0, 0, 1, 0))[:, :, :size], 3 * scale + 0.5)
    shadow = torch.roll(shadow, (int(6 * scale) + 1, draw.choices.randrange(9) - 4), (2, 3))
    dressed = Dressed(dressed.lit * (1 - 0.6 * draw.uniform(batch, 1, 1, 1) * shadow), dressed.cover)
    color = 0.03 + 0.4 * draw.uniform(batch, 3, 1, 1) ** 2 * draw.uniform(batch, 1, 1, 1)
    shine = 1 + 3 * F.relu(draw.smooth(batch, size, 20) - 1.2)
    return dressed.under(color * irradiance * shine, alpha)


def _cap_mask_and_hand(dressed: Dressed, cloth_light, rough_edge, draw) -> Dressed:
    batch, size, device = len(cloth_light), cloth_light.shape[-1], cloth_light.device
    rows = torch.linspace(0, 1, size, device=device).view(1, 1, -1, 1)
    edges = (  # probability, and where it is positive the thing lies
        (0.24, (draw.uniform(batch, 1, 1, 1, low=0.22, high=0.36) - rows) * 60 + 0.3 * rough_edge),
        (0.06, (rows - draw.uniform(batch, 1, 1, 1, low=0.52, high=0.6)) * 60 + 0.2 * rough_edge),
        (0.12, (draw.smooth(batch, size, 4) - 1.3) * 12),
    )
    for number, (probability, edge) in enumerate(edges):
        alpha = torch.sigmoid(edge * 1.5) * draw.chance(probability, batch, 1, 1, 1)
        value = draw.uniform(batch, 1, 1, 1) ** 2 * 0.8 + 0.01
        value = torch.where(draw.chance(BLACK, batch, 1, 1, 1), 0.05 * value, value)
        dye = DYE * draw.uniform(batch, 1, 1, 1) * draw.chance(0.7, batch, 1, 1, 1)
        hue = torch.exp(dye * draw.normal(batch, 3, 1, 1))
        hue = hue / hue.amax(1, keepdim=True)
        if number == 2:
            hand = torch.tensor(HAND, device=device).view(1, 3, 1, 1)
            hue = hand * torch.exp(0.15 * draw.normal(batch, 3, 1, 1))
        dressed = dressed.under((value * hue).clamp(0, 0.95) * cloth_light, alpha)
    return dressed


def _scarf(dressed: Dressed, cloth_light, rough_edge, face, draw) -> Dressed:
    """Scarfs and hoods: everything around the face."""
    batch, scale = len(cloth_light), cloth_light.shape[-1] / 512
    around = (1 - face) * draw.chance(0.15, batch, 1, 1, 1)
    roughness = 0.15 * rough_edge * around.amax((2, 3), keepdim=True)
    around = torch.sigmoid((blur(around, 8 * scale) + roughness - 0.5) * 14)
    around = around * (around.amax((2, 3), keepdim=True) > 0.6)
    cloth = (draw.uniform(batch, 3, 1, 1) ** 2 * 0.8 + 0.01) * cloth_light
    return dressed.under(cloth, around)


def without_found_covers(visibility, cover, draw: Draw):
    """Visibility (B, 1, R, R); in a third of the captures it knows what is worn and leaves it out."""
    found = draw.chance(0.35, len(cover), 1, 1, 1).float()
    return visibility * (1 - found * (blur(cover, 3 * cover.shape[-1] / 512) > 0.1))


def with_holes(visibility, seen, draw: Draw):
    """Visibility (B, 1, R, R) less what real captures do not see, and less random holes.

    seen: (P, 1, R, R) uint8 visibility of real captures, maybe none; about half the captures get one of them instead.
    """
    batch, size = len(visibility), visibility.shape[-1]
    if len(seen):
        real = seen[draw.integers(len(seen), batch)].float() / 255
        visibility = torch.where(draw.chance(0.45, batch, 1, 1, 1), real, visibility)
    hole = torch.sigmoid((draw.smooth(batch, size, 5) - 1.6) * 20) * draw.chance(0.4, batch, 1, 1, 1)
    visibility = visibility * (1 - hole)
    return (-F.max_pool2d(-visibility, 3, 1, 1)).clamp(0, 1)  # borders are not trusted
