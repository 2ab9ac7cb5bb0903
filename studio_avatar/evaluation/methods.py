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
from studio_avatar.pipeline.relight import relight
from studio_avatar.pipeline.skin_tone import SkinTone, measure_tone
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


def studio_textures(pipeline, pair, seed: int) -> dict[str, np.ndarray]:
    """The pipeline's textures of a `StudioPair`, at its size: baselines and stages first, the final one last."""
    size = len(pair.rgb)
    result = pipeline(
        phone_texture=pair.rgb,
        seen=pair.seen,
        scene=pair.scene,
        seed=seed,
        output_type="np",
        output_size=size,
    )
    return {
        **quotients(pipeline, result.base, pair.rgb, pair.seen, result.skin_tone),
        "ours: studio base": enlarge(result.base, size),
        "ours: relit": result.relit,
        "ours: texture": result.texture,
    }


def estimated_tone(pipeline, pair) -> tuple[float, float, float]:
    """Estimated and true typology angle of the upper face's skin in degrees, and the error of L* in standard deviations."""
    phone, seen = to_tensor(pair.rgb), torch.from_numpy(pair.seen)[None, None]
    truth, _ = shrink_observed(to_tensor(pair.truth), torch.ones_like(seen), pipeline.base_resolution)
    with torch.no_grad():
        _, cover = pipeline.uncovered(phone, seen)
        tone, _ = pipeline.tone(phone, seen, cover, None, pair.scene)
        lab = measure_tone(truth, pipeline.tone_estimator.tone_weight)[0].tolist()
    return tone.ita, SkinTone(tuple(lab)).ita, (tone.lab[0] - lab[0]) / tone.std[0]


def quotients(pipeline, base, rgb, seen, tone) -> dict[str, np.ndarray]:
    """The floor of relighting: base over phone texture, smoothed over 12 and 28 texels of 1024, times the phone texture.

    No network and nothing repaired; eyes and mouth as in the pipeline.
    """
    estimator, lab = pipeline.tone_estimator, torch.tensor([tone.lab])
    parts = to_tensor(base), to_tensor(rgb), torch.from_numpy(seen)[None, None]
    with torch.no_grad():
        return {
            f"quotient {texels}": to_array(
                relight(*parts, lab, None, estimator.tone_weight, estimator.skin, texels / 1024).texture
            )
            for texels in (12, 28)
        }


def enlarge(texture: np.ndarray, size: int) -> np.ndarray:
    """(r, r, 3) in [0, 1] → (size, size, 3), bicubic, as the upscaler enlarges the base."""
    return to_array(F.interpolate(to_tensor(texture), size=(size, size), mode="bicubic", align_corners=False))


def textures_without(pipeline, pair) -> dict[str, np.ndarray]:
    """The relit texture with all stages and without one each."""
    phone, seen = to_tensor(pair.rgb), torch.from_numpy(pair.seen)[None, None]
    with torch.no_grad():
        mask, cover = pipeline.uncovered(phone, seen)
        tone, shown = pipeline.tone(phone, seen, cover, None, pair.scene)
        without_scene, _ = pipeline.tone(phone, seen, cover, None)
        with_covers, _ = pipeline.tone(phone, seen, torch.zeros_like(cover), None, pair.scene)
        encoded, refined, of_covered = (
            pipeline.generate(_inverted(pipeline, pair.rgb, visible[0, 0].numpy(), steps))
            for visible, steps in ((mask, 0), (mask, REFINEMENT_STEPS), (seen, REFINEMENT_STEPS))
        )

        def relit(base, tone, mask=mask):
            return pipeline.relight(pipeline.in_tone(base, tone), phone, mask, tone).texture

        made = {
            "all stages": relit(refined, tone),
            "without the cover network": relit(of_covered, with_covers, seen),
            "without W+ refinement": relit(encoded, tone),
            "without the scene": relit(refined, without_scene),
            "without the tone estimate (the phone's tone)": relit(refined, shown),
        }
    size = len(pair.rgb)
    bases = {"without relighting": pipeline.in_tone(refined, tone), "studio generator alone": refined}
    return {name: to_array(texture) for name, texture in made.items()} | {
        name: enlarge(to_array(texture), size) for name, texture in bases.items()
    }


def bases_of(pipeline, generators: dict, pair) -> dict[str, np.ndarray]:
    """The pictures, at base size, that several studio generators make of the same W+ code."""
    with torch.no_grad():
        inversion = _inverted(pipeline, pair.rgb, pair.seen)
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
    """The baseline UNet of a finished run, as a function of a `StudioPair` → texture (H, W, 3) in [0, 1]."""
    unet = UNet2DModel.from_pretrained(finished(run, "plain_unet"))

    def translated(pair) -> np.ndarray:
        phone, mask = shrink_observed(
            to_tensor(pair.rgb), torch.from_numpy(pair.seen)[None, None], resolution
        )
        with torch.no_grad():
            return enlarge(to_array(translate(unet, phone, mask)), len(pair.rgb))

    return translated


def finished(run: Path, name: str) -> Path:
    """The folder `name` that a finished training run leaves."""
    if not (run / name).is_dir():
        raise InvalidInputError(f"{run} has no {name}: let the training run finish, or name another folder.")
    return run / name
