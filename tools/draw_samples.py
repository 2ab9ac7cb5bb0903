"""A studio texture of nobody: a W+ code drawn from the training codes, through G_studio and the upscaler.

python -m tools.draw_samples --seed 5 --out texture.png
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from studio_avatar.avatar.material.eyes import paint_eyes_and_mouth
from studio_avatar.avatar.material.iris import BROWN_IRIS
from studio_avatar.imaging.files import write_atomically
from studio_avatar.imaging.image_io import encode_png, unit_to_uint8
from studio_avatar.pipeline.studio_texture_pipeline import StudioTexturePipeline, to_array
from studio_avatar.pipeline.upscale import upscale
from studio_avatar.weights.locate import find_weights

SPREAD = 0.8  # of the codes' standard deviation: the far ends of the distribution look less real


@torch.no_grad()
def sample_studio_texture(pipe, seed: int, size: int = 1024) -> np.ndarray:
    """(size, size, 3) float32 sRGB in [0, 1] with painted eyes and mouth."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(1, len(pipe.encoder.code_std), generator=generator)
    codes = pipe.encoder.sample_codes(SPREAD * noise)
    base = pipe.studio_generator.synthesize(codes).clamp(-1, 1)
    unseen, nothing = torch.zeros(1, 1, size, size), torch.zeros(1, 3, size, size)
    texture = upscale(base, nothing, unseen, pipe.unet, pipe.scheduler, generator=generator)
    return paint_eyes_and_mouth(to_array(texture), pipe.head, iris_rgb=BROWN_IRIS, seed=seed)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")
    parser.add_argument("--weights", help="weights folder or repository id")
    options = parser.parse_args(arguments)
    pipe = StudioTexturePipeline.from_pretrained(find_weights(options.weights))
    texture = sample_studio_texture(pipe, options.seed)
    write_atomically(options.out, encode_png(unit_to_uint8(texture)))


if __name__ == "__main__":
    main()
