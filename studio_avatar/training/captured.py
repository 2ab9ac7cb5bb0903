"""Captures that were rendered and went through the product's own capture: what texture space cannot make.

Their shadows are those of meshes in frames, their texture is fused from views that lie some texels off, their scene is what
`capture/scene.py` measured in the frames. There are few, so each comes flipped or not, in another exposure, white balance
and tone curve and, for tone, under caps and with another share of melanin: a factor that reflectance and what the phone saw
of it have in common.
"""

import torch
import torch.nn.functional as F

from studio_avatar.data.prepare.pack import Pack
from studio_avatar.data.simulate.draw import Draw
from studio_avatar.data.simulate.texel_light import ITA_RANGE, Captures, pigment_factor, typology_angle
from studio_avatar.data.simulate.texel_masks import TexelMasks
from studio_avatar.data.simulate.texel_phone import UNDER_STOPS
from studio_avatar.imaging.ramps import steeper
from studio_avatar.models.tone_estimator import COLORS
from studio_avatar.pipeline.cover import bridged
from studio_avatar.pipeline.inversion import largest_around
from studio_avatar.pipeline.skin_tone import (
    apply_gain,
    linear_to_srgb,
    mean_linear,
    measure_tone,
    srgb_to_linear,
)

from .datasets import to_float, to_mask

EXPOSED_ANEW = 0.6  # share of samples in another exposure and balance
STOPS = 0.5  # standard deviation of the change of exposure
BALANCE = 0.04  # of the natural logarithm of the change of each color
WARMTH = 0.15  # of that of red, and of blue the other way: half of a warm lamp's light, which phones leave in pictures
WARMED = 0.4  # share of samples that are so
UNDER = 0.15  # share of samples that are far under
RECURVED = 0.6  # share of samples with another tone curve
STEEPNESS = (-0.35, 0.8)  # of its contrast: towards the smoothstep, whose middle is half as steep again
CURVE_POWER = 0.12  # standard deviation of the logarithm of its exponent
CAPPED = 0.4  # share of samples whose head is covered
CAP_EDGES = (0.2, 0.42)  # of the texture's height, where such covers end
IN_GLASSES = 0.4  # share of samples that wear some
RIM_COLORS = (0.02, 0.3)  # [0, 1], sRGB
OTHER_TONE = 18.0  # degrees, standard deviation of the change of the typology angle


class RenderedCaptures:
    """The pack's, kept as uint8 on a device; there may be none.

    phone, truth: (N, 3, R, R) uint8. visibility: (N, 256, 256) uint8. scenes: (N, 20).
    """

    def __init__(self, pack: Pack, size: int, masks: TexelMasks, device):
        self.size, self.device, self.masks = size, device, masks
        if not pack.facts.get("captured"):
            self.phone = self.truth = torch.zeros(0, 3, size, size, dtype=torch.uint8)
            return
        self.phone, self.truth = (pack.images(name, size).to(device) for name in ("captured", "truths"))
        self.visibility = pack.images("captured_seen").to(device)
        self.scenes = pack.tensor("captured_scenes").to(device)

    def __len__(self):
        return len(self.phone)

    @torch.no_grad()
    def sample(self, count: int, draw: Draw, other_tones: bool = False) -> Captures:
        """`count` of them, with other tones or as they were. What is worn is not known: `cover` is 0."""
        rows = draw.rows(len(self), count).to(self.device)
        phone, truth = to_float(self.phone[rows]), to_float(self.truth[rows])
        visibility = to_mask(self.visibility[rows])[:, None]
        visibility = F.interpolate(
            visibility, size=(self.size, self.size), mode="bilinear", align_corners=False
        )
        if other_tones:
            phone, truth = self._with_other_tones(phone, truth, draw)
        phone, scene = developed_anew(phone, self.scenes[rows], draw)
        lab = measure_tone(truth, self.masks.tone_weight)
        mirrored = draw.chance(0.5, count)
        flipped = (
            torch.where(mirrored.view(-1, 1, 1, 1), one.flip(-1), one) for one in (phone, visibility, truth)
        )
        phone, visibility, truth = flipped
        return Captures(phone, visibility, truth, lab, scene, torch.zeros_like(visibility), mirrored)

    def _with_other_tones(self, phone, truth, draw: Draw):
        """(phone, truth): skin of another typology angle, within what people have, under the same light and exposure."""
        lab = measure_tone(truth, self.masks.tone_weight)
        ita = (typology_angle(lab) + OTHER_TONE * draw.normal(len(lab))).clamp(*ITA_RANGE)
        factor = pigment_factor(mean_linear(truth, self.masks.tone_weight), ita, draw)
        return tuple(torch.lerp(one, apply_gain(one, factor), self.masks.skin) for one in (phone, truth))


def exposed_anew(phone, scene, draw: Draw):
    """(phone, scene) as with another exposure and white balance, some of them; what becomes too bright is clipped."""
    count = len(phone)
    warmth = WARMTH * draw.normal(count, 1) * draw.chance(WARMED, count, 1)
    balance = BALANCE * draw.normal(count, 3) + torch.cat([warmth, 0 * warmth, -warmth], 1)
    factor = torch.exp(0.69 * STOPS * draw.normal(count, 1) + balance)
    factor = torch.where(draw.chance(EXPOSED_ANEW, count, 1), factor, torch.ones_like(factor))
    under = 2.0 ** draw.uniform(count, 1, low=UNDER_STOPS[0], high=UNDER_STOPS[1])
    factor = torch.where(draw.chance(UNDER, count, 1), factor * under, factor)
    luma = factor.mean(1, keepdim=True)
    by = torch.cat(
        [factor, luma, luma.expand(-1, 3), factor, luma.expand(-1, 2), factor, luma.expand(-1, 5)], 1
    )
    exposed = linear_to_srgb((srgb_to_linear(scene.clamp(0, 1)) * by).clamp(0, 1))
    return apply_gain(phone, factor), _with_colors(scene, exposed)


def recurved(phone, scene, draw: Draw):
    """(phone, scene) through another tone curve, some of them: steeper or flatter, brighter or darker in the middle.

    There are few rendered captures, with few curves. Without this, a network takes the contrast of any other for dark skin.
    """
    count = len(phone)
    steepness = draw.uniform(count, 1, low=STEEPNESS[0], high=STEEPNESS[1])
    log_power = CURVE_POWER * draw.normal(count, 1)
    some = draw.chance(RECURVED, count, 1)

    def curved(encoded):
        amount, power = (
            part.view(count, *(1,) * (encoded.dim() - 1))
            for part in (steepness * some, torch.exp(log_power * some))
        )
        return steeper(encoded.clamp(0, 1) ** power, amount)

    return curved(phone * 0.5 + 0.5) * 2 - 1, _with_colors(scene, curved(scene))


def _with_colors(scene, changed):
    """Scene vectors with what is a color or a brightness from `changed`."""
    return torch.where(torch.tensor(COLORS, device=scene.device), changed, scene)


def developed_anew(phone, scene, draw: Draw):
    """(phone, scene) as another camera would have made them of the same light."""
    return recurved(*exposed_anew(phone, scene, draw), draw)


def under_caps(phone, visibility, draw: Draw):
    """(phone, visibility), some of them under a cap: rendered captures show all foreheads, and tone must not lean on them.

    phone: (B, 3, R, R) sRGB in [-1, 1]. visibility: (B, 1, R, R). Cloth of one color, with half the shading of what it
    covers, hidden as the cover network finds it: whole, in patches, or hardly.
    """
    count, side = len(phone), phone.shape[-1]
    edge = draw.uniform(count, 1, 1, 1, low=CAP_EDGES[0], high=CAP_EDGES[1])
    edge = torch.where(draw.chance(CAPPED, count, 1, 1, 1), edge, -torch.ones_like(edge))
    rows = torch.linspace(0, 1, side, device=phone.device).view(1, 1, -1, 1)
    cap = ((edge - rows) * side / 4 + 0.5).clamp(0, 1)
    luma = (phone * 0.5 + 0.5).mean(1, keepdim=True)
    shade = (luma * cap).sum((2, 3), keepdim=True) / cap.sum((2, 3), keepdim=True).clamp_min(1e-3)
    gray, hue = draw.uniform(count, 1, 1, 1, low=0.04), draw.uniform(count, 3, 1, 1, low=0.04)
    color = torch.where(draw.chance(0.5, count, 1, 1, 1), gray, hue)
    cloth = (
        color * (0.5 + 0.5 * luma / shade.clamp_min(0.02)) * draw.uniform(count, 1, 1, 1, low=0.6)
    ).clamp(0, 1)
    return torch.lerp(phone, cloth * 2 - 1, cap), visibility * (1 - cap * _found(count, side, draw))


def in_glasses(phone, visibility, covers, draw: Draw):
    """`phone`, some of them with glasses or strands of hair that are taken off again, as the pipeline does for tone.

    Arguments as in `under_caps`; covers: (M, 1, R, R) uint8 alpha of glasses and strands. Who somebody is taken for must not
    depend on what they wear: what is bridged is another face.
    """
    count, side = len(phone), phone.shape[-1]
    alpha = covers[draw.integers(len(covers), count)].float() / 255
    alpha = alpha * draw.chance(IN_GLASSES, count, 1, 1, 1)
    rim = draw.uniform(count, 3, 1, 1, low=RIM_COLORS[0], high=RIM_COLORS[1]) * 2 - 1
    found = largest_around(alpha, 3) * _found(count, side, draw)
    return bridged(torch.lerp(phone, rim, alpha), visibility * (1 - found), visibility)


def _found(count: int, side: int, draw: Draw):
    """(B, 1, R, R) in [0, 1]: of what is worn, what the cover network finds: all, patches, or hardly anything."""
    return ((draw.smooth(count, side, 7) + draw.uniform(count, 1, 1, 1, low=-1, high=3)) * 4).clamp(0, 1)


def joined(*batches: Captures) -> Captures:
    """One batch of several."""
    fields = Captures.__dataclass_fields__
    return Captures(**{name: torch.cat([getattr(batch, name) for batch in batches]) for name in fields})
