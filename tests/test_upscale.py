"""The gradient-guided upscaler: its operators against plain arithmetic, its sampler on an exact network."""

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from studio_avatar import upscale as up
from studio_avatar.training.networks import build_unet


class PerfectUNet:
    """Knows the answer: returns exactly what the base lacks of `target`."""

    def __init__(self, target):
        self.target = target

    def __call__(self, patches, time):
        base = torch.nn.functional.pixel_shuffle(patches, up.PATCH)[:, 3:6]
        return type("Sample", (), {"sample": torch.nn.functional.pixel_unshuffle(self.target - base, up.PATCH)})


def test_divergence_is_the_negative_adjoint_of_the_differences():
    torch.manual_seed(0)
    image, gx, gy = (torch.randn(1, 1, 7, 9, dtype=torch.float64) for _ in range(3))
    gx[..., -1], gy[..., -1, :] = 0, 0  # differences are zero there by definition
    dx, dy = up.forward_differences(image)
    torch.testing.assert_close((dx * gx + dy * gy).sum(), -(image * up.divergence(gx, gy)).sum())


def test_phone_gradients_do_not_see_smooth_light_and_take_the_base_brightness():
    torch.manual_seed(0)
    skin = 0.1 * torch.randn(1, 3, 32, 32).cumsum(-1).clamp(-4, 4) * 0.3
    seen = torch.ones(1, 1, 32, 32)
    base = torch.zeros_like(skin)
    dim = (skin + 1.0) * 0.5 - 1.0  # the same picture at half the (encoded) light
    bright, dark = (up.phone_gradients(p, seen, base) for p in (skin, dim))
    assert torch.corrcoef(torch.stack([bright.flatten(), dark.flatten()]))[0, 1] > 0.99
    assert 0.75 < dark.norm() / bright.norm() < 1.05
    darker_base = up.phone_gradients(skin, seen, base - 0.5)
    assert darker_base.norm() < 0.65 * bright.norm()


def test_phone_gradients_are_zero_next_to_unseen_texels():
    seen = torch.ones(1, 1, 8, 8)
    seen[..., 4:] = 0
    gradients = up.phone_gradients(torch.rand(1, 3, 8, 8), seen, torch.zeros(1, 3, 8, 8))
    assert gradients[:, 0, :, 3:].abs().max() == 0 and gradients[:, 0, :, :3].abs().min() > 0


def test_guidance_brings_the_gradients_closer_only_where_seen():
    torch.manual_seed(0)
    clean, wanted = torch.rand(1, 3, 16, 16) * 0.1, torch.rand(1, 3, 16, 16)
    gradients = torch.cat(up.forward_differences(up.luma(wanted)), dim=1)
    seen = torch.zeros(1, 1, 16, 16)
    seen[..., :8] = 1
    guided = up.guide(clean, gradients, seen, 0.5)

    def error(picture):
        return (torch.cat(up.forward_differences(up.luma(picture)), dim=1) - gradients)[..., :8].norm()

    assert error(guided) < 0.5 * error(clean)
    assert torch.equal(guided[..., 9:], clean[..., 9:])  # one texel beyond the seam still belongs to its difference
    assert torch.equal(up.guide(clean, gradients, seen, 0.0), clean)


@pytest.mark.parametrize("steps", [1, 4])
def test_sampler_reaches_the_target_of_a_perfect_network(steps):
    torch.manual_seed(0)
    target = torch.rand(1, 3, 64, 64) * 1.6 - 0.8
    result = up.upscale(
        torch.zeros(1, 3, 16, 16),
        torch.zeros(1, 3, 64, 64),
        torch.zeros(1, 1, 64, 64),
        PerfectUNet(target),
        FlowMatchEulerDiscreteScheduler(),
        num_inference_steps=steps,
    )
    torch.testing.assert_close(result, target, atol=1e-4, rtol=0)


def test_seed_fixes_the_texture_and_callback_sees_every_step():
    unet = build_unet((16, 32), inputs=9, patch=up.PATCH).eval()
    torch.nn.init.normal_(unet.conv_out.weight, std=0.1)  # untrained, it would answer zero whatever the noise
    seen = []
    inputs = (torch.rand(1, 3, 16, 16), torch.rand(1, 3, 64, 64), torch.ones(1, 1, 64, 64), unet)

    def run(seed):
        def note(step, total, x):
            seen.append((step, total))
            return x

        with torch.no_grad():
            return up.upscale(
                *inputs,
                FlowMatchEulerDiscreteScheduler(),
                num_inference_steps=3,
                generator=torch.Generator().manual_seed(seed),
                callback=note,
            )

    assert torch.equal(run(1), run(1))
    assert (run(1) - run(2)).abs().max() > 1e-3
    assert seen[:3] == [(1, 3), (2, 3), (3, 3)]
