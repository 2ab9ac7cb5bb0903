"""The gradient-guided upscaler: its operators against plain arithmetic, its sampler on an exact network."""

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UNet2DModel
from helpers.tiny_weights import WEIGHTS

from studio_avatar.pipeline import upscale as up
from studio_avatar.training.networks import build_unet


class PerfectUNet:
    """Knows the answer: returns exactly what the base lacks of `target`."""

    def __init__(self, target):
        self.target = target

    def __call__(self, patches, time):
        base = torch.nn.functional.pixel_shuffle(patches, up.PATCH)[:, 3:6]
        return type(
            "Sample", (), {"sample": torch.nn.functional.pixel_unshuffle(self.target - base, up.PATCH)}
        )


def test_divergence_is_the_negative_adjoint_of_the_differences():
    torch.manual_seed(0)
    image, gx, gy = (torch.randn(1, 1, 7, 9, dtype=torch.float64) for _ in range(3))
    gx[..., -1], gy[..., -1, :] = 0, 0  # differences are zero there by definition
    dx, dy = up.forward_differences(image)
    torch.testing.assert_close((dx * gx + dy * gy).sum(), -(image * up.divergence(gx, gy)).sum())


def pores(size=64):
    torch.manual_seed(0)
    return 0.1 * torch.randn(1, 3, size, size)


def test_detail_does_not_see_smooth_light_and_takes_the_base_brightness():
    skin, seen = pores(), torch.ones(1, 1, 64, 64)
    base = torch.zeros_like(skin)
    falloff = torch.linspace(0.5, 0.7, 64)  # light from one side, on encoded values
    bright, dark = (up.detail_gradients(p, seen, base, 8)[0] for p in (skin, (skin + 1.0) * falloff - 1.0))
    assert torch.corrcoef(torch.stack([bright.flatten(), dark.flatten()]))[0, 1] > 0.99
    assert 0.75 < dark.norm() / bright.norm() < 1.05
    darker_base = up.detail_gradients(skin, seen, base - 0.5, 8)[0]
    assert darker_base.norm() < 0.65 * bright.norm()


def test_the_edge_of_a_shadow_is_no_detail_but_a_mole_is():
    skin, seen = pores(), torch.ones(1, 1, 64, 64)
    shadow = torch.where(torch.arange(64) < 32, 1.0, 0.45)
    lit = (skin + 1.0) * shadow - 1.0
    base = torch.zeros_like(skin)
    gradients, trust = up.detail_gradients(lit, seen, base, 8)
    plain = torch.cat(up.forward_differences(up.log_luma(lit)), dim=1)
    edge = slice(28, 36)
    assert gradients[..., edge].square().sum() < 0.15 * plain[..., edge].square().sum()
    assert trust[..., edge].mean() < 0.4 and trust[..., :20].mean() > 0.9
    mole = skin.clone()
    mole[..., 30:33, 30:33] -= 0.5
    marked, trust = up.detail_gradients(mole, seen, base, 8)
    own = torch.cat(up.forward_differences(up.luma(mole)), dim=1)
    assert (
        torch.corrcoef(torch.stack([part[..., 28:35, 28:35].flatten() for part in (marked, own)]))[0, 1]
        > 0.95
    )
    assert trust[..., 28:35, 28:35].min() > 0.5


def test_gradients_are_zero_next_to_unseen_texels():
    seen = torch.ones(1, 1, 16, 16)
    seen[..., 8:] = 0
    gradients, trust = up.detail_gradients(torch.rand(1, 3, 16, 16), seen, torch.zeros(1, 3, 16, 16), 8)
    assert gradients[:, 0, :, 7:].abs().max() == 0 and gradients[:, 0, :, :7].abs().min() > 0
    assert trust[..., 8:].abs().max() == 0


@pytest.mark.parametrize("length, tiles", [(512, 1), (640, 2), (1024, 2), (1280, 3), (2048, 4)])
def test_tiles_cover_everything_and_overlap_and_no_more(length, tiles):
    side = up.tile_side(length, up.TILE, up.OVERLAP, 16)
    starts = up.tile_starts(length, side, up.OVERLAP)
    assert len(starts) == tiles and side % 16 == 0 and side <= up.TILE
    assert starts[0] == 0 and starts[-1] + side == length and all(s % up.PATCH == 0 for s in starts)
    assert all(0 <= a + side - b - up.OVERLAP <= 16 for a, b in zip(starts, starts[1:]))


def test_no_tile_grid_shows_in_flat_or_detailed_textures():
    """What a tile does not know of its neighbors must not show. The trained network: a random one is all border."""
    unet = UNet2DModel.from_pretrained(WEIGHTS, subfolder="unet").eval()
    torch.manual_seed(0)
    size, tile, overlap = 384, 160, 48
    assert up.tile_side(size, tile, overlap, 16) == tile
    starts = up.tile_starts(size, tile, overlap)
    borders = [start + offset for start in starts[1:] for offset in (0, overlap // 2)]
    for detail in (0.0, 0.1):
        base = torch.full((1, 3, size, size), 0.2)
        skin = (base + detail * torch.randn(1, 3, size, size)).clamp(-1, 1)
        gradients, trust = up.detail_gradients(skin, torch.ones(1, 1, size, size), base, 8)
        given, x = up.condition(base, gradients, trust), base + up.NOISE_SCALE * torch.randn(1, 3, size, size)
        with torch.no_grad():
            tiled = up.predict_clean_tiled(unet, x, torch.ones(1), given, tile, overlap)
        steps = (up.luma(tiled).diff(dim=-1)).abs().mean((0, 1, 2))
        inside = steps[32:-32]
        near = torch.cat([steps[b - 4 : b + 4] for b in borders if 32 < b < size - 32])
        assert near.mean() < 1.15 * inside.mean() and near.max() < 1.5 * inside.mean() + 1e-3


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
    assert torch.equal(
        guided[..., 9:], clean[..., 9:]
    )  # one texel beyond the seam still belongs to its difference
    assert torch.equal(up.guide(clean, gradients, seen, 0.0), clean)


@pytest.mark.parametrize("steps", [1, 4])
def test_sampler_reaches_the_target_of_a_perfect_network(steps):
    torch.manual_seed(0)
    target = torch.rand(1, 3, 64, 64) * 1.6 - 0.8
    result = up.upscale(
        torch.zeros(1, 3, 64, 64),
        torch.zeros(1, 3, 64, 64),
        torch.zeros(1, 1, 64, 64),
        PerfectUNet(target),
        FlowMatchEulerDiscreteScheduler(),
        num_inference_steps=steps,
    )
    torch.testing.assert_close(result, target, atol=1e-4, rtol=0)


def test_where_kept_only_fine_detail_is_added():
    base, fine = torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64)
    fine[..., ::2, ::2] = fine[..., 1::2, 1::2] = 0.05
    fine = fine - fine.mean()
    clean = fine + torch.linspace(0.1, 0.3, 64)
    kept = (torch.arange(64) < 32).float().expand(1, 1, 64, 64)
    made = up.consistent(clean, base, kept)
    torch.testing.assert_close(made[..., 4:28], fine[..., 4:28], atol=1e-3, rtol=0)
    assert torch.equal(made[..., 32:], clean[..., 32:])


def test_seed_fixes_the_texture_and_callback_sees_every_step():
    unet = build_unet((16, 32), inputs=9, patch=up.PATCH).eval()
    torch.nn.init.normal_(unet.conv_out.weight, std=0.1)  # untrained, it would answer zero whatever the noise
    seen = []
    inputs = (torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64), torch.ones(1, 1, 64, 64), unet)

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
