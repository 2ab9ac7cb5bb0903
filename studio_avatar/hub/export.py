"""Weights of a repository: from finished training runs, and in all variants for publishing."""

import shutil
from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UNet2DModel

from studio_avatar.models import (
    InversionEncoder,
    Registrar,
    RelightNetwork,
    StyleGAN2Generator,
    ToneEstimator,
)
from studio_avatar.weights.load import CLASSES
from studio_avatar.weights.variants import HALF_VARIANT

from .repository import complete_repository, require_head

NETWORKS = (
    "registrar",
    "hair_segmenter",
    "cover_network",
    "phone_generator",
    "studio_generator",
    "encoder",
    "tone_estimator",
    "relight_network",
    "unet",
)
CONFIG_FILE = "config.json"


def halve_parameters(module):
    """Parameters in float16; buffers (statistics, tables, filters) stay float32."""
    for parameter in module.parameters():
        parameter.data = parameter.data.to(torch.float16)
    return module


def export(runs: Path, folder: Path) -> None:
    """Writes all networks and the scheduler from the finished stages' folders under `runs`.

    The parameters are stored as float16 under the plain file names, which keeps the embedded repository small. The head is
    baked straight into `folder/head` by `tools.bake_head` and is left alone, as are hair segmenter and styles.

    Raises:
        WeightsError: there is no head yet.
    """
    require_head(folder)
    sources = {
        "registrar": (Registrar, runs / "registrar" / "registrar"),
        "cover_network": (UNet2DModel, runs / "cover" / "cover_network"),
        "phone_generator": (StyleGAN2Generator, runs / "phone" / "phone_generator"),
        "encoder": (InversionEncoder, runs / "phone" / "encoder"),
        "studio_generator": (StyleGAN2Generator, runs / "studio" / "studio_generator"),
        "tone_estimator": (ToneEstimator, runs / "tone" / "tone_estimator"),
        "relight_network": (RelightNetwork, runs / "relight" / "relight_network"),
        "unet": (UNet2DModel, runs / "upscaler" / "unet"),
    }
    for name, (cls, source) in sources.items():
        shutil.rmtree(folder / name, ignore_errors=True)
        component = halve_parameters(cls.from_pretrained(source))
        component.register_to_config(_name_or_path=name)
        component.save_pretrained(folder / name)
    FlowMatchEulerDiscreteScheduler().save_pretrained(folder / "scheduler")
    complete_repository(folder)


def write_variants(weights: Path, folder: Path) -> None:
    """Copy a weights folder, every network as float32 (plain file) and as float16 (variant "fp16").

    Whatever the source stores, the float32 file holds the same numbers; so does the float16 file when the source is float16.
    Buffers are float32 in both. Head and scheduler are the same in every variant.

    Args:
        weights: a folder that `StudioTexturePipeline.from_pretrained` loads.
        folder: new, or empty.
    """
    for name in ("head", "hair_styles", "scheduler"):
        shutil.copytree(weights / name, folder / name, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for name in NETWORKS:
        component = CLASSES[name].from_pretrained(weights, subfolder=name)
        component.save_pretrained(folder / name)
        halve_parameters(component).save_pretrained(folder / name, variant=HALF_VARIANT)
        shutil.copyfile(
            weights / name / CONFIG_FILE, folder / name / CONFIG_FILE
        )  # the saved one has a local path in it
    complete_repository(folder)
