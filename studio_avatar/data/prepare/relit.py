"""Real people as studio textures, for the skin tone estimator: portraits relit by the published networks.

What light is left in them, and the tone that they were given, do not matter: the simulator gives each of them any tone and
lights it anew. What they bring are faces, beards, glasses and hair that game art does not have.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F

from studio_avatar.data.simulate.texel_light import typology_angle
from studio_avatar.pipeline import StudioTexturePipeline
from studio_avatar.pipeline.inversion import shrink_observed
from studio_avatar.pipeline.skin_tone import linear_to_lab, srgb_to_linear, weighted_mean

from .packing import StoredScene

SIZE = 128  # texels of the textures
WORKING_SIZE = 512  # at which they are relit
MOST_OFF = 6.0  # degrees that a texture's own tone may be off: more is hair or shadow where tone is measured
MOST_UNEVEN = 0.45  # standard deviation of the logarithm of its brightness there


@torch.no_grad()
def relit_textures(people: Iterable, pipeline: StudioTexturePipeline) -> Iterator[np.ndarray]:
    """(SIZE, SIZE, 3) uint8 sRGB of those whose upper face came out clean.

    people: rows (rgb (S, S, 3) uint8, seen (S, S) uint8, scene (VECTOR_SIZE,)).
    """
    weight = pipeline.tone_estimator.tone_weight
    for rgb, seen, scene in people:
        phone, seen = as_texture(rgb), as_mask(seen)
        visible, cover = pipeline.uncovered(phone, seen)
        base = pipeline.generate(pipeline.invert(phone, visible, 0, lambda *_: None))
        tone, _ = pipeline.tone(phone, seen, cover, None, StoredScene(scene))
        phone, visible = shrink_observed(phone, visible, WORKING_SIZE)
        texture = pipeline.relight(pipeline.in_tone(base, tone), phone, visible, tone).texture
        small = F.interpolate(texture, size=(SIZE, SIZE), mode="area").clamp(-1, 1)
        if is_clean(small, F.interpolate(weight, size=(SIZE, SIZE)), torch.tensor([tone.lab])):
            yield as_picture(small)


def as_texture(rgb: np.ndarray) -> torch.Tensor:
    """(S, S, 3) uint8 → (1, 3, S, S) in [-1, 1]."""
    return torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 127.5 - 1


def as_mask(seen: np.ndarray) -> torch.Tensor:
    """(S, S) uint8 → (1, 1, S, S) in [0, 1]."""
    return torch.from_numpy(seen)[None, None].float() / 255


def as_picture(texture: torch.Tensor) -> np.ndarray:
    """Inverse of `as_texture`; what lies outside of [-1, 1] is clipped."""
    return ((texture[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).byte().numpy()


def is_clean(texture, weight, lab) -> bool:
    """Whether a texture (1, 3, S, S) in [-1, 1] is even where its tone is measured, and has the tone `lab` (1, 3)."""
    linear = srgb_to_linear(texture * 0.5 + 0.5)
    own = linear_to_lab(weighted_mean(linear, weight))
    brightness = torch.log(linear.mean(1, keepdim=True).clamp_min(1e-3))
    mean = weighted_mean(brightness, weight)
    spread = weighted_mean((brightness - mean[..., None, None]) ** 2, weight).sqrt()
    off = (typology_angle(own) - typology_angle(lab)).abs()
    return bool(off < MOST_OFF) and bool(spread < MOST_UNEVEN)
