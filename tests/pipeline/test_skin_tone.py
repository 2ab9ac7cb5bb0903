"""Skin tone: color conversions against known values, setting and moving it, the estimator, and what is carried over."""

import math

import numpy as np
import pytest
import torch
from helpers.tiny_weights import FAST, phone, tiny_pipeline
from skimage.color import rgb2lab

from studio_avatar.errors import InvalidInputError
from studio_avatar.models import ToneEstimator
from studio_avatar.pipeline.relight import relight
from studio_avatar.pipeline.skin_tone import (
    SkinTone,
    lab_to_linear,
    linear_to_lab,
    linear_to_srgb,
    measure_tone,
    set_tone,
    srgb_to_linear,
    tone_of_ita,
)


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipeline()


def faces(count=2, size=64):
    generator = torch.Generator().manual_seed(0)
    smooth = torch.rand(count, 3, 4, 4, generator=generator)
    texture = torch.nn.functional.interpolate(smooth, size, mode="bicubic") * 0.2 + 0.35
    weight = torch.zeros(1, 1, size, size)
    weight[..., 16:40, 16:48] = 1.0
    return texture * 2 - 1, weight


def ita(lab):
    return math.degrees(math.atan2(float(lab[0]) - 50, float(lab[2])))


def test_colors_agree_with_the_evaluation_s_and_come_back():
    rgb = torch.rand(50, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    lab = linear_to_lab(srgb_to_linear(rgb))
    np.testing.assert_allclose(lab.numpy(), rgb2lab(rgb.numpy()), atol=0.02)
    torch.testing.assert_close(linear_to_srgb(lab_to_linear(lab)), rgb, atol=1e-6, rtol=0)


def test_a_set_tone_is_the_measured_tone_and_keeps_ratios():
    texture, weight = faces()
    wanted = torch.tensor([[45.0, 12.0, 18.0], [72.0, 10.0, 16.0]])
    toned = set_tone(texture, weight, wanted)
    torch.testing.assert_close(measure_tone(toned, weight), wanted, atol=0.2, rtol=0)
    dark = set_tone(texture[:1], weight, wanted[:1])
    before, after = (srgb_to_linear(image * 0.5 + 0.5) for image in (texture[:1], dark))
    gains = (after / before).flatten(2)
    assert (gains.amax(2) - gains.amin(2)).max() < 1e-3  # one gain a channel


def test_what_is_not_skin_keeps_its_color():
    texture, weight = faces()
    skin = torch.ones_like(weight)
    skin[..., :8, :] = 0
    toned = set_tone(texture, weight, torch.tensor([[30.0, 15.0, 20.0]]), skin)
    assert torch.equal(toned[..., :8, :], texture[..., :8, :]) and not torch.allclose(toned, texture)


@pytest.mark.parametrize("degrees", [-50.0, -20.0, 15.0, 45.0, 60.0])
def test_melanin_moves_a_tone_to_any_angle(degrees):
    start = torch.tensor([60.0, 15.0, 20.0])
    moved = tone_of_ita(start, degrees)
    assert ita(moved) == pytest.approx(degrees, abs=0.1)
    assert (moved[0] < start[0]) == (degrees < ita(start))


def test_ita_and_its_uncertainty():
    tone = SkinTone((70.0, 12.0, 20.0), (4.0, 1.0, 2.0))
    assert tone.ita == pytest.approx(45.0)
    draws = np.random.default_rng(0).normal(tone.lab, tone.std, (20000, 3))
    spread = np.degrees(np.arctan2(draws[:, 0] - 50, draws[:, 2])).std()
    assert tone.ita_std == pytest.approx(spread, rel=0.1)


def test_estimates_do_not_depend_on_the_side(pipe):
    texture, _ = faces()
    seen = torch.ones_like(texture[:, :1])
    seen[..., :20] = 0
    lab, std = pipe.tone_estimator.estimate(texture, seen)
    mirrored, _ = pipe.tone_estimator.estimate(texture.flip(-1), seen.flip(-1))
    torch.testing.assert_close(lab, mirrored, atol=1e-3, rtol=0)
    assert lab.shape == std.shape == (2, 3) and (std > 0).all()


def test_the_white_of_the_eyes_is_compared_with_the_skin_below_them():
    """Half the light on both changes nothing; an unknown white, or hidden skin, says nothing, and nothing of it is NaN."""
    net = ToneEstimator(32, (4, 4, 4, 4, 4), 8)
    net.beside_eyes[..., 20:24, :] = 1
    skin, scene = torch.full((4, 3, 32, 32), -0.2), torch.zeros(4, 20)
    skin[1] = 2 * (0.4 * 0.5 ** (1 / 2.2)) - 1
    scene[:, :4] = torch.tensor([0.8, 0.8, 0.8, 1.0])
    scene[1, :3] *= 0.5 ** (1 / 2.2)
    scene[2, :4] = 0
    seen = torch.ones(4, 1, 32, 32)
    seen[3] = 0
    beside = net._white_beside_skin(skin, seen, scene)
    assert beside[0, 0] == pytest.approx(0.5 * np.log(2.0**2.2), abs=0.01) and abs(beside[0, 1]) < 0.01
    torch.testing.assert_close(beside[1], beside[0], atol=0.01, rtol=0)
    assert (beside[2:] == 0).all()


def test_the_exposure_of_a_dim_clip_says_nothing_of_skin(pipe):
    """One capture two and three stops under; in ordinary surroundings nothing is lifted; nothing seen is no NaN."""
    texture, _ = faces(3)
    light = srgb_to_linear(texture * 0.5 + 0.5)
    shots = [linear_to_srgb(light * exposure) * 2 - 1 for exposure in (0.25, 0.125)]
    scene = torch.zeros(3, 20)
    scene[:, 11] = 1
    seen = torch.ones_like(texture[:, :1])
    seen[2] = 0
    (lab, _), (under, _) = (pipe.tone_estimator.estimate(shot, seen, scene) for shot in shots)
    torch.testing.assert_close(under, lab, atol=0.01, rtol=0)
    assert torch.isfinite(lab).all()
    scene[:, 4:10] = 0.6
    lifted, unlifted = pipe.tone_estimator.lifted(shots[0], seen, scene)
    torch.testing.assert_close(lifted, shots[0])
    torch.testing.assert_close(unlifted, scene)


def test_the_scene_has_a_share_of_the_answer():
    """The rest is said as if nothing were known of it; where both differ, the answer is less sure."""
    torch.manual_seed(0)
    net = ToneEstimator(32, (4, 4, 4, 4, 4), 8).eval()
    with torch.no_grad():
        net.members[0].head[-1].weight.mul_(100)
    capture = torch.rand(5, 3, 32, 32) - 0.3, torch.ones(5, 1, 32, 32)
    scene = torch.rand(5, 20)
    (heard, heard_std), (deaf, deaf_std) = net.estimate(*capture, scene), net.estimate(*capture)
    assert (heard - deaf).abs().mean() > 0.1
    net.register_to_config(scene_share=0.25)
    lab, std = net.estimate(*capture, scene)
    torch.testing.assert_close(lab, 0.25 * heard + 0.75 * deaf)
    apart = 0.25 * (heard - lab) ** 2 + 0.75 * (deaf - lab) ** 2
    torch.testing.assert_close(std, (0.25 * heard_std**2 + 0.75 * deaf_std**2 + apart).sqrt())
    torch.testing.assert_close(net.estimate(*capture), (deaf, deaf_std))


def test_estimator_ignores_what_was_not_seen(pipe):
    texture, _ = faces()
    seen = torch.zeros_like(texture[:, :1])
    seen[..., 20:50] = 1
    other = torch.where(seen > 0, texture, -texture)
    for one, two in zip(pipe.tone_estimator(texture, seen), pipe.tone_estimator(other, seen)):
        assert torch.equal(one, two)


def test_relit_texture_has_the_tone_and_ignores_the_phone_s(pipe):
    texture, weight = faces()
    lab = torch.tensor([[55.0, 14.0, 20.0]]).expand(2, 3)
    base, seen = texture.flip(0), torch.ones_like(texture[:, :1])
    masks = pipe.relight_network, weight, pipe.tone_estimator.skin
    with torch.no_grad():
        relit = relight(base, texture, seen, lab, *masks).texture
        # Another exposure and white balance is another gain a channel in linear light.
        gain = torch.tensor([0.6, 0.8, 0.9]).view(1, 3, 1, 1)
        shot = linear_to_srgb(srgb_to_linear(texture * 0.5 + 0.5) * gain) * 2 - 1
        again = relight(base, shot, seen, lab, *masks).texture
        nothing_seen = relight(base, texture, seen * 0, lab, *masks).texture
    torch.testing.assert_close(measure_tone(relit, weight), lab, atol=1.5, rtol=0)
    torch.testing.assert_close(again, relit, atol=0.02, rtol=0)
    assert (nothing_seen - relit).abs().max() > 0.05


def test_the_user_s_skin_tone_wins_and_is_checked(pipe):
    kwargs = {**phone(), **FAST, "seed": 0, "output_type": "np"}
    dark, light = (pipe(**kwargs, skin_tone=angle) for angle in (-30.0, 50.0))
    assert dark.skin_tone.ita == pytest.approx(-30, abs=0.5) and dark.skin_tone.std == (0.0, 0.0, 0.0)
    assert light.base.mean() > dark.base.mean() + 0.05
    estimated = pipe(**kwargs)
    assert min(estimated.skin_tone.std) > 0
    assert estimated.phone_skin_tone.lab == dark.phone_skin_tone.lab
    with pytest.raises(InvalidInputError, match="skin_tone is an individual typology angle"):
        pipe(**kwargs, skin_tone=90.0)
