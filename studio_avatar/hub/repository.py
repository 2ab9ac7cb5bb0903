"""What a weights repository is made of besides its networks: index, remote code and the list of SHA-256 sums.

The remote code is copied from this package (one source of truth). `pipeline/saving.py` writes the same when a loaded
pipeline is saved, by somebody who may not have this package.
"""

import json
from pathlib import Path

from diffusers import __version__ as diffusers_version

from studio_avatar.errors import WeightsError
from studio_avatar.imaging.files import write_atomically
from studio_avatar.pipeline.saving import INDEX_FILE, PIPELINE_FILES
from studio_avatar.weights.checksums import write_checksums
from studio_avatar.weights.variants import HALF_VARIANT, PLAIN_FILE, variant_file

PACKAGE = Path(__file__).resolve().parents[1]
# file in the repository ← file in the package
REMOTE_CODE = {
    **{f"{name}.py": f"pipeline/{name}.py" for name in PIPELINE_FILES},
    "phone_generator/stylegan2.py": "models/stylegan2.py",
    "studio_generator/stylegan2.py": "models/stylegan2.py",
    "encoder/inversion_encoder.py": "models/inversion_encoder.py",
    "registrar/registrar.py": "models/registrar.py",
    "relight_network/relight_network.py": "models/relight_network.py",
    "tone_estimator/tone_estimator.py": "models/tone_estimator.py",
    "head/head_model.py": "head/model.py",
    "hair_segmenter/hair_segmenter.py": "models/hair_segmenter.py",
    "hair_styles/hair_styles.py": "head/hair_styles.py",
}
# diffusers takes variant="fp16" only of a folder in which one component has a file of that variant. Where each has one file,
# the smallest network has it twice.
TWICE = "hair_segmenter"
INDEX = {
    "_class_name": ["studio_texture_pipeline", "StudioTexturePipeline"],
    "_diffusers_version": diffusers_version,
    "cover_network": ["diffusers", "UNet2DModel"],
    "encoder": ["inversion_encoder", "InversionEncoder"],
    "hair_segmenter": ["hair_segmenter", "HairSegmenter"],
    "hair_styles": ["hair_styles", "HairStyles"],
    "head": ["head_model", "HeadModel"],
    "phone_generator": ["stylegan2", "StyleGAN2Generator"],
    "registrar": ["registrar", "Registrar"],
    "relight_network": ["relight_network", "RelightNetwork"],
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "studio_generator": ["stylegan2", "StyleGAN2Generator"],
    "tone_estimator": ["tone_estimator", "ToneEstimator"],
    "unet": ["diffusers", "UNet2DModel"],
}


def require_head(folder: Path) -> None:
    """Raises `WeightsError` unless a head was baked into `folder`."""
    if not (folder / "head" / PLAIN_FILE).is_file():
        raise WeightsError(
            f"'{folder}' has no head: python -m tools.bake_head --out {folder / 'head'} makes it."
        )


def complete_repository(folder: Path) -> None:
    """Write all that follows from the package and the weights in `folder`: index, remote code, the smallest network under a
    second name, SHA-256 list. Older versions are replaced.

    Raises:
        WeightsError: there is no head in `folder`.
    """
    require_head(folder)
    for target, source in REMOTE_CODE.items():
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (PACKAGE / source).read_bytes())
    write_atomically(folder / INDEX_FILE, (json.dumps(INDEX, indent=2) + "\n").encode())
    halved = {name for name in INDEX if (folder / name / variant_file(HALF_VARIANT)).is_file()}
    if halved <= {TWICE}:  # one file for each network
        write_atomically(
            folder / TWICE / variant_file(HALF_VARIANT), (folder / TWICE / PLAIN_FILE).read_bytes()
        )
    write_checksums(folder)
