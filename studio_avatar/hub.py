"""The Hub repository `weights_card/`: components, index and remote code, assembled from finished training runs.

    python -m studio_avatar.hub export --runs RUNS --out weights_card      new weights from the stages' run folders
    python -m studio_avatar.hub code --out weights_card                    only the remote code and the index

The remote code is copied from this package (one source of truth), because diffusers' own `save_pretrained` writes neither
code nor an index that somebody without this package could load.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UNet2DModel
from diffusers import __version__ as diffusers_version

from .files import write_atomically
from .models import InversionEncoder, StyleGAN2Generator

PACKAGE = Path(__file__).resolve().parent
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
    """Index and remote code of the repository, overwriting older versions of them."""
    for target, source in REMOTE_CODE.items():
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (PACKAGE / source).read_bytes())
    write_atomically(folder / "model_index.json", (json.dumps(INDEX, indent=2) + "\n").encode())


def halve_parameters(module):
    """Parameters in float16; buffers (statistics, tables, filters) stay float32."""
    for parameter in module.parameters():
        parameter.data = parameter.data.to(torch.float16)
    return module


def export(runs: Path, folder: Path) -> None:
    """Writes generators, encoder, UNet and scheduler of finished stages (`phone`, `studio`, `upscaler` under `runs`).

    The head is baked straight into `folder/head` by `studio_avatar.head.bake` and is left alone.
    """
    sources = {
        "phone_generator": (StyleGAN2Generator, runs / "phone" / "phone_generator"),
        "encoder": (InversionEncoder, runs / "phone" / "encoder"),
        "studio_generator": (StyleGAN2Generator, runs / "studio" / "studio_generator"),
        "unet": (UNet2DModel, runs / "upscaler" / "unet"),
    }
    for name, (cls, source) in sources.items():
        shutil.rmtree(folder / name, ignore_errors=True)
        component = halve_parameters(cls.from_pretrained(source))
        component.register_to_config(_name_or_path=name)
        component.save_pretrained(folder / name)
    FlowMatchEulerDiscreteScheduler().save_pretrained(folder / "scheduler")
    write_remote_code(folder)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=("export", "code"))
    parser.add_argument("--runs", type=Path, help="folder with the finished runs phone, studio and upscaler")
    parser.add_argument("--out", type=Path, default=Path("weights_card"))
    options = parser.parse_args(arguments)
    if options.action == "code":
        write_remote_code(options.out)
    elif options.runs is None:
        parser.error("export needs --runs")
    else:
        export(options.runs, options.out)


if __name__ == "__main__":
    main()
