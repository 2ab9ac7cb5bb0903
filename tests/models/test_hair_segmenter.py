"""The hair segmenter: its unusual layers against NumPy, and its stored weights on a picture."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from studio_avatar.models.hair_segmenter import Bottleneck, DoublingConv, Down, HairSegmenter
from tools.tflite_graph import convolve, convolve_transposed, max_pool, max_unpool

ROOT = Path(__file__).parents[2]


def channels_last(x):
    return x.permute(0, 2, 3, 1).numpy()


def test_doubling_starts_at_the_first_pixel_and_is_cut_at_the_end():
    """Worked by hand: one pixel of 1 in a picture of 2×2 puts the kernel's own numbers where it lies."""
    layer = DoublingConv(1, 1, 3, stride=2)
    with torch.no_grad():
        layer.weight.copy_(torch.arange(1.0, 10.0).reshape(1, 1, 3, 3))
        layer.bias.fill_(0.5)
        answer = layer(torch.tensor([[[[0.0, 0.0], [0.0, 1.0]]]]))[0, 0]
    expected = torch.zeros(4, 4)
    expected[2:, 2:] = torch.tensor([[1.0, 2.0], [4.0, 5.0]])
    torch.testing.assert_close(answer, expected + 0.5)


@pytest.mark.parametrize("size", [2, 3])
def test_doubling_is_the_files_transposed_convolution(size):
    torch.manual_seed(size)
    layer, x = DoublingConv(3, 2, size, stride=2), torch.randn(1, 3, 5, 4)
    with torch.no_grad():
        answer = layer(x)
    weight = layer.weight.detach().permute(1, 2, 3, 0).numpy()
    expected = convolve_transposed(channels_last(x), weight, layer.bias.detach().numpy())
    np.testing.assert_allclose(channels_last(answer), expected, atol=1e-5)


def test_unpooling_puts_values_back_to_the_first_of_equal_maxima():
    x = torch.tensor([[[[3.0, 3.0, 1.0, 0.0], [3.0, 0.0, 2.0, 2.0]]]])
    largest, places = F.max_pool2d(x, 2, return_indices=True)
    back = F.max_unpool2d(largest * 10, places, 2)
    pooled, numbers = max_pool(channels_last(x))
    np.testing.assert_array_equal(channels_last(back), max_unpool(pooled * 10, numbers))
    assert back[0, 0].tolist() == [[30, 0, 0, 0], [0, 0, 20, 0]]


@pytest.mark.parametrize("kind, size", [("dilated", 4), ("wide", 5), ("plain", 3)])
def test_bottlenecks_convolve_as_the_file_does(kind, size):
    torch.manual_seed(0)
    layer = Bottleneck(4, 2, kind, size).path[2]
    x = torch.randn(1, 2, 9, 9)
    with torch.no_grad():
        answer = layer(x)
    depthwise = layer.groups > 1
    weight = layer.weight.detach().permute((1, 2, 3, 0) if depthwise else (0, 2, 3, 1)).numpy()
    expected = convolve(
        channels_last(x), weight, layer.bias.detach().numpy(), 1, layer.dilation[0], depthwise
    )
    np.testing.assert_allclose(channels_last(answer), expected, atol=1e-5)


def test_halving_is_the_files_strided_convolution():
    torch.manual_seed(0)
    layer, x = Down(3, 4, 8).path[0], torch.randn(1, 3, 6, 6)
    with torch.no_grad():
        answer = layer(x)
    weight = layer.weight.detach().permute(0, 2, 3, 1).numpy()
    expected = convolve(channels_last(x), weight, layer.bias.detach().numpy(), 2, 1, False)
    np.testing.assert_allclose(channels_last(answer), expected, atol=1e-5)


def test_the_stored_weights_find_hair():
    """A generated person with hair (CC0), from the picture of the documents: hair is above the face, not on it."""
    segmenter = HairSegmenter.from_pretrained(
        ROOT / "weights_card", subfolder="hair_segmenter", dtype=torch.float32
    )
    with Image.open(ROOT / "docs" / "people.jpg") as image:
        picture = np.asarray(image.convert("RGB").crop((0, 0, 300, 360)))
    hair = segmenter.segment(picture)
    assert hair.shape == picture.shape[:2] and 0 <= hair.min() and hair.max() <= 1
    assert 0.05 < (hair > 0.5).mean() < 0.5
    assert hair[20:110].mean() > 5 * hair[150:260, 100:200].mean()
