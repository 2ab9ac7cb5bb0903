"""A pipeline of tiny random networks around the real head, and a phone texture for it."""

import shutil
from pathlib import Path

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from studio_avatar.head.hair_styles import HairStyles
from studio_avatar.head.model import HeadModel
from studio_avatar.hub.repository import complete_repository
from studio_avatar.models import (
    HairSegmenter,
    InversionEncoder,
    Registrar,
    RelightNetwork,
    StyleGAN2Generator,
    ToneEstimator,
)
from studio_avatar.pipeline import cover, upscale
from studio_avatar.pipeline.studio_texture_pipeline import StudioTexturePipeline
from studio_avatar.training.networks import build_unet

WEIGHTS = Path(__file__).resolve().parents[2] / "weights_card"
SIZE = 128


def tiny_pipeline(head=None, resolution=64):
    """The real pipeline on untrained networks; `head`: a `HeadModel`, the real one if None."""
    torch.manual_seed(0)
    settings = {
        "resolution": resolution,
        "z_dim": 8,
        "w_dim": 8,
        "num_mapping_layers": 2,
        "channels": (8,) * (resolution.bit_length() - 2),
    }
    phone, studio = (StyleGAN2Generator(**settings) for _ in range(2))
    encoder = InversionEncoder(
        resolution=resolution,
        num_ws=phone.num_ws,
        w_dim=8,
        embedding_size=8,
        hidden_sizes=(8, 8, 8, 8),
        bottleneck=16,
        num_components=4,
    )
    torch.nn.init.ones_(encoder.code_std)
    tone_estimator = ToneEstimator(resolution, channels=(8, 8, 8, 8, 8), hidden=8)
    tone_estimator.lab_mean.copy_(torch.tensor([60.0, 15.0, 22.0]))
    relight_network = RelightNetwork(resolution, channels=(8, 8, 16), gain_level=1, place_level=1)
    cover_network = build_unet(
        (16, 32), inputs=6, patch=cover.PATCH, outputs=1, sample_size=64 // cover.PATCH
    )
    unet = build_unet((16, 32), inputs=9, patch=upscale.PATCH)
    # Untrained, they would answer zero whatever they see.
    torch.nn.init.normal_(unet.conv_out.weight, std=0.1)
    torch.nn.init.constant_(cover_network.conv_out.bias, -4.0)  # nothing is worn
    for layer in (relight_network.gain, relight_network.keep, relight_network.repair):
        torch.nn.init.normal_(layer.weight, std=0.1)
    head = head or HeadModel.from_pretrained(WEIGHTS, subfolder="head")
    scheduler = FlowMatchEulerDiscreteScheduler()
    registrar = Registrar(resolution=32, channels=(8, 8, 8, 8, 8), hidden=8)
    pipe = StudioTexturePipeline(
        cover_network, phone, studio, encoder, tone_estimator, relight_network, unet, scheduler, head, registrar,
        HairSegmenter(resolution=64).eval(), HairStyles.from_pretrained(WEIGHTS, subfolder="hair_styles"),
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    return pipe


def phone(size=SIZE):
    y, x = np.mgrid[0:size, 0:size] / size
    rgb = np.stack([0.5 + 0.3 * x, 0.4 + 0.2 * y, 0.3 + 0.1 * np.sin(9 * x)], axis=-1).astype(np.float32)
    seen = (x < 0.6).astype(np.float32)
    return {"phone_texture": rgb, "seen": seen, "output_size": size}


FAST = {"num_inversion_steps": 2, "num_inference_steps": 2}


def save_tiny_weights(folder: Path) -> Path:
    """A whole weights repository of the tiny pipeline, with the real card."""
    tiny_pipeline().save_pretrained(folder)
    complete_repository(folder)
    shutil.copyfile(WEIGHTS / "README.md", folder / "README.md")
    return folder
