"""Captures made in texture space: repeatable, in range, dark where shadowed, blind where hidden, right on average."""

import numpy as np
import pytest

from studio_avatar.data.simulate.simulation import shaped_mesh
from studio_avatar.data.simulate.texel_capture import capture_texels
from studio_avatar.head.layout import region_mask, texel_map
from studio_avatar.rendering import FLAT, Lamp, Light, Skin, look_at, render, render_texels

SIZE = 64


@pytest.fixture(scope="module")
def neutral(head):
    return shaped_mesh(head, np.zeros(100, np.float32), np.zeros(52, np.float32))


def test_same_seed_same_capture(head):
    texture = np.full((SIZE, SIZE, 3), (0.7, 0.5, 0.4), np.float32)
    first, again, other = (capture_texels(head, texture, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first.rgb.tobytes() == again.rgb.tobytes() and first.seen.tobytes() == again.seen.tobytes()
    assert first.rgb.tobytes() != other.rgb.tobytes()
    assert first.rgb.shape == (SIZE, SIZE, 3) and first.seen.shape == (SIZE, SIZE)
    assert 0 <= first.rgb.min() and first.rgb.max() <= 1 and 0 <= first.seen.min() and first.seen.max() <= 1
    assert np.array_equal(first.target, texture)


def test_the_face_is_seen_and_the_inner_mouth_is_not(head):
    texture = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    seen = np.mean([capture_texels(head, texture, np.random.default_rng(i)).seen for i in range(4)], axis=0)
    assert seen[region_mask(head, SIZE, "face")].mean() > 0.35
    assert seen[region_mask(head, SIZE, "tongue", "teeth")].mean() < 0.05


def test_flat_texels_are_the_texture_and_agree_with_the_picture(head, neutral):
    rng = np.random.default_rng(0)
    texture = rng.uniform(0.2, 0.8, (8, 8, 3)).astype(np.float32).repeat(8, 0).repeat(8, 1)
    camera = look_at((0, 0, 0.7), focal_px=600, size=(160, 200))
    texels = texel_map(head, SIZE)
    shown, cosine = render_texels(neutral, texels, texture, camera, FLAT)
    drawn = render(neutral, texture, camera, FLAT, srgb=False)
    assert shown[texels.covered].min() > 0 and not shown[~texels.covered].any()
    assert abs(shown[cosine > 0.5].mean() - drawn.rgb[drawn.triangle >= 0].mean()) < 0.05


def test_the_back_of_the_head_is_hidden_and_a_side_lamp_leaves_the_other_side_dark(head, neutral):
    texels = texel_map(head, SIZE)
    camera = look_at((0, 0, 0.7), focal_px=600, size=(160, 200))
    lamp = Light(lamps=(Lamp((1.0, 0.0, 0.2)),))
    shown, cosine = render_texels(
        neutral, texels, np.full((8, 8, 3), 0.5, np.float32), camera, lamp, Skin(specular=0)
    )
    positions = neutral.vertices[neutral.faces[texels.triangle]].mean(2)
    behind = texels.covered & (positions[..., 2] < -0.05)
    face = region_mask(head, SIZE, "face") & (cosine > 0)
    assert cosine[behind].max() == 0
    assert (
        shown[face & (positions[..., 0] > 0.03)].mean() > 3 * shown[face & (positions[..., 0] < -0.03)].mean()
    )
