"""Phone captures made on the device, in texture space: as many lights as training has steps.

    studio texture ─ sky seen by each texel × radiance ─ gloss ─ covers ─ phone ─► phone texture, visibility, scene

Geometry enters through a bank: for some heads, the normal of every texel and which of a few hundred directions it sees (made
once by `tools/bake_transfer.py`). So shadows and occlusion are those of real heads, and a capture costs a matrix product.
Light comes from panoramas (photographed or painted) and lamps (`sky.py`). What a person wears is drawn on top (`wear.py`),
then the phone's camera makes a picture of it (`texel_phone.py`). The scene's statistics are measured under the same light
and camera.
"""

import dataclasses
import math

import torch
import torch.nn.functional as F

from studio_avatar.capture.scene import DARKEST_WHITE, MOST_COLORED, VECTOR_SIZE
from studio_avatar.capture.texture.unwrap import FACING_COSINE, GRAZING_COSINE
from studio_avatar.imaging.color import LUMA
from studio_avatar.imaging.ramps import smoothstep
from studio_avatar.pipeline.relight import SCLERA
from studio_avatar.pipeline.skin_tone import (
    MELANIN,
    linear_to_lab,
    linear_to_srgb,
    measure_tone,
    srgb_to_linear,
    weighted_mean,
)

from .draw import Draw, blur
from .precision import fast_dtype
from .sky import TransferBank, sample_radiance
from .texel_masks import TexelMasks
from .texel_phone import degrade, sample_development
from .wear import dress, with_holes, without_found_covers

ITA_RANGE = (-58.0, 62.0)  # typology angles of the people [degrees]
# About how far a texture's own angle may be from the one it is given [degrees]. With 25, who a person is tells the tone.
NEAR_TONE = 60.0
BLOOD = (0.10, 0.85, 0.70)  # how blood darkens red, green and blue
MELANIN_DOSES = (-1.2, 2.5)
HALVINGS = 14  # of six units of dose: to a hundredth of a degree
TEETH = (0.58, 0.52, 0.42)  # linear reflectance
# Light on them over that on the eyes. With it teeth are 1.4 times as bright as light skin, as on portraits (1.1 to 2.2).
TEETH_SHADE = {"low": 0.7, "high": 1.4}
# What lids and lashes leave of the light between the lids: median and spread of its log, so that whites are as much lighter
# than the skin beside them as on portraits; and the share of captures in which it is down to a sixth.
EYE_SHADE, EYE_SHADE_SPREAD, DEEP_SHADE = 0.85, 0.3, 0.25
NARROW_EYES = 0.3  # share of people in whom lid and lashes may be most of what is taken for the white
SCATTERED = (1.0, 0.45, 0.25)  # how far light wanders in skin: red the farthest
WRAP = 0.3  # cosine by which scattered light reaches beyond the terminator
BEHIND_HEAD = -0.7  # z of directions that the camera sees beside the head
FAMILIES = ("photographed", "painted")


@dataclasses.dataclass(frozen=True)
class Captures:
    """A batch of simulated captures; pictures (B, 3, R, R) sRGB in [-1, 1], masks (B, 1, R, R) in [0, 1].

    phone, visibility: what a capture gives. target: the studio texture. lab: (B, 3) L*a*b* of its skin. scene:
    (B, VECTOR_SIZE) in the order of `SceneStatistics.vector`. cover: 1 where something is worn. mirrored: (B,) bool, the
    samples that were flipped left to right, all maps alike.
    """

    phone: torch.Tensor
    visibility: torch.Tensor
    target: torch.Tensor
    lab: torch.Tensor
    scene: torch.Tensor
    cover: torch.Tensor
    mirrored: torch.Tensor


@dataclasses.dataclass(frozen=True)
class Shading:
    """Light on every texel of some heads.

    irradiance: (B, 3, R, R), over pi, so that times reflectance it is radiance. gloss: (B, 3, R, R) mirrored radiance.
    visibility: (B, 1, R, R) in [0, 1], how well the best view sees each texel. on_eyes: (B, 3) mean irradiance between
    the lids.
    """

    irradiance: torch.Tensor
    gloss: torch.Tensor
    visibility: torch.Tensor
    on_eyes: torch.Tensor


def typology_angle(lab: torch.Tensor) -> torch.Tensor:
    """L*a*b* (..., 3) → individual typology angle (...) in degrees."""
    return torch.rad2deg(torch.atan2(lab[..., 0] - 50, lab[..., 2]))


@dataclasses.dataclass(frozen=True)
class TexelWorld:
    """What captures in texture space are made of.

    textures: (N, 3, T, T) uint8 sRGB studio textures; bank: heads to light; lights: {family: (N, ROTATIONS, D, 3)} from
    `panorama_nodes`; masks: of any size; covers: (M, S, S) uint8 alpha of glasses and strands; seen: (P, S, S) uint8
    visibility of real captures.
    """

    textures: torch.Tensor
    bank: TransferBank
    lights: dict[str, torch.Tensor]
    masks: TexelMasks
    covers: torch.Tensor
    seen: torch.Tensor


class TexelSimulator:
    """Args:
    world: what the captures are made of. size: R, of the captures in texels. device: that lights them.
    share: captures of one head with one gloss; more are less work.
    """

    def __init__(self, world: TexelWorld, size: int, device, share: int = 2):
        self.textures, self.bank, self.lights, self.share = world.textures, world.bank, world.lights, share
        self.size, self.device = size, torch.device(device)
        self.covers, self.seen = (_alpha_maps(maps, size, device) for maps in (world.covers, world.seen))
        self.masks = world.masks.resized(size, device)
        self.tones = self._measured_tones(world.masks.resized(128, device).tone_weight)
        # Toward the camera's side of the sky nothing is seen; weights of the rest are those of a lens' field of view.
        self.around_head = torch.softmax(-6 * self.bank.directions[:, 2], 0)

    @torch.no_grad()
    def _measured_tones(self, weight) -> torch.Tensor:
        """(N,) typology angle of every texture, on the CPU."""
        tones = []
        for rows in self.textures.split(8):
            small = F.interpolate(rows.float().to(self.device), size=weight.shape[-2:], mode="area")
            tones.append(typology_angle(measure_tone(small / 127.5 - 1, weight)))
        return torch.cat(tones).cpu()

    @torch.no_grad()
    def sample(
        self, batch: int, draw: Draw, families=FAMILIES, held_out_curve: bool = False, pairs=None
    ) -> Captures:
        """`batch` captures.

        families: of light, keys of `lights`. held_out_curve: photographed with the tone curve that training never sees.
        pairs: (target, visibility) of as many known captures, instead of people from the studio textures.
        """
        target = self.people(batch, draw) if pairs is None else pairs[0]
        radiance = sample_radiance(self.lights, families, self.bank.directions, batch, draw)
        shading = self.shade(radiance, draw)
        linear = srgb_to_linear(target * 0.5 + 0.5)
        skin = weighted_mean(linear, self.masks.tone_weight)
        lit = self.lit_skin(linear, shading)
        dressed = dress(lit, shading.irradiance, self.covers, self.masks.face, draw)
        seen_skin = without_found_covers(shading.visibility, dressed.cover, draw)
        develop = self.phone_for(dressed.lit, skin, radiance, draw, held_out_curve)
        phone = degrade(develop(dressed.lit), draw)
        visibility = with_holes(seen_skin, self.seen, draw) if pairs is None else pairs[1].clamp_max(1)
        scene = self.scene(develop, shading.on_eyes, radiance, skin, phone, visibility, draw)
        mirrored = draw.chance(0.5, batch)
        maps = (phone * 2 - 1, visibility, target, dressed.cover)
        phone, visibility, target, cover = (
            torch.where(mirrored.view(-1, 1, 1, 1), one.flip(-1), one) for one in maps
        )
        return Captures(phone, visibility, target, linear_to_lab(skin), scene, cover, mirrored)

    # --------------------------------------------------------------------------------------------
    # The person
    # --------------------------------------------------------------------------------------------

    def people(self, batch: int, draw: Draw) -> torch.Tensor:
        """Studio textures (B, 3, R, R) sRGB in [-1, 1], with tones evenly spread over human skin."""
        wanted = torch.tensor([draw.choices.uniform(*ITA_RANGE) for _ in range(batch)])
        distance = (self.tones[None] - wanted[:, None]).abs()
        # Gumbel noise: the largest is a draw by the probabilities exp(-3 distance / NEAR_TONE).
        noise = draw.uniform(*distance.shape).cpu().clamp(1e-6, 1 - 1e-6)
        rows = (-3.0 * distance / NEAR_TONE - torch.log(-torch.log(noise))).argmax(1)
        texture = self.textures[rows.to(self.textures.device)].to(self.device).float() / 127.5 - 1
        if texture.shape[-1] != self.size:
            texture = F.interpolate(texture, size=(self.size, self.size), mode="area")
        return self.with_tone(texture, wanted.to(self.device), draw)

    def with_tone(self, texture, ita, draw: Draw) -> torch.Tensor:
        """Melanin (and a little blood) until the typology angle is `ita` (B,); eyes, teeth and mouth keep their color."""
        linear = srgb_to_linear(texture * 0.5 + 0.5)
        factor = pigment_factor(weighted_mean(linear, self.masks.tone_weight), ita, draw)[:, :, None, None]
        changed = linear_to_srgb((linear * factor).clamp(0, 1)) * 2 - 1
        return torch.lerp(texture, changed, self.masks.skin)

    def lit_skin(self, linear, shading: Shading) -> torch.Tensor:
        """Linear light (B, 3, R, R) that leaves texels of linear color `linear` (B, 3, R, R); gloss follows the skin's fine
        bump, as far as it shows."""
        detail = linear.mean(1, keepdim=True)
        bump = detail / blur(detail, 3 * self.size / 512).clamp_min(1e-3)
        return linear * shading.irradiance + shading.gloss * bump.clamp(0.3, 2.5) ** 2 * self.masks.skin

    # --------------------------------------------------------------------------------------------
    # Light on the head
    # --------------------------------------------------------------------------------------------

    def shade(self, radiance, draw: Draw) -> Shading:
        """Light of `radiance` (B, D, 3) on heads of the bank; `self.share` captures each are of one head."""
        dtype = fast_dtype(self.device)
        views = self._views(len(radiance), draw)
        groups = []
        for rows in torch.arange(len(radiance)).split(self.share):
            rows = slice(int(rows[0]), int(rows[-1]) + 1)
            groups.append(self._shade_one_head(radiance[rows].to(dtype), views[rows], draw))
        irradiance, gloss, visibility, on_eyes = zip(*groups, strict=True)
        return Shading(
            self._as_maps(irradiance), self._as_maps(gloss), self._as_maps(visibility), torch.cat(on_eyes)
        )

    def _shade_one_head(self, radiance, views, draw):
        """Irradiance (T, n, 3), gloss (T, n, 3) and visibility (T, n, 1) of T texels under n lights, and light on the eyes
        (n, 3)."""
        bank, count = self.bank, len(radiance)
        head = draw.choices.randrange(len(bank))
        normal = bank.normals[head].view(3, -1).T  # (T, 3)
        is_open = bank.open_directions(head, radiance.dtype)  # (T, D)
        columns = radiance.transpose(0, 1).reshape(len(bank.directions), -1)  # (D, n·3)

        def gathered(weights):
            return ((weights.to(radiance.dtype) * is_open) @ columns).float().view(-1, count, 3)

        cosine = (normal @ bank.directions.T).to(radiance.dtype)
        hard = gathered(cosine.clamp_min(0))
        soft = gathered((cosine + WRAP).clamp_min(0) / (1 + WRAP))
        scattered = torch.tensor(SCATTERED, device=self.device) * draw.uniform(count, 1, high=0.35)
        irradiance = torch.lerp(hard, soft, scattered) / math.pi

        lobe, fresnel = self._gloss_lobe(normal, views[0][0], math.exp(draw.choices.uniform(1.0, 3.3)))
        strength = draw.uniform(count, 1, high=1.6) * (1 + 2.5 * draw.chance(0.2, count, 1))
        gloss = gathered(lobe) * fresnel * strength
        visibility = self._best_view(normal, is_open, views)[..., None]
        return irradiance, gloss, visibility, self._light_on_eyes(head, radiance)

    def _light_on_eyes(self, head: int, radiance):
        """Mean irradiance over pi between the lids of a head of the bank, (n, 3)."""
        normals, is_open = self.bank.between_lids(head)
        cosine = (normals @ self.bank.directions.T).clamp_min(0) * is_open
        return torch.einsum("ed,ndc->nc", cosine.to(radiance.dtype), radiance).float() / (
            len(cosine) * math.pi
        )

    def _gloss_lobe(self, normal, sight, exponent):
        """What each texel mirrors, (T, D), by Phong's lobe around the mirrored line of sight, and Fresnel's share (T, 1, 1).

        Fused captures take each texel from the view that faces it, so the line of sight turns along with the normal.
        """
        turned = sight + 0.7 * normal * torch.tensor([1.0, 0.3, 1.0], device=self.device)
        eye = F.normalize(turned, dim=1)
        facing = (normal * eye).sum(1, keepdim=True)
        mirror = 2 * facing * normal - eye
        # The exponent is a quarter of that of a lobe around half vectors.
        lobe = (mirror @ self.bank.directions.T).clamp_min(0) ** exponent * (exponent + 1) / (2 * math.pi)
        return lobe, 0.035 * (1 + 20 * (1 - facing.clamp(0, 1)) ** 5)[:, None]

    def _views(self, batch, draw):
        """Lines of sight (V, 3) of each capture: a photo, or a turn to both sides; the first is the most frontal."""
        views, choices = [], draw.choices
        for _ in range(batch):
            yaws = [choices.gauss(0, 12)]
            if choices.random() > 0.35:
                turn = choices.uniform(15, 50)
                yaws += [yaws[0] + turn, yaws[0] - turn * choices.uniform(0.3, 1.0)]
            yaw = torch.tensor(yaws) * math.pi / 180
            pitch = torch.tensor([choices.gauss(0, 0.12) for _ in yaws])
            sight = [yaw.sin() * pitch.cos(), pitch.sin(), yaw.cos() * pitch.cos()]
            views.append(torch.stack(sight, 1).to(self.device))
        return views

    def _best_view(self, normal, is_open, views):
        """(T, n) how well the best view of each of n captures sees every texel."""
        sights = torch.stack([F.pad(view, (0, 0, 0, 3 - len(view))) for view in views])  # (n, 3 views, 3)
        cosine = torch.einsum("tc,nvc->tnv", normal, sights)
        nearest = torch.einsum("dc,nvc->dnv", self.bank.directions, sights).argmax(0)  # (n, 3)
        trust = smoothstep(cosine, GRAZING_COSINE, FACING_COSINE)
        trust = trust * is_open[:, nearest.flatten()].view(*cosine.shape).float()
        return trust.amax(2) * self.bank.covered.view(-1, 1)

    def _as_maps(self, parts):
        """Groups of (T, n, C) at the bank's size → (B, C, R, R)."""
        side = self.bank.size
        maps = torch.cat(parts, 1).permute(1, 2, 0)
        maps = maps.reshape(*maps.shape[:2], side, side)
        return F.interpolate(maps, size=(self.size, self.size), mode="bilinear", align_corners=False)

    # --------------------------------------------------------------------------------------------
    # The phone and what it says of the scene
    # --------------------------------------------------------------------------------------------

    def phone_for(self, lit, skin, radiance, draw: Draw, held_out_curve: bool):
        """A phone's `Development` for faces of linear light `lit` (B, 3, R, R) and mean reflectance `skin` (B, 3)."""
        face = weighted_mean(lit, self.masks.tone_weight).clamp_min(1e-4)
        behind = (radiance * self.around_head[None, :, None]).sum(1) / self._solid_angle
        return sample_development(face, skin, behind, draw, held_out_curve)

    @property
    def _solid_angle(self) -> float:
        """Of one of the bank's directions."""
        return 4 * math.pi / len(self.bank.directions)

    def scene(self, develop, on_eyes, radiance, reflectance, phone, visibility, draw: Draw) -> torch.Tensor:
        """`SceneStatistics.vector` (B, VECTOR_SIZE) of the same light and phone, as far as a capture can measure it.

        on_eyes: (B, 3) irradiance. reflectance: (B, 3) of the skin. phone: (B, 3, R, R) in [0, 1]. Each group is known in a
        part of the captures only.
        """
        batch = len(phone)
        sclera, teeth = self._eyes_and_teeth(develop, on_eyes, reflectance, draw)
        skin = weighted_mean(phone, self.masks.tone_weight)
        levels, mean, blown = self._surroundings(develop, radiance, draw)
        weight = visibility * self.masks.face
        total = weight.sum((1, 2, 3)).clamp_min(1e-3)
        brightest = phone.amax(1, keepdim=True)
        clipped = ((brightest > 0.98) * weight).sum((1, 2, 3)) / total
        dark = ((brightest < 0.06) * weight).sum((1, 2, 3)) / total
        eyes, around, mouth = (draw.chance(p, batch, 1).float() for p in (0.85, 0.85, 0.25))
        eyes = eyes * _is_white(sclera, skin)
        parts = [sclera * eyes, eyes, levels * around, mean * around, blown * around, around]
        parts += [teeth * mouth, mouth, clipped[:, None], dark[:, None]]
        vector = torch.cat(parts, 1)
        return F.pad(vector, (0, VECTOR_SIZE - vector.shape[1])).clamp(-0.5, 1.5)

    def _eyes_and_teeth(self, develop, on_eyes, skin, draw):
        """Measured colors of the whites of the eyes and of the teeth, (B, 3) each.

        on_eyes: (B, 3) irradiance. skin: (B, 3) its reflectance. Eyes lie in the shade of brow and lids, and what is
        measured has some lid in it, which is as dark as the person: who takes it for white makes dark skin too light.
        """
        batch, device = len(on_eyes), self.device
        shade = EYE_SHADE * torch.exp(EYE_SHADE_SPREAD * draw.normal(batch, 1))
        deeper = draw.uniform(batch, 1, low=0.16, high=1.0)
        on_white = on_eyes * torch.where(draw.chance(DEEP_SHADE, batch, 1), shade * deeper, shade)
        white = develop(
            on_white * torch.tensor(SCLERA, device=device) * torch.exp(0.06 * draw.normal(batch, 3))
        )
        lid = develop(on_white * skin * draw.uniform(batch, 1, low=0.4, high=1.2))
        wide = 0.5 * draw.uniform(batch, 1) ** 1.5
        lid_share = torch.where(draw.chance(NARROW_EYES, batch, 1), draw.uniform(batch, 1), wide)
        sclera = torch.lerp(white, lid, lid_share) + 0.01 * draw.normal(batch, 3)
        tooth = torch.tensor(TEETH, device=device) * torch.exp(0.1 * draw.normal(batch, 3))
        tooth = tooth * draw.uniform(batch, 1, **TEETH_SHADE)
        return sclera, develop(on_eyes * tooth) + 0.02 * draw.normal(batch, 3)

    def _surroundings(self, develop, radiance, draw):
        """Quantiles of brightness (B, 3), mean color (B, 3) and blown share (B, 1) of what is seen around the head."""
        behind = self.bank.directions[:, 2] < BEHIND_HEAD
        samples = develop((radiance / self._solid_angle)[:, behind].transpose(1, 2).unsqueeze(-1))[..., 0]
        samples = (samples + 0.01 * draw.normal(*samples.shape)).clamp(0, 1)  # (B, 3, n)
        luma = (samples * torch.tensor(LUMA, device=self.device).view(1, 3, 1)).sum(1)
        levels = torch.quantile(luma, torch.tensor([0.1, 0.5, 0.9], device=self.device), dim=1).T
        return levels, samples.mean(2), (luma > 0.97).float().mean(1, keepdim=True)


def pigment_factor(skin, ita, draw: Draw) -> torch.Tensor:
    """Factor (B, 3) of linear reflectance by which melanin, and a little blood, give skin of mean reflectance `skin` (B, 3)
    the typology angle `ita` (B,)."""
    skin = skin.clamp_min(1e-3)
    blood = 0.12 * draw.normal(len(skin), 1) * torch.tensor(BLOOD, device=skin.device)
    melanin = torch.tensor(MELANIN, device=skin.device)
    low = torch.full((len(skin), 1), -2.5, device=skin.device)
    high = -low + 1.0
    for _ in range(HALVINGS):
        dose = (low + high) / 2
        lab = linear_to_lab((skin * torch.exp(-melanin * dose - blood)).clamp_max(1.0))
        too_light = (typology_angle(lab) > ita)[:, None]
        low, high = torch.where(too_light, dose, low), torch.where(too_light, high, dose)
    return torch.exp(-melanin * dose.clamp(*MELANIN_DOSES) - blood)


def _is_white(color, skin) -> torch.Tensor:
    """(B, 1) 1 where a capture takes `color` (B, 3) for the white of the eyes beside `skin` (B, 3): `capture/scene.py`."""

    def saturation(rgb):
        return 1 - rgb.amin(1) / rgb.amax(1).clamp_min(1e-3)

    weights = torch.tensor(LUMA, device=color.device)
    bright = color @ weights > DARKEST_WHITE * (skin @ weights)
    return (bright & (saturation(color) < MOST_COLORED * saturation(skin) + 0.02)).float()[:, None]


def _alpha_maps(maps, size: int, device) -> torch.Tensor:
    """(M, S, S) uint8 → (M, 1, size, size) uint8."""
    mode = "area" if maps.shape[-1] > size else "bilinear"
    return F.interpolate(maps[:, None].float(), size=(size, size), mode=mode).to(torch.uint8).to(device)
