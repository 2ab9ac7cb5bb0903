"""The face embedding's own arithmetic, on random weights: padding, scale, gradient, file round trip."""

import pytest
import torch
from safetensors.torch import save_file

from studio_avatar.models.mobilefacenet import ConvUnit, MobileFaceNet


def test_strided_convolution_pads_at_the_end_as_tensorflow_does():
    unit = ConvUnit(1, 1, 3, stride=2, active=False)
    torch.nn.init.ones_(unit.conv.weight)
    torch.nn.init.zeros_(unit.conv.bias)
    result = unit(torch.arange(16.0).view(1, 1, 4, 4))  # windows start at rows and columns 0 and 2
    expected = torch.tensor([[45.0, 39.0], [66.0, 50.0]])  # sums of rows 0-2 × columns 0-2, 0-2 × 2-3, …
    torch.testing.assert_close(result[0, 0], expected)


def test_file_round_trip_gives_a_frozen_unit_length_differentiable_embedding(tmp_path):
    torch.manual_seed(0)
    save_file(MobileFaceNet().state_dict(), tmp_path / "net.safetensors")
    net = MobileFaceNet.from_file(tmp_path / "net.safetensors")
    faces = (torch.rand(2, 3, 112, 112) * 2 - 1).requires_grad_()
    embedding = net.embed(faces)
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2))
    embedding[:, 0].sum().backward()
    assert faces.grad.abs().max() > 0
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in net.parameters())
    expected = net.head(net.blocks(net.stem(faces * (127.5 / 128)))).flatten(1)
    torch.testing.assert_close(net(faces), expected)


def test_wrong_size_and_missing_file_are_told(tmp_path):
    with pytest.raises(ValueError, match="112"):
        MobileFaceNet()(torch.zeros(1, 3, 64, 64))
    with pytest.raises(FileNotFoundError, match="convert_mobilefacenet"):
        MobileFaceNet.from_file(tmp_path / "none.safetensors")
