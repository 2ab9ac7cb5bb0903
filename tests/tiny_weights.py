"""A pipeline of tiny random networks around the real head, and a phone texture for it."""

import shutil
from pathlib import Path

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from studio_avatar.head.model import HeadModel
from studio_avatar.hub.repository import complete_repository
from studio_avatar.models import InversionEncoder, StyleGAN2Generator
from studio_avatar.pipeline import StudioTexturePipeline
from studio_avatar.training.train_upscaler import build_unet

WEIGHTS = Path(__file__).resolve().parent.parent / "weights_card"
SIZE = 128


def tiny_pipeline():
    torch.manual_seed(0)
    settings = {
        "resolution": 64,
        "z_dim": 8,
        "w_dim": 8,
        "num_mapping_layers": 2,
        "channels": (8, 8, 8, 8, 8),
    }
    phone, studio = (StyleGAN2Generator(**settings) for _ in range(2))
    encoder = InversionEncoder(
        resolution=64,
        num_ws=phone.num_ws,
        w_dim=8,
        embedding_size=8,
        hidden_sizes=(8, 8, 8, 8),
        bottleneck=16,
        num_components=4,
    )
    head = HeadModel.from_pretrained(WEIGHTS, subfolder="head")
    unet = build_unet((16, 32))
    torch.nn.init.normal_(unet.conv_out.weight, std=0.1)  # untrained, it would answer zero whatever the noise
    pipe = StudioTexturePipeline(phone, studio, encoder, unet, FlowMatchEulerDiscreteScheduler(), head)
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
