"""What a weights repository is made of besides weights: index, remote code and the list of SHA-256 sums.

The remote code is copied from this package (one source of truth), because diffusers' own `save_pretrained` writes neither
code nor an index that somebody without this package could load.
"""

import json
from pathlib import Path

from diffusers import __version__ as diffusers_version

from ..checksums import write_checksums
from ..download import INDEX_FILE
from ..files import write_atomically

PACKAGE = Path(__file__).resolve().parents[1]
# file in the repository ← file in the package
REMOTE_CODE = {
    "studio_texture_pipeline.py": "pipeline.py",
    "inversion.py": "inversion.py",
    "upscale.py": "upscale.py",
    "errors.py": "errors.py",
    "phone_generator/stylegan2.py": "models/stylegan2.py",
    "studio_generator/stylegan2.py": "models/stylegan2.py",
    "encoder/inversion_encoder.py": "models/inversion_encoder.py",
    "head/head_model.py": "head/model.py",
}
INDEX = {
    "_class_name": ["studio_texture_pipeline", "StudioTexturePipeline"],
    "_diffusers_version": diffusers_version,
    "encoder": ["inversion_encoder", "InversionEncoder"],
    "head": ["head_model", "HeadModel"],
    "phone_generator": ["stylegan2", "StyleGAN2Generator"],
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "studio_generator": ["stylegan2", "StyleGAN2Generator"],
    "unet": ["diffusers", "UNet2DModel"],
}


def write_remote_code(folder: Path) -> None:
    """Index, remote code and SHA-256 list of the repository in `folder`, overwriting older versions of them."""
    for target, source in REMOTE_CODE.items():
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (PACKAGE / source).read_bytes())
    write_atomically(folder / INDEX_FILE, (json.dumps(INDEX, indent=2) + "\n").encode())
    write_checksums(folder)
