"""Light from all around a head, as radiance on a few hundred directions, and what each texel of a head sees of them.

panorama ─ turned, summed over the nearest directions ─┐
lamps, sun, wall behind ───────────────────────────────┴─► radiance × solid angle (B, D, 3)
transfer bank: normals, open directions of some heads ───► one matrix product gives shadows, occlusion and gloss
"""

import math

import torch
import torch.nn.functional as F

from studio_avatar.imaging.color import LUMA

from .draw import Draw

ROTATIONS = 24  # of each panorama about the vertical
TILT = 0.2  # standard deviation of the tilt of each [radians]
FACING = 0.3  # least z of normals between the lids
FLASH = (0.0, 0.12, 0.99)  # direction of a light at the phone
LAMPS = (  # logarithm of the lobe's sharpness, from and to; the greatest power
    (1.5, 5.0, 2.5), (1.5, 5.0, 2.5), (5.0, 6.5, 4.0),
)  # fmt: skip


class TransferBank:
    """Geometry of some heads at R × R texels, baked by `tools/bake_transfer.py`.

    normals: (K, 3, R, R) unit. directions: (D, 3) unit, D a multiple of 8. bits: (K, R·R, D / 8) uint8, which directions
    each texel sees, first direction in the highest bit. covered: (R, R) bool, texels that the mesh uses. The few texels of
    the eyeballs between the lids are kept apart, all that were baked: of a coarse grid none may be left.
    """

    def __init__(self, normals, bits, directions, covered, eyes, size: int, device):
        """Arrays as baked, at a multiple of `size` texels, of which every so many are taken; normals int8, 127 is one.

        eyes: (S, S) bool at the baked size, texels of the eyeballs.
        """
        side = normals.shape[-1]
        stride = side // size
        self.size, self.device = size, torch.device(device)
        self.directions = torch.as_tensor(directions, dtype=torch.float32, device=device)
        normals = F.normalize(torch.as_tensor(normals).float() / 127, dim=1)
        self.normals = normals[..., ::stride, ::stride].contiguous().to(device)
        grid = torch.as_tensor(bits).view(len(bits), side, side, -1)
        eyes = torch.as_tensor(eyes)
        self._eye_normals = normals[:, :, eyes].transpose(1, 2).to(device)  # (K, E, 3)
        self._eye_bits = grid[:, eyes].to(device)
        grid = grid[:, ::stride, ::stride]
        self.bits = grid.reshape(len(bits), size * size, -1).contiguous().to(device)
        self.covered = torch.as_tensor(covered[::stride, ::stride].copy()).to(device)
        self.front = int(self.directions[:, 2].argmax())
        self._powers = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8, device=device)

    def __len__(self):
        return len(self.normals)

    def open_directions(self, head: int, dtype) -> torch.Tensor:
        """(R·R, D) of 0 and 1: which directions each texel of a head sees."""
        return self._unpacked(self.bits[head]).to(dtype)

    def between_lids(self, head: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Of a head's eyeballs what is seen from the front, or at least faces it: normals (E, 3), and (E, D) bool, which
        directions it sees."""
        normals, is_open = self._eye_normals[head], self._unpacked(self._eye_bits[head])
        facing = normals[:, 2] > FACING
        shown = facing & is_open[:, self.front]
        shown = shown if shown.any() else facing
        return normals[shown], is_open[shown]

    def _unpacked(self, bits) -> torch.Tensor:
        return ((bits[..., None] & self._powers) > 0).view(len(bits), -1)


def panorama_nodes(panoramas, directions, device, seed: int = 0) -> torch.Tensor:
    """Panoramas as light on the bank's directions.

    Args:
        panoramas: (N, H, 2H, 3) linear radiance; row 0 looks up, the middle column along +Z.
        directions: (D, 3) unit.

    Returns:
        radiance × solid angle (N, ROTATIONS, D, 3), mean radiance 1/2: each turned about the vertical, and tilted a little.
    """
    rng = torch.Generator().manual_seed(seed)
    rays, area = _rays(panoramas.shape[1], device)
    power = torch.as_tensor(panoramas, dtype=torch.float32).reshape(len(panoramas), -1, 3).to(device) * area
    power = power * (2 * math.pi / (power @ torch.tensor(LUMA, device=device)).sum(1))[:, None, None]
    nodes = torch.zeros(len(panoramas), ROTATIONS, len(directions), 3, device=device)
    for turn in range(ROTATIONS):
        rotation = _rotation(2 * math.pi * turn / ROTATIONS, TILT * float(torch.randn(1, generator=rng)))
        nearest = (rays @ rotation.T.to(device) @ directions.T).argmax(1)
        nodes[:, turn].index_add_(1, nearest, power)
    return nodes


def _rays(height: int, device):
    """Unit direction (H·2H, 3) and solid angle (H·2H, 1) of a panorama's pixels."""
    elevation = math.pi / 2 - (torch.arange(height) + 0.5) * math.pi / height
    azimuth = -math.pi + (torch.arange(2 * height) + 0.5) * math.pi / height
    e, a = torch.meshgrid(elevation, azimuth, indexing="ij")
    rays = torch.stack([a.sin() * e.cos(), e.sin(), a.cos() * e.cos()], -1).reshape(-1, 3)
    return rays.to(device), (e.cos() * (math.pi / height) ** 2).reshape(-1, 1).to(device)


def _rotation(yaw: float, tilt: float) -> torch.Tensor:
    cy, sy, ct, st = math.cos(yaw), math.sin(yaw), math.cos(tilt), math.sin(tilt)
    about_vertical = torch.tensor([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    return about_vertical @ torch.tensor([[1, 0, 0], [0, ct, -st], [0, st, ct]])


def sample_radiance(lights: dict, families, directions, batch: int, draw: Draw) -> torch.Tensor:
    """Radiance × solid angle of random places on the bank's directions, (B, D, 3).

    lights: {family: (N, ROTATIONS, D, 3)} from `panorama_nodes`. families: names among which each place's is drawn.
    """
    light = []
    for _ in range(batch):
        nodes = lights[draw.choices.choice(list(families))]
        light.append(nodes[draw.choices.randrange(len(nodes)), draw.choices.randrange(ROTATIONS)])
    light = torch.stack(light)
    for lowest, highest, power in LAMPS:
        light = light + _lamp(directions, batch, draw, lowest, highest, power)
    light = light * _wall_behind(directions, batch, draw)
    even = draw.uniform(batch, 1, 1) ** 2 * 0.8 * light.mean(1, keepdim=True)
    return light * (1 - draw.chance(0.3, batch, 1, 1) * 0.5) + even


def _lamp(directions, batch, draw, lowest, highest, most_power):
    """A lamp, flash, window or the sun in a third of the places, radiance × solid angle (B, D, 3)."""
    device = draw.device
    toward = F.normalize(draw.normal(batch, 3) + torch.tensor([0.0, 0.3, 0.5], device=device), dim=1)
    at_phone = draw.chance(0.15, batch, 1)
    toward = torch.where(at_phone, torch.tensor(FLASH, device=device), toward)
    sharpness = torch.exp(draw.uniform(batch, 1, low=lowest, high=highest))
    lobe = torch.exp(sharpness * (toward @ directions.T - 1))
    warmth = draw.uniform(batch, 1, low=-0.35, high=0.25)
    color = torch.exp(torch.cat([warmth, 0 * warmth, -1.6 * warmth], 1))
    any_hue = torch.exp(0.8 * draw.normal(batch, 3))
    color = torch.where(draw.chance(0.05, batch, 1), any_hue, color)
    power = draw.uniform(batch, 1, low=0.3, high=most_power) * draw.chance(0.35, batch, 1) * math.pi
    return (lobe / lobe.sum(1, keepdim=True))[..., None] * (power * color)[:, None]


def _wall_behind(directions, batch, draw):
    """A dark wall, a screen or a window right behind half of the people: a factor (B, D, 1)."""
    behind = torch.sigmoid(-8 * (directions[:, 2] + 0.5))[None, :, None] * draw.chance(0.5, batch, 1, 1)
    return torch.lerp(torch.ones_like(behind), 2.0 ** draw.uniform(batch, 1, 1, low=-5, high=1.5), behind)
