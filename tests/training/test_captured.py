"""Rendered captures as training sees them."""

import numpy as np
import pytest
import torch
from helpers import texel_world

from studio_avatar.data.prepare.pack import Pack, PackContents, read_captures, write_pack
from studio_avatar.data.simulate.draw import Draw
from studio_avatar.data.simulate.texel_light import typology_angle
from studio_avatar.pipeline.skin_tone import measure_tone, srgb_to_linear
from studio_avatar.training import captured
from studio_avatar.training.datasets import to_float

SIZE = 32


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    """Two captures: half as much light as their truth, whose left half is lighter, seen but for a column."""
    truth = np.full((64, 64, 3), (180, 140, 120), np.uint8)
    truth[:, :32] += 40
    seen = np.full((64, 64), 255, np.uint8)
    seen[:, -12:] = 0
    rows = [(truth // 2, truth, seen, np.full(20, 0.25 + 0.25 * i, np.float32)) for i in range(2)]
    light = {name: texel_world.panoramas() for name in ("photographed", "photographed_held_out", "painted")}
    path = tmp_path_factory.mktemp("captured") / "pack.safetensors"
    write_pack(
        path,
        PackContents(
            light=light,
            captures=rows,
            transfer=texel_world.baked(),
            masks=texel_world.masks(),
            networks={},
        ),
    )
    return Pack(path)


def test_phone_truth_and_scene_stay_together_and_are_flipped_together(pack):
    masks = texel_world.masks().resized(SIZE, "cpu")
    rendered = captured.RenderedCaptures(pack, SIZE, masks, "cpu")
    made = rendered.sample(24, Draw(3, "cpu"))
    assert len(rendered) == 2 and made.phone.shape == made.target.shape == (24, 3, SIZE, SIZE)
    lighter_left = made.target[..., :10].mean((1, 2, 3)) > made.target[..., -10:].mean((1, 2, 3))
    assert torch.equal(lighter_left, ~made.mirrored) and 3 < int(made.mirrored.sum()) < 21
    assert torch.equal(made.visibility[..., -1].amax((1, 2)) < 0.5, ~made.mirrored)
    assert (made.lab - measure_tone(made.target, masks.tone_weight)).abs().max() < 3
    assert (made.phone < made.target + 0.05).float().mean() > 0.9


def test_another_exposure_changes_picture_and_scene_alike(monkeypatch):
    monkeypatch.setattr(captured, "EXPOSED_ANEW", 1.0)
    phone, scene = torch.full((16, 3, 4, 4), -0.2), torch.full((16, 20), 0.4)
    changed, told = captured.exposed_anew(phone, scene, Draw(1, "cpu"))
    assert changed[:, 0, 0, 0].std() > 0.05
    assert torch.allclose(changed[:, :, 0, 0] * 0.5 + 0.5, told[:, :3], atol=1e-5)
    assert torch.equal(told[:, [3, 10, 11, 15, 16, 17]], scene[:, [3, 10, 11, 15, 16, 17]])
    monkeypatch.setattr(captured, "EXPOSED_ANEW", 0.0)
    monkeypatch.setattr(captured, "UNDER", 0.0)
    same, told = captured.exposed_anew(phone, scene, Draw(1, "cpu"))
    assert torch.allclose(same, phone, atol=1e-5) and torch.allclose(told, scene, atol=1e-5)


def test_another_tone_curve_keeps_the_order_of_brightness_and_is_that_of_picture_and_scene(monkeypatch):
    levels = torch.linspace(-1, 1, 40).expand(16, 3, 1, 40)
    scene = torch.linspace(0, 1, 20).expand(16, 20)
    monkeypatch.setattr(captured, "RECURVED", 1.0)
    curved, told = captured.recurved(levels, scene, Draw(2, "cpu"))
    assert (curved.diff(dim=-1) > 0).all() and (curved[:, 0, 0, 20]).std() > 0.05
    torch.testing.assert_close(curved[..., [0, -1]], levels[..., [0, -1]])
    as_picture = (
        captured.recurved((scene * 2 - 1)[:, None, None], scene, Draw(2, "cpu"))[0][:, 0, 0] * 0.5 + 0.5
    )
    is_color = torch.tensor(captured.COLORS)
    torch.testing.assert_close(told[:, is_color], as_picture[:, is_color])
    assert torch.equal(told[:, ~is_color], scene[:, ~is_color])
    monkeypatch.setattr(captured, "RECURVED", 0.0)
    torch.testing.assert_close(captured.recurved(levels, scene, Draw(2, "cpu"))[0], levels)


def test_caps_cover_what_is_above_their_edge_of_some_captures_and_are_found_more_or_less():
    phone, seen = torch.full((64, 3, SIZE, SIZE), 0.2), torch.ones(64, 1, SIZE, SIZE)
    capped, visibility = captured.under_caps(phone, seen, Draw(5, "cpu"))
    covered = ((capped - phone).abs().amax(1) > 0.01)[:, :, 3].sum(1) / SIZE
    low, high = captured.CAP_EDGES
    under = covered > 0
    assert 10 < int(under.sum()) < 45 and covered[under].min() > low - 0.05 and covered.max() < high + 0.05
    assert torch.equal(capped[:, :, -SIZE // 2 :], phone[:, :, -SIZE // 2 :]) and capped.abs().max() <= 1
    assert visibility[:, :, -SIZE // 2 :].min() == 1 and visibility[~under].min() == 1
    found = 1 - visibility[under][:, :, 0].mean((1, 2))
    assert found.min() < 0.5 and found.max() > 0.95


def test_glasses_are_taken_off_some_captures_and_nearly_all_of_them_is_gone(monkeypatch):
    phone, seen = torch.full((64, 3, SIZE, SIZE), 0.2), torch.ones(64, 1, SIZE, SIZE)
    covers = torch.zeros(2, 1, SIZE, SIZE, dtype=torch.uint8)
    covers[:, :, 12:14, 6:26] = 255
    worn = captured.in_glasses(phone, seen, covers, Draw(5, "cpu"))
    left = (worn - phone).abs().amax((1, 2, 3))
    assert 0 < int((left > 0.05).sum()) < 32
    assert torch.allclose(worn[:, :, :10], phone[:, :, :10]) and torch.allclose(
        worn[:, :, 16:], phone[:, :, 16:]
    )
    monkeypatch.setattr(captured, "_found", lambda count, side, draw: torch.ones(count, 1, side, side))
    assert torch.allclose(captured.in_glasses(phone, seen, covers, Draw(5, "cpu")), phone, atol=1e-4)


def test_sets_without_scene_or_registration_give_none(tmp_path):
    assert not list(read_captures(tmp_path / "none.safetensors", 4))


def test_other_tones_change_skin_and_what_the_phone_saw_of_it_alike(pack):
    masks = texel_world.masks().resized(SIZE, "cpu")
    rendered = captured.RenderedCaptures(pack, SIZE, masks, "cpu")
    phone, truth = to_float(rendered.phone), to_float(rendered.truth)
    changed_phone, changed = rendered._with_other_tones(phone, truth, Draw(2, "cpu"))
    angles = [typology_angle(measure_tone(one, masks.tone_weight)) for one in (truth, changed)]
    assert (angles[0] - angles[1]).abs().min() > 1
    skin = masks.skin[0, 0] > 0.99
    ratios = [
        srgb_to_linear(after * 0.5 + 0.5)[..., skin] / srgb_to_linear(before * 0.5 + 0.5)[..., skin]
        for before, after in ((truth, changed), (phone, changed_phone))
    ]
    within = (changed < 0.99).all(1)[:, skin].all(0)  # lighter ones may be clipped
    assert within.any() and torch.allclose(ratios[0][..., within], ratios[1][..., within], rtol=0.02)
