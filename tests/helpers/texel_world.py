"""Small heads, lights and textures for captures in texture space: made once, in seconds."""

import functools
from pathlib import Path

import numpy as np
import torch

from studio_avatar.data.simulate.environments import paint_panorama
from studio_avatar.data.simulate.texel_masks import texel_masks
from studio_avatar.head.model import HeadModel
from tools.bake_transfer import bake_covers, bake_heads

WEIGHTS = Path(__file__).resolve().parents[2] / "weights_card"
BAKED, BANK = 64, 32  # texels of the heads; the coarser ones have none between the lids
MASKS = 64


@functools.cache
def head():
    return HeadModel.from_pretrained(WEIGHTS, subfolder="head")


@functools.cache
def masks():
    return texel_masks(head(), MASKS)


@functools.cache
def baked():
    """Two heads of 64 directions, and covers, as `tools/bake_transfer.py` writes them."""
    return bake_heads(head(), 2, BAKED, 64) | {"covers": bake_covers(head(), 2, MASKS)}


@functools.cache
def eyes():
    """(BAKED, BAKED) bool: texels of the eyeballs."""
    return masks().resized(BAKED, "cpu").eyes[0, 0] > 0.5


@functools.cache
def panoramas(count=3, height=16):
    """(count, height, 2 height, 3) painted."""
    rng = np.random.default_rng(0)
    step = 128 // height
    painted = [
        paint_panorama(rng).reshape(height, step, 2 * height, step, 3).mean((1, 3)) for _ in range(count)
    ]
    return np.stack(painted).astype(np.float16)


@functools.cache
def textures(count=4, size=MASKS):
    """(count, 3, S, S) uint8 skins from dark to light, with some pattern."""
    rng = np.random.default_rng(1)
    shades = np.linspace(0.15, 0.85, count)[:, None, None, None]
    skin = shades * np.array([1.0, 0.78, 0.65])[:, None, None] + 0.03 * rng.standard_normal(
        (count, 3, size, size)
    )
    return torch.from_numpy((skin.clip(0, 1) * 255).astype(np.uint8))
