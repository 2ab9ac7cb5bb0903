"""Our method, its stages and the trained baselines, as functions of arrays for `tables.py`.

Textures are (H, W, 3) float32 sRGB in [0, 1]; `seen` is (H, W) in [0, 1].
"""

from pathlib import Path

import numpy as np

from ..errors import InvalidInputError

REFINEMENT_STEPS = 100  # the pipeline's default


def reconstruct(pipeline, rgb: np.ndarray, seen: np.ndarray, num_steps: int) -> np.ndarray:
    """The phone generator's picture of the inverted texture; all (R, R, 3) sRGB in [0, 1], seen (R, R)."""
    import torch

    from ..pipeline import to_array, to_tensor

    mask = torch.from_numpy(seen)[None, None]
    return to_array(pipeline.invert(to_tensor(rgb), mask, num_steps, lambda *_: None).reconstruction)


def studio_textures(pipeline, rgb: np.ndarray, seen: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """The pipeline's studio base, enlarged, and its final texture, both of the size of `rgb`."""
    size = len(rgb)
    result = pipeline(phone_texture=rgb, seen=seen, seed=seed, output_type="np", output_size=size)
    return {"ours: studio base": enlarge(result.base, size), "ours: texture": result.texture}


def enlarge(texture: np.ndarray, size: int) -> np.ndarray:
    """(r, r, 3) in [0, 1] → (size, size, 3), bicubic, as the upscaler enlarges the base."""
    import torch.nn.functional as F

    from ..pipeline import to_array, to_tensor

    return to_array(F.interpolate(to_tensor(texture), size=(size, size), mode="bicubic", align_corners=False))


def bases_without(pipeline, rgb: np.ndarray, seen: np.ndarray) -> dict[str, np.ndarray]:
    """The studio base, enlarged, with all stages and without one each."""
    import torch

    from ..pipeline import to_array, to_tensor
    from ..skin_tone import set_tone

    phone, mask = to_tensor(rgb), torch.from_numpy(seen)[None, None]
    weight, skin = pipeline.tone_estimator.tone_weight, pipeline.tone_estimator.skin
    with torch.no_grad():
        tone, shown = pipeline.tone(phone, mask, None)
        encoded, refined = (pipeline.invert(phone, mask, steps, lambda *_: None) for steps in (0, REFINEMENT_STEPS))
        base = pipeline.generate(refined)
        bases = {
            "all stages": pipeline.personalise(base, phone, mask, tone),
            "without W+ refinement": pipeline.personalise(pipeline.generate(encoded), phone, mask, tone),
            "without the tone estimate (the phone's tone)": pipeline.personalise(base, phone, mask, shown),
            "without carry-over": set_tone(base, weight, torch.tensor([tone.lab]), skin),
            "studio generator alone": base,
        }
    return {name: enlarge(to_array(texture), len(rgb)) for name, texture in bases.items()}


def bases_of(pipeline, generators: dict, rgb: np.ndarray, seen: np.ndarray) -> dict[str, np.ndarray]:
    """The pictures, enlarged, that several studio generators make of the same W+ code."""
    import torch

    from ..pipeline import to_array, to_tensor

    phone, mask = to_tensor(rgb), torch.from_numpy(seen)[None, None]
    with torch.no_grad():
        inversion = pipeline.invert(phone, mask, REFINEMENT_STEPS, lambda *_: None)
        pictures = {
            name: pipeline.from_pipe(pipeline, studio_generator=generator).generate(inversion)
            for name, generator in generators.items()
        }
    return {name: enlarge(to_array(texture), len(rgb)) for name, texture in pictures.items()}


def studio_generator(run: Path):
    """The studio generator of a finished run of train_studio."""
    from ..models import StyleGAN2Generator

    return StyleGAN2Generator.from_pretrained(finished(run, "studio_generator"))


def plain_unet(run: Path, resolution: int):
    """The baseline UNet of a finished run, as a function of (rgb, seen) → texture, all (H, W[, 3]) float in [0, 1]."""
    import torch
    from diffusers import UNet2DModel

    from ..inversion import shrink_observed
    from ..pipeline import to_array, to_tensor
    from ..training.train_plain_unet import translate

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
