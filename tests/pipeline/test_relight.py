"""The relight stage: what is trusted passes through, whatever the networks know."""

import pytest
import torch
import torch.nn.functional as F

from studio_avatar.models import RelightNetwork
from studio_avatar.pipeline.relight import (
    compose,
    from_log_linear,
    log_linear,
    relight,
    smoothed_quotient,
)
from studio_avatar.pipeline.skin_tone import linear_to_srgb, measure_tone, srgb_to_linear

SIZE = 128
LAB = torch.tensor([[62.0, 14.0, 22.0]])


def face(seed=0, size=SIZE):
    """A skin-colored texture (1, 3, size, size) with fine detail, in [-1, 1]."""
    noise = torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(seed))
    color = torch.tensor([0.72, 0.55, 0.45]).view(1, 3, 1, 1)
    return (color * (1 + 0.08 * noise)).clamp(0, 1) * 2 - 1


def light(size=SIZE):
    """A gradient of light from left to right, factors on linear color."""
    return torch.linspace(0.35, 1.2, size).view(1, 1, 1, -1)


def lit(texture):
    return (
        linear_to_srgb((srgb_to_linear(texture * 0.5 + 0.5) * light(texture.shape[-1])).clamp(0, 1)) * 2 - 1
    )


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return RelightNetwork(SIZE, channels=(8, 16, 16), place_level=1).eval()


def ones(size=SIZE):
    return torch.ones(1, 1, size, size)


def detail(texture):
    return texture - F.avg_pool2d(F.pad(texture, (4,) * 4, mode="replicate"), 9, stride=1)


def test_log_linear_and_back_is_the_same_texture():
    texture = face()
    torch.testing.assert_close(from_log_linear(log_linear(texture)), texture, atol=1e-4, rtol=0)


def test_an_untrained_network_is_the_quotient(network):
    phone, base = lit(face(1)), F.avg_pool2d(face(2), 4)
    with torch.no_grad():
        trained = relight(base, phone, ones(), LAB, network, ones(), ones())
        floor = relight(base, phone, ones(), LAB, None, ones(), ones())  # at 512², so a little smoother
    assert (trained.texture - floor.texture).abs().mean() < 0.02
    assert 0.97 < trained.keep.mean() < 1


@pytest.mark.parametrize("mirrored", [False, True])
def test_asked_both_ways_the_mirror_image_gives_the_mirrored_answer(mirrored):
    torch.manual_seed(1)
    network = RelightNetwork(SIZE, channels=(8, 16, 16), place_level=1, mirrored=mirrored).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    textures = F.avg_pool2d(face(2), 4), lit(face(1)), ones() * light().clamp(0, 1)
    with torch.no_grad():
        for both_ways in (True, False):
            straight, mirrored_first = (
                relight(*pictures, LAB, network, ones(), ones(), both_ways=both_ways).texture
                for pictures in (textures, [texture.flip(-1) for texture in textures])
            )
            apart = (straight - mirrored_first.flip(-1)).abs().max()
            assert (apart < 1e-4) == both_ways


def test_a_mirror_without_weights_says_nothing():
    torch.manual_seed(2)
    plain = RelightNetwork(SIZE, channels=(8, 16, 16), place_level=1).eval()
    mirrored = RelightNetwork(SIZE, channels=(8, 16, 16), place_level=1, mirrored=True).eval()
    assert mirrored.load_state_dict(plain.state_dict(), strict=False).missing_keys == ["mirror.weight"]
    phone, base = lit(face(1)), F.avg_pool2d(face(2), 1)
    parts = phone, base, smoothed_quotient(phone, base, ones()), ones()
    with torch.no_grad():
        for one, other in zip(plain(*parts), mirrored(*parts), strict=True):
            torch.testing.assert_close(one, other)


def test_light_goes_and_detail_stays():
    person = face(3)
    base = torch.full((1, 3, 32, 32), 0.2)
    made = relight(base, lit(person), ones(), LAB, None, ones(), ones()).texture
    left, right = made[..., : SIZE // 3].mean(), made[..., -SIZE // 3 :].mean()
    assert (
        abs(left - right)
        < 0.05
        < abs(lit(person)[..., : SIZE // 3].mean() - lit(person)[..., -SIZE // 3 :].mean())
    )
    pair = torch.stack([detail(made).flatten(), detail(person).flatten()])
    assert torch.corrcoef(pair)[0, 1] > 0.95
    torch.testing.assert_close(measure_tone(made, ones()), LAB, atol=1.0, rtol=0)


def test_nothing_unseen_is_kept(network):
    visibility = ones()
    visibility[..., : SIZE // 2] = 0
    with torch.no_grad():
        made = relight(face(1), lit(face(2)), visibility, LAB, network, ones(), ones())
        other = relight(
            face(1),
            torch.where(visibility > 0, lit(face(2)), face(9)),
            visibility,
            LAB,
            network,
            ones(),
            ones(),
        )
    assert made.keep[..., : SIZE // 2].max() == 0
    torch.testing.assert_close(
        made.texture[..., : SIZE // 2], other.texture[..., : SIZE // 2], atol=1e-5, rtol=0
    )


def test_eyes_keep_what_the_phone_saw(network):
    skin = ones()
    skin[..., 40:60, 40:60] = 0  # an eye
    phone = lit(face(4))
    phone[..., 48:52, 48:52] = -0.9  # its pupil
    with torch.no_grad():
        network.keep.bias.fill_(-8)  # a network that keeps nothing
        made = relight(face(5), phone, ones(), LAB, network, ones(), skin)
        network.keep.bias.fill_(4)
    assert made.keep[..., 44:56, 44:56].min() > 0.99 and made.keep[..., :30, :].max() < 0.01
    assert made.texture[..., 49:51, 49:51].mean() < made.texture[..., 42:46, 42:46].mean() - 0.5


def test_whites_of_eyes_stay_white_in_any_tone_of_skin():
    skin = ones()
    skin[..., 40:60, 40:60] = 0
    phone = face(4)
    phone[..., 40:60, 40:60] = 0.3  # gray
    shown = [
        relight(face(5), phone, ones(), torch.tensor([lab]), None, ones(), skin).texture[..., 45:55, 45:55]
        for lab in ((62.0, 14.0, 2.0), (62.0, 14.0, 40.0), (95.0, 3.0, 8.0))
    ]
    for eyes in shown:
        red, green, blue = eyes.mean((0, 2, 3)).tolist()
        assert max(red, green, blue) - min(red, green, blue) < 0.06 and abs(red - 0.3) < 0.45
    assert shown[2].mean() > shown[1].mean() + 0.1  # darker or brighter as the skin is made
    assert shown[2].max() < 0.7  # but never lighter than eyes are


def test_unseen_teeth_lie_in_the_shade_of_the_lips():
    skin, visibility = ones(), ones()
    skin[..., 40:60, 40:60] = visibility[..., 30:70, 30:70] = 0
    white = torch.full_like(face(), 0.8)
    made = relight(white, lit(face(4)), visibility, LAB, None, ones(), skin).texture[..., 48:52, 48:52]
    share = srgb_to_linear(made * 0.5 + 0.5).mean() / srgb_to_linear(white * 0.5 + 0.5).mean()
    assert 0.2 < share < 0.5


@pytest.mark.parametrize("size", [64, 128, 256])
def test_textures_of_any_size_are_relit(network, size):
    with torch.no_grad():
        made = relight(face(1, 32), lit(face(2, size)), ones(size), LAB, network, ones(), ones())
    assert made.texture.shape == made.repair.shape == made.gain.shape == (1, 3, size, size)
    assert made.keep.shape == (1, 1, size, size) and made.texture.isfinite().all()


def test_the_quotient_knows_only_what_was_seen():
    phone, base, visibility = lit(face(1)), face(2), ones()
    visibility[..., 100:] = 0
    changed = torch.where(visibility > 0, phone, torch.full_like(phone, -1.0))
    torch.testing.assert_close(
        smoothed_quotient(phone, base, visibility),
        smoothed_quotient(changed, base, visibility),
        atol=1e-5,
        rtol=0,
    )


def test_compose_is_the_formula():
    phone, repair = face(1), face(2)
    gain = torch.full((1, 3, SIZE, SIZE), 0.3)
    made = compose(phone, ones(), gain, torch.full((1, 1, SIZE, SIZE), 0.25), repair)
    expected = 0.25 * from_log_linear(log_linear(phone) + 0.3) + 0.75 * repair
    torch.testing.assert_close(made.texture, expected)
