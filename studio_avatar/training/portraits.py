"""Real portraits as pairs for relighting: nobody knows their studio texture, but their light can be evened.

    phone texture ─ tone of the nearest studio subject ─ smoothed quotient to the base ─► evened texture, trust

Put into simulated light again, such a texture teaches the network what real skin, brows and stubble look like. What the
evened texture still has of the old light is not to be learned: edges of shadows, highlights and what was not seen get no
trust.
"""

import torch
import torch.nn.functional as F

from studio_avatar.data.prepare.pack import Pack
from studio_avatar.data.simulate.draw import blur
from studio_avatar.data.simulate.texel_light import TexelSimulator, typology_angle
from studio_avatar.errors import InvalidInputError
from studio_avatar.pipeline.relight import compose, resized, smoothed_quotient
from studio_avatar.pipeline.skin_tone import measure_tone, set_tone

from .datasets import to_float, to_mask

EVENED_OVER = 28 / 1024  # of the texture's width: over what light is evened
STEEP_OVER = 8 / 1024  # and over what its edges are looked for
STEEP = 0.3  # change of log light over a 512th of the width at which trust has sunk to a third
BRIGHTEST = 0.92  # in [-1, 1]: brighter texels are clipped, or nearly
SHINY = 0.14  # over the surroundings, in [-1, 1]
TONE_STRIDE = 3  # every so many studio textures' tones are candidates


class Portraits:
    """Phone textures of training portraits at the simulator's size, kept as uint8 on its device.

    phone, texture: (N, 3, R, R), as captured, and in evened light. visibility, trust: (N, 1, R, R).
    """

    def __init__(self, pack: Pack, bases, simulator: TexelSimulator):
        """bases: a `BaseMaker`.

        Raises:
            InvalidInputError: the pack has none.
        """
        self.simulator, self.bases = simulator, bases
        rgb, seen = pack.images("portraits", simulator.size), pack.images("seen")
        if not len(rgb):
            raise InvalidInputError(
                "The packed file has no portraits: make it with a people.safetensors that has some."
            )
        tones = torch.cat(
            [self._studio_tone(texture) for texture in simulator.textures[::TONE_STRIDE].split(1)]
        )
        parts = [self._evened(*rows, tones) for rows in zip(rgb.split(8), seen.split(8), strict=True)]
        self.phone, self.texture, self.visibility, self.trust = (
            torch.cat(p) for p in zip(*parts, strict=True)
        )

    def __len__(self):
        return len(self.phone)

    def pairs(self, count: int, draw):
        """(evened texture, visibility, trust) of random portraits, as floats."""
        rows = self._rows(count, draw)
        return to_float(self.texture[rows]), to_mask(self.visibility[rows]), to_mask(self.trust[rows])

    def photos(self, count: int, draw):
        """(phone texture, visibility, trust) of random portraits, as floats."""
        rows = self._rows(count, draw)
        return to_float(self.phone[rows]), to_mask(self.visibility[rows]), to_mask(self.trust[rows])

    def _rows(self, count, draw):
        return draw.rows(len(self), count).to(self.phone.device)

    def _studio_tone(self, texture):
        """(1, 3) L*a*b* of a studio texture (1, 3, T, T) uint8."""
        small = F.interpolate(texture.to(self.simulator.device).float(), size=(128, 128), mode="area")
        weight = F.interpolate(self.simulator.masks.tone_weight, size=(128, 128), mode="area")
        return measure_tone(small / 127.5 - 1, weight)

    @torch.no_grad()
    def _evened(self, rgb, seen, tones):
        """uint8 (phone, texture, visibility, trust) of some portraits."""
        size, device, masks = self.simulator.size, self.simulator.device, self.simulator.masks
        phone = to_float(rgb.to(device))
        visibility = F.interpolate(to_mask(seen.to(device))[:, None], size=(size, size), mode="bilinear")
        weight, skin = masks.tone_weight, masks.skin
        base = resized(self.bases(phone, visibility), size).clamp(-1, 1)
        angle = typology_angle(measure_tone(phone, weight * visibility))
        lab = tones[(angle[:, None] - typology_angle(tones)[None]).abs().argmin(1)]
        base = set_tone(base, weight, lab, skin)
        toned = set_tone(phone, weight * visibility, lab)
        gain = smoothed_quotient(toned, base, visibility, EVENED_OVER)
        texture = compose(toned, visibility, gain, torch.ones_like(visibility), base).texture
        texture = set_tone(texture, weight, lab, skin)
        trust = visibility * self._trust(toned, smoothed_quotient(toned, base, visibility, STEEP_OVER))
        return (
            to_uint8(toned),
            to_uint8(texture),
            (visibility * 255).to(torch.uint8),
            (trust * 255).to(torch.uint8),
        )

    def _trust(self, toned, gain):
        """(B, 1, R, R) in [0, 1]: little at the edges of shadows, where it is clipped, and in highlights."""
        size = self.simulator.size
        across = (gain[..., 1:, :-1] - gain[..., :-1, :-1]).abs()
        down = (gain[..., :-1, 1:] - gain[..., :-1, :-1]).abs()
        steep = F.pad((across + down).mean(1, keepdim=True) * size / 512, (0, 1, 0, 1))
        brightness = toned.mean(1, keepdim=True)
        shiny = ((brightness - blur(brightness, 8 * size / 512)) > SHINY).float()
        trust = torch.exp(-((blur(steep, 3 * size / 512) / STEEP) ** 2))
        trust = trust * (toned.amax(1, keepdim=True) < BRIGHTEST)
        return trust * (1 - blur(shiny, 2 * size / 512)).clamp(0, 1)


def to_uint8(image):
    """[-1, 1] → uint8 [0, 255]."""
    return ((image + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
