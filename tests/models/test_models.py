"""StyleGAN2 generator, discriminator and inversion encoder on tiny sizes."""

import pytest
import torch
import torch.nn.functional as F

from studio_avatar.models import InversionEncoder, StyleGAN2Generator
from studio_avatar.models.discriminator import Discriminator, minibatch_std
from studio_avatar.models.stylegan2 import ModulatedConv, fir_kernel, upsample_image
from studio_avatar.models.stylegan2_convert import from_official, to_official

TINY = {"resolution": 16, "z_dim": 8, "w_dim": 8, "num_mapping_layers": 2, "channels": (6, 5, 4)}


@pytest.fixture
def generator():
    torch.manual_seed(0)
    return StyleGAN2Generator(**TINY).eval()


def test_shapes_and_style_count(generator):
    assert generator.num_ws == 6  # 2 log2(16) - 2
    w_plus = generator.style_vectors(torch.randn(3, 8))
    assert w_plus.shape == (3, 6, 8)
    assert generator.synthesize(w_plus).shape == (3, 3, 16, 16)


def test_official_names_round_trip_and_cover_every_key(generator):
    official = to_official(generator.state_dict())
    assert "mapping.fc1.weight" in official and "mapping.w_avg" in official
    for key in ("b4.const", "b4.torgb.affine.bias", "b16.conv0.noise_const", "b16.conv1.resample_filter"):
        assert f"synthesis.{key}" in official
    assert not [k for k in official if k.startswith("synthesis.b4.conv0")]
    back = from_official(official)
    assert back.keys() == generator.state_dict().keys()
    assert all(torch.equal(back[k], v) for k, v in generator.state_dict().items())


def test_converter_refuses_foreign_keys(generator):
    with pytest.raises(KeyError, match="no key of a StyleGAN2 generator"):
        from_official({**to_official(generator.state_dict()), "synthesis.b4.skip.weight": torch.zeros(1)})


@pytest.mark.parametrize("upsample", [False, True])
def test_modulated_convolution_equals_per_sample_weights(upsample):
    """Scaling activations must equal the paper's modulated and demodulated weights, sample by sample."""
    torch.manual_seed(1)
    conv = ModulatedConv(4, 5, 3, 8, upsample=upsample).double()
    x, w, kernel = torch.randn(2, 4, 6, 6).double(), torch.randn(2, 8).double(), fir_kernel().double()
    features, demodulation = conv(x, w, kernel)
    style = conv.affine(w)
    for i in range(2):
        weight = conv.weight * conv.gain * style[i][None, :, None, None]
        weight = weight * torch.rsqrt(weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8)
        if upsample:
            expected = F.conv_transpose2d(x[i : i + 1], weight.transpose(0, 1), stride=2)
            expected = F.conv2d(expected, (kernel * 4).expand(5, 1, 4, 4), padding=1, groups=5)
        else:
            expected = F.conv2d(x[i : i + 1], weight, padding=1)
        torch.testing.assert_close(features[i : i + 1] * demodulation[i].view(1, 5, 1, 1), expected)


def test_image_upsampling_keeps_constants_and_is_symmetric():
    flat = upsample_image(torch.full((1, 3, 8, 8), 0.7), fir_kernel())
    torch.testing.assert_close(flat[..., 2:-2, 2:-2], torch.full((1, 3, 12, 12), 0.7))
    picture = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(
        upsample_image(picture.flip(-1), fir_kernel()), upsample_image(picture, fir_kernel()).flip(-1)
    )


def test_each_style_drives_its_own_layer(generator):
    """With the finest to-RGB silenced, only the styles of the 4×4 and 8×8 blocks (0 to 3) may change the picture."""
    generator.blocks["16"].torgb.conv.weight.data.zero_()
    w_plus = torch.randn(1, 6, 8)
    picture = generator.synthesize(w_plus)
    for index in range(6):
        changed = w_plus.clone()
        changed[:, index] += 1.0
        assert torch.equal(generator.synthesize(changed), picture) == (index >= 4)


def test_noise_modes(generator):
    for block in generator.blocks.values():
        block.conv1.noise_strength.data.fill_(0.5)
    w_plus = torch.randn(1, 6, 8)
    assert torch.equal(generator.synthesize(w_plus, "const"), generator.synthesize(w_plus, "const"))
    assert not torch.equal(generator.synthesize(w_plus, "random"), generator.synthesize(w_plus, "random"))
    assert not torch.equal(generator.synthesize(w_plus, "none"), generator.synthesize(w_plus, "const"))
    with pytest.raises(ValueError, match="noise_mode must be"):
        generator.synthesize(w_plus, "loud")


def test_wrong_codes_and_sizes_are_named(generator):
    with pytest.raises(ValueError, match=r"\(B, 6, 8\)"):
        generator.synthesize(torch.randn(1, 5, 8))
    with pytest.raises(ValueError, match="power of two"):
        StyleGAN2Generator(resolution=24, channels=(4, 4, 4))


def test_generator_saves_and_loads_to_the_bit(generator, tmp_path):
    generator.save_pretrained(tmp_path)
    again = StyleGAN2Generator.from_pretrained(tmp_path)
    z = torch.randn(2, 8)
    assert torch.equal(generator(z), again(z))


def test_discriminator_sees_nothing_outside_the_mask():
    torch.manual_seed(0)
    net = Discriminator(16, (6, 5, 4))
    image, mask = torch.randn(4, 3, 16, 16), torch.zeros(4, 1, 16, 16)
    mask[..., :8] = 1.0
    other = image.clone()
    other[..., 8:] = torch.randn(4, 3, 16, 8)
    assert torch.equal(net(image, mask), net(other, mask))
    assert not torch.equal(net(image, mask), net(image, torch.ones_like(mask)))


def test_minibatch_std_is_zero_for_equal_samples():
    x = torch.randn(1, 3, 4, 4).expand(4, -1, -1, -1)
    assert minibatch_std(x)[:, 3].max() < 2e-4
    assert minibatch_std(torch.randn(4, 3, 4, 4))[:, 3].min() > 0.1


def test_encoder_ignores_unseen_texels_and_batch_statistics():
    torch.manual_seed(0)
    encoder = InversionEncoder(
        resolution=64,
        num_ws=4,
        w_dim=8,
        embedding_size=8,
        hidden_sizes=(8, 8, 8, 8),
        bottleneck=16,
        num_components=3,
    )
    rgb, seen = torch.randn(2, 3, 64, 64), torch.zeros(2, 1, 64, 64)
    seen[..., :32] = 1.0
    other = rgb.clone()
    other[..., 32:] = 0.3
    assert encoder(rgb, seen).shape == (2, 4, 8)
    assert torch.equal(encoder(rgb, seen), encoder(other, seen))
    torch.testing.assert_close(encoder.train()(rgb, seen)[:1], encoder(rgb[:1], seen[:1]))


def test_code_distance_counts_spread_by_component():
    encoder = InversionEncoder(
        resolution=64,
        num_ws=2,
        w_dim=4,
        embedding_size=8,
        hidden_sizes=(8, 8, 8, 8),
        bottleneck=16,
        num_components=2,
    )
    encoder.code_components.copy_(torch.eye(8)[:2])
    encoder.code_std.copy_(torch.tensor([4.0, 2.0]))
    offsets = torch.eye(8).view(8, 2, 4) * 4.0
    distance = encoder.code_distance(encoder.code_mean + offsets)
    torch.testing.assert_close(distance[:3], torch.tensor([1.0, 4.0, 100.0]) / 8)
    sample = encoder.sample_codes(torch.tensor([[1.0, -1.0]]))
    torch.testing.assert_close((sample - encoder.code_mean).flatten()[:3], torch.tensor([4.0, -2.0, 0.0]))
