"""What lies in front of the face is found at any size, and has no say in what comes after."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from helpers.tiny_weights import FAST, phone, tiny_pipeline

from studio_avatar.pipeline.cover import (
    PATCH,
    bridged,
    find_cover,
    hanging_together,
    wide,
    without_forehead,
    without_specks,
)

SIDE = 64  # of the network's pictures


class DarkIsCover(ModelMixin, ConfigMixin):
    """Answers as the trained network would where skin is light and everything worn is black."""

    @register_to_config
    def __init__(self, sample_size=SIDE // PATCH):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(40.0))

    def forward(self, x, time):
        red, visibility = x[:, : PATCH**2], x[:, 3 * PATCH**2 : 4 * PATCH**2]
        return SimpleNamespace(sample=self.scale * ((-0.5 - red) * (visibility > 0)))


def picture(size):
    """Light skin with a black bar across, all seen but the right quarter."""
    texture, visibility = torch.full((1, 3, size, size), 0.5), torch.ones(1, 1, size, size)
    texture[:, :, size // 2 : size // 2 + size // 16] = -1.0
    visibility[..., 3 * size // 4 :] = 0
    return texture, visibility


@pytest.mark.parametrize("size", [SIDE, 4 * SIDE])
def test_a_bar_is_found_and_skin_is_not(size):
    texture, visibility = picture(size)
    cover = find_cover(texture, visibility, DarkIsCover())
    assert cover.shape == (1, 1, size, size) and cover.dtype == torch.float32
    assert cover[..., : size // 16].max() == cover[:, :, : size // 8].max() == 0  # nobody looks there
    left = cover[0, 0, :, size // 8 : size // 2]
    assert left[size // 2 : size // 2 + size // 16].min() > 0.95
    assert left[: size // 3].max() == left[2 * size // 3 :].max() == 0


def test_half_precision_networks_answer_in_single():
    texture, visibility = picture(SIDE)
    cover = find_cover(texture, visibility, DarkIsCover().to(torch.bfloat16))
    assert cover.dtype == torch.float32 and cover.max() > 0.9


def test_neither_what_is_wide_nor_what_is_thin_has_a_say_in_tone():
    cover = torch.zeros(1, 1, 128, 128)
    cover[..., 20:50, 30:90] = 1  # a cap
    cover[..., 80:83, 30:90] = 1  # a rim of glasses
    expected = cover.clone()
    expected[..., 80:83, :] = 0
    assert (wide(cover) == expected).all()

    pipe, tones = tiny_pipeline(), []
    for row in (20, 80, 81, 84):
        rgb, seen = torch.full((1, 3, 128, 128), 0.5), torch.ones(1, 1, 128, 128)
        rgb[..., row : row + 2, 30:90] = -0.5
        tones.append(pipe.tone(rgb, seen, cover, None)[0])
    assert tones[0] == tones[1] == tones[2] != tones[3]


def test_skin_goes_on_under_a_rim_and_holes_stay_holes():
    across = torch.linspace(-0.5, 0.5, 128).expand(1, 3, 128, 128)
    seen = torch.ones(1, 1, 128, 128)
    seen[..., 100:, :] = 0
    bare = seen.clone()
    bare[..., 60:63, :] = 0
    bare[..., 63, :] = 0.5
    rgb = torch.where(bare < 1, torch.full_like(across, -1.0), across)
    whole = bridged(torch.where(bare == 0.5, across, rgb), bare, seen)
    assert (whole[..., :100, 8:-8] - across[..., :100, 8:-8]).abs().max() < 0.01
    assert torch.equal(whole[..., :60, :], across[..., :60, :]) and (whole[..., 100:, :] == -1).all()


def test_what_is_covered_has_no_say():
    pipe = tiny_pipeline()
    pipe.cover_network = DarkIsCover()
    given = phone() | {"output_type": "np", "seed": 0}
    given["phone_texture"][40:60, 20:50] = 0.01
    first = pipe(**given, **FAST)
    given["phone_texture"][44:56, 24:46] = 0.02  # another black
    again = pipe(**given, **FAST)
    assert first.cover[45:55, 25:45].min() > 0.95 and first.provenance[45:55, 25:45].max() < 0.05
    assert first.keep[45:55, 25:45].max() < 0.05
    assert first.skin_tone == again.skin_tone
    assert (first.latents == again.latents).all()


def test_pale_parts_count_where_they_hang_together_with_sure_ones():
    found = torch.zeros(1, 1, 9, 40)
    found[0, 0, 4, :10] = found[0, 0, 4, 16:20] = 0.9
    found[0, 0, 4, 10:16] = 0.3  # a gap in a rim
    found[0, 0, 4, 20:40] = 0.3  # a shadow that runs on
    found[0, 0, 0, 30] = 0.3  # by itself
    whole = hanging_together(found, 5)
    assert (whole[0, 0, 4, :20] >= 0.9).all()
    assert (whole[0, 0, 4, 20:25] == 1).all() and torch.equal(whole[0, 0, :, 25:], found[0, 0, :, 25:])


def test_specks_are_no_covers_and_rims_in_pieces_are():
    cover = torch.zeros(1, 1, 512, 512)
    cover[..., 100:120, 100:120] = 1
    cover[..., 200:206, 100:180] = 1  # along a rim
    cover[..., 206:280, 174:180] = 1
    cover[..., 300:306, 100:130] = 1  # a short piece of one
    left = without_specks(cover, 128)
    assert left[..., :200, :].max() == left[..., 300:, :].max() == 0
    assert torch.equal(left[..., 200:300, :], cover[..., 200:300, :])


def test_a_forehead_under_a_cap_has_no_say_in_tone():
    """Down to the cap's lower edge, though it is found in patches; a strand, and glasses over brows or eyes, hide no
    forehead."""
    seen, cover = torch.zeros(4, 1, 128, 128), torch.zeros(4, 1, 128, 128)
    seen[:, :, 20:110, 30:90] = 1
    cover[0, :, 28:35, 30:60] = 1  # half of the cap's last rows
    cover[1, :, 20:60, 50:54] = 1
    cover[2, :, 50:54, 30:90] = 1
    cover[3, :, 40:44, 30:90] = 1
    left = without_forehead(seen, cover)
    assert (left[0, :, :36] == 0).all() and (left[0, :, 38:] == seen[0, :, 38:]).all()
    assert (left[1:] == seen[1:]).all()
