"""Loads a weights folder and makes one small texture; as a script, the way somebody without this package would.

    python door_check.py FOLDER

The script refuses every import of studio_avatar and prints the SHA-256 of the texture, which must be what the package's own
door gives (`texture_digest` of a pipeline it loaded).
"""

import hashlib
import sys

import numpy as np

STEPS = {"num_inversion_steps": 3, "num_inference_steps": 2, "seed": 0}


def made_up_texture(size: int) -> dict:
    """A made-up phone texture (size, size, 3) in [0, 1], seen on the left two thirds, as pipeline arguments."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    rgb = np.stack([0.75 - 0.3 * x, 0.55 - 0.2 * y, 0.4 + 0.1 * np.sin(20 * x)], axis=-1)
    return {"phone_texture": rgb, "seen": (x < 0.67).astype(np.float32), "output_size": size}


def texture_digest(pipe) -> str:
    """SHA-256 of the bytes of one texture at twice the base resolution."""
    pipe.set_progress_bar_config(disable=True)
    texture = pipe(**made_up_texture(2 * pipe.base_resolution), **STEPS).texture
    return hashlib.sha256(texture.tobytes()).hexdigest()


def main() -> None:
    sys.modules["studio_avatar"] = None  # an import of it now fails, installed or not
    from diffusers import DiffusionPipeline

    print(texture_digest(DiffusionPipeline.from_pretrained(sys.argv[1], trust_remote_code=True)))


if __name__ == "__main__":
    main()
