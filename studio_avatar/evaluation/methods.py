"""Our method, its stages and the trained baselines, as functions of arrays for `tables.py`.

Textures are (H, W, 3) float32 sRGB in [0, 1]; `seen` is (H, W) in [0, 1].
"""

import functools
import hashlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import UNet2DModel

from studio_avatar.errors import InvalidInputError
from studio_avatar.models import StyleGAN2Generator
from studio_avatar.pipeline.inversion import shrink_observed
from studio_avatar.pipeline.skin_tone import set_tone
from studio_avatar.pipeline.studio_texture_pipeline import StudioTexturePipeline, to_array, to_tensor
from studio_avatar.results.settings import CreationSettings
from studio_avatar.training.stages.plain_unet import translate

REFINEMENT_STEPS = CreationSettings().inversion_steps


class RememberingPipeline(StudioTexturePipeline):
    """Inverts each phone texture once, however many tables ask for it: that is most of the time."""

    @functools.cached_property
    def _inversions(self) -> dict:
        return {}

    def invert(self, rgb, seen, num_steps, progress):
        """As the pipeline's own, from memory the second time."""
        key = (hashlib.sha256(rgb.numpy().tobytes() + seen.numpy().tobytes()).digest(), num_steps)
        if key not in self._inversions:
            self._inversions[key] = super().invert(rgb, seen, num_steps, progress)
        return self._inversions[key]


def reconstruct(pipeline, rgb: np.ndarray, seen: np.ndarray, num_steps: int) -> np.ndarray:
    """The phone generator's picture of the inverted texture; all (R, R, 3) sRGB in [0, 1], seen (R, R)."""
    return to_array(_inverted(pipeline, rgb, seen, num_steps).reconstruction)


def _inverted(pipeline, rgb: np.ndarray, seen: np.ndarray, num_steps: int = REFINEMENT_STEPS):
    """The `Inversion` of a phone texture (H, W, 3) and its mask (H, W), in [0, 1]."""
    return pipeline.invert(to_tensor(rgb), torch.from_numpy(seen)[None, None], num_steps, lambda *_: None)


def studio_textures(pipeline, rgb: np.ndarray, seen: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """The pipeline's studio base, enlarged, and its final texture, both of the size of `rgb`."""
    size = len(rgb)
    result = pipeline(phone_texture=rgb, seen=seen, seed=seed, output_type="np", output_size=size)
    return {"ours: studio base": enlarge(result.base, size), "ours: texture": result.texture}


def enlarge(texture: np.ndarray, size: int) -> np.ndarray:
    """(r, r, 3) in [0, 1] → (size, size, 3), bicubic, as the upscaler enlarges the base."""
    return to_array(F.interpolate(to_tensor(texture), size=(size, size), mode="bicubic", align_corners=False))


def bases_without(pipeline, rgb: np.ndarray, seen: np.ndarray) -> dict[str, np.ndarray]:
    """The studio base with all stages and without one each, at base size."""
    phone, mask = to_tensor(rgb), torch.from_numpy(seen)[None, None]
    weight, skin = pipeline.tone_estimator.tone_weight, pipeline.tone_estimator.skin
    with torch.no_grad():
        tone, shown = pipeline.tone(phone, mask, None)
        encoded, refined = (_inverted(pipeline, rgb, seen, steps) for steps in (0, REFINEMENT_STEPS))
        base = pipeline.generate(refined)
        bases = {
            "all stages": pipeline.personalise(base, phone, mask, tone),
            "without W+ refinement": pipeline.personalise(pipeline.generate(encoded), phone, mask, tone),
            "without the tone estimate (the phone's tone)": pipeline.personalise(base, phone, mask, shown),
            "without carry-over": set_tone(base, weight, torch.tensor([tone.lab]), skin),
            "studio generator alone": base,
        }
    return {name: to_array(texture) for name, texture in bases.items()}


def bases_of(pipeline, generators: dict, rgb: np.ndarray, seen: np.ndarray) -> dict[str, np.ndarray]:
    """The pictures, at base size, that several studio generators make of the same W+ code."""
    with torch.no_grad():
        inversion = _inverted(pipeline, rgb, seen)
        pictures = {
            name: pipeline.from_pipe(pipeline, studio_generator=generator).generate(inversion)
            for name, generator in generators.items()
        }
    return {name: to_array(texture) for name, texture in pictures.items()}


def pictures_of(pipeline, generators: dict, rgb: np.ndarray, seen: np.ndarray) -> dict[str, np.ndarray]:
    """What the phone generator and several studio generators make of one refined code; all (R, R, 3) in [0, 1]."""
    with torch.no_grad():
        inversion = _inverted(pipeline, rgb, seen)
        pictures = {"phone generator": inversion.reconstruction} | {
            name: generator.synthesize(inversion.w_plus, noise_mode="const")
            for name, generator in generators.items()
        }
    return {name: to_array(texture) for name, texture in pictures.items()}


def studio_generator(run: Path):
    """The studio generator of a finished run of train_studio."""
    return StyleGAN2Generator.from_pretrained(finished(run, "studio_generator"))


def plain_unet(run: Path, resolution: int):
    """The baseline UNet of a finished run, as a function of (rgb, seen) → texture, all (H, W[, 3]) float in [0, 1]."""
    unet = UNet2DModel.from_pretrained(finished(run, "plain_unet"))

    def translated(rgb: np.ndarray, seen: np.ndarray) -> np.ndarray:
        phone, mask = shrink_observed(to_tensor(rgb), torch.from_numpy(seen)[None, None], resolution)
        with torch.no_grad():
            return enlarge(to_array(translate(unet, phone, mask)), len(rgb))

    return translated


def finished(run: Path, name: str) -> Path:
    """The folder `name` that a finished training run leaves."""
    if not (run / name).is_dir():
        raise InvalidInputError(f"{run} has no {name}: let the training run finish, or name another folder.")
    return run / name
