"""Captures made on the device, in texture space: people, light, phone, scene."""

import functools

import numpy as np
import pytest
import torch
from helpers import texel_world

from studio_avatar.capture.scene import SceneStatistics
from studio_avatar.data.simulate.draw import Draw
from studio_avatar.data.simulate.sky import ROTATIONS, TransferBank, panorama_nodes, sample_radiance
from studio_avatar.data.simulate.texel_light import TexelSimulator, TexelWorld, typology_angle
from studio_avatar.data.simulate.texel_phone import CURVES, tone_curve
from studio_avatar.data.simulate.wear import dress
from studio_avatar.pipeline.skin_tone import mean_linear, measure_tone, srgb_to_linear

SIZE = 64
NO_MAPS = torch.zeros(0, SIZE, SIZE, dtype=torch.uint8)


@functools.cache
def simulator(bare=False):
    """`bare`: nothing is worn."""
    baked = texel_world.baked()
    bank = TransferBank(
        *(baked[k] for k in ("normals", "bits", "directions", "covered")),
        texel_world.eyes(),
        texel_world.BANK,
        "cpu",
    )
    nodes = panorama_nodes(texel_world.panoramas(), bank.directions, "cpu")
    lights = {"photographed": nodes[:1], "painted": nodes[1:]}
    covers = NO_MAPS if bare else torch.from_numpy(baked["covers"])
    world = TexelWorld(texel_world.textures(), bank, lights, texel_world.masks(), covers, NO_MAPS)
    return TexelSimulator(world, SIZE, "cpu")


def test_same_seed_same_capture():
    first, again, other = (simulator().sample(3, Draw(seed, "cpu")) for seed in (3, 3, 4))
    assert torch.equal(first.phone, again.phone) and torch.equal(first.scene, again.scene)
    assert not torch.equal(first.phone, other.phone)


def test_shapes_and_ranges():
    made = simulator().sample(5, Draw(0, "cpu"))
    assert made.phone.shape == made.target.shape == (5, 3, SIZE, SIZE)
    assert made.visibility.shape == made.cover.shape == (5, 1, SIZE, SIZE)
    assert made.phone.abs().max() <= 1
    for mask in (made.visibility, made.cover):
        assert 0 <= mask.min() and mask.max() <= 1
    assert made.visibility.mean() > 0.05 and all(torch.isfinite(p).all() for p in (made.phone, made.scene))
    expected = measure_tone(made.target, simulator().masks.tone_weight)
    torch.testing.assert_close(made.lab, expected, atol=0.1, rtol=0)  # the weight is not quite symmetric


def test_people_have_the_tones_of_all_people():
    sim = simulator()
    angles = typology_angle(measure_tone(sim.people(64, Draw(0, "cpu")), sim.masks.tone_weight))
    assert angles.min() < -40 and angles.max() > 45
    thirds = [((angles > low) & (angles < low + 40)).float().mean() for low in (-60, -20, 20)]
    assert min(thirds) > 0.15


def test_dark_skin_stays_darker_in_the_same_light():
    """Under the same phone; what the phone meters is another matter."""
    sim = simulator(bare=True)
    light, dark = (torch.full((1,), angle) for angle in (50.0, -40.0))
    gray = torch.full((1, 3, SIZE, SIZE), 0.1)
    people = torch.cat([sim.with_tone(gray, angle, Draw(0, "cpu")) for angle in (light, dark)])
    radiance = sample_radiance(sim.lights, ("painted",), sim.bank.directions, 1, Draw(1, "cpu"))
    shading = sim.shade(radiance.repeat(2, 1, 1), Draw(1, "cpu"))
    lit = sim.lit_skin(srgb_to_linear(people * 0.5 + 0.5), shading)
    brightness = (lit * sim.masks.tone_weight).sum((1, 2, 3))
    assert brightness[1] < 0.75 * brightness[0]
    lab = measure_tone(people, sim.masks.tone_weight)
    torch.testing.assert_close(typology_angle(lab), torch.tensor([50.0, -40.0]), atol=3, rtol=0)


def test_brighter_light_raises_irradiance_in_proportion():
    sim = simulator(bare=True)
    radiance = sample_radiance(sim.lights, ("painted",), sim.bank.directions, 2, Draw(1, "cpu"))
    once, twice = (sim.shade(radiance * factor, Draw(2, "cpu")) for factor in (1, 2))
    torch.testing.assert_close(twice.irradiance, 2 * once.irradiance)
    torch.testing.assert_close(twice.on_eyes, 2 * once.on_eyes)
    torch.testing.assert_close(twice.visibility, once.visibility)


def test_light_from_one_side_leaves_the_other_dark_and_heads_cast_shadows():
    sim = simulator(bare=True)
    directions = sim.bank.directions
    radiance = torch.zeros(1, len(directions), 3)
    radiance[0, (directions @ torch.tensor([1.0, 0.0, 0.1])).argmax()] = 1.0  # from the person's left
    irradiance = sim.shade(radiance, Draw(0, "cpu")).irradiance.mean(1)[0]
    face = sim.masks.face[0, 0] > 0.5
    columns = torch.arange(SIZE)[None].expand(SIZE, SIZE)
    left, right = (irradiance[face & side].mean() for side in (columns > SIZE * 0.6, columns < SIZE * 0.4))
    assert left > 5 * right  # the person's left is on the image's right
    # Some texels face the light and get none, because the nose or the brow is in between.
    bank = sim.bank
    toward = directions[:, 0].argmax()
    facing = (bank.normals[0].view(3, -1).T @ directions[toward]) > 0.1
    hidden = bank.open_directions(0, torch.float32)[:, toward] == 0
    assert (facing & hidden & bank.covered.view(-1)).sum() > 3


def test_evenly_lit_skin_looks_like_its_texture():
    """Under an even sky an open texel's irradiance is the radiance, whatever its normal."""
    sim = simulator(bare=True)
    count = len(sim.bank.directions)
    radiance = torch.full((1, count, 3), 0.7 * 4 * torch.pi / count)
    irradiance = sim.shade(radiance, Draw(0, "cpu")).irradiance
    forehead = sim.masks.tone_weight.expand_as(irradiance) > 0.9
    assert 0.55 < irradiance[forehead].mean() < 0.75


def test_panoramas_keep_their_power_and_turn():
    nodes = panorama_nodes(
        texel_world.panoramas(), torch.from_numpy(texel_world.baked()["directions"]), "cpu"
    )
    assert nodes.shape[:2] == (3, ROTATIONS)
    luma = nodes @ torch.tensor([0.2126, 0.7152, 0.0722])
    torch.testing.assert_close(luma.sum(2), torch.full((3, ROTATIONS), 2 * torch.pi), rtol=1e-3, atol=0)
    assert not torch.allclose(nodes[0, 0], nodes[0, ROTATIONS // 2])


@pytest.mark.parametrize("curve", range(CURVES))
def test_tone_curves_rise(curve):
    x = torch.linspace(0, 3, 200).view(1, 1, -1)
    strength, lift = torch.full((1, 1, 1), 0.5), torch.full((1, 1, 1), 0.95)
    y = tone_curve(x, torch.tensor([curve]), strength, lift)
    assert 0 <= y.min() and y.max() <= 1 and (y.diff() >= -1e-6).all() and y.max() > 0.7


def test_whites_of_the_eyes_are_lit_and_mostly_known():
    """A coarse grid has no texel between the lids: the light there must not be lost with them."""
    sim = simulator(bare=True)
    shading = sim.shade(torch.ones(4, *sim.lights["painted"].shape[2:]), Draw(0, "cpu"))
    weight = sim.masks.tone_weight
    skin = (shading.irradiance * weight).sum((2, 3)) / weight.sum()
    assert (0.3 < (shading.on_eyes / skin)).all() and (shading.on_eyes / skin < 1.5).all()
    known = sim.sample(64, Draw(5, "cpu")).scene[:, 3]
    assert 0.2 < known.mean() < 0.9


def test_the_scene_has_the_order_that_captures_measure():
    """Known colors at the places where `SceneStatistics` puts them."""
    sim = simulator()
    made = sim.sample(64, Draw(5, "cpu"))
    known = SceneStatistics(
        sclera=(0.9, 0.9, 0.9), teeth=(0.8, 0.8, 0.8), surroundings=(0.5, 0.5, 0.5)
    ).vector
    unknown = SceneStatistics().vector
    flags = np.flatnonzero((known == 1) & (unknown == 0))  # one flag for each group
    assert len(flags) == 3
    scene = made.scene.numpy()
    assert set(np.unique(scene[:, flags])) == {0.0, 1.0}
    for flag, values in zip(flags, (range(0, 3), range(4, 11), range(12, 15)), strict=True):
        without = scene[scene[:, flag] == 0]
        assert len(without) and not without[:, list(values)].any()
    assert not scene[:, known.size - 2 :].any()


def test_caps_are_of_every_color():
    gray = torch.full((256, 3, SIZE, SIZE), 0.5)
    dressed = dress(
        gray, torch.ones_like(gray), NO_MAPS[:, None], torch.ones(1, 1, SIZE, SIZE), Draw(0, "cpu")
    )
    worn = dressed.cover[:, 0, SIZE // 8, SIZE // 2] > 0.99
    cloth = dressed.lit[worn, :, SIZE // 8, SIZE // 2]
    assert 30 < len(cloth) < 120  # caps and hands
    lightest, darkest = cloth.amax(1), cloth.amin(1)
    assert (lightest / darkest > 15).float().mean() > 0.1  # as a red cap
    assert (lightest / darkest < 1.3).float().mean() > 0.1  # black, gray, white
    assert lightest.min() < 0.05 and lightest.max() > 0.5


def test_pairs_are_lit_as_they_are_given():
    sim = simulator()
    target = sim.people(2, Draw(0, "cpu"))
    visibility = torch.rand(2, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    made = sim.sample(2, Draw(1, "cpu"), pairs=(target, visibility))
    turned = torch.where(made.mirrored.view(-1, 1, 1, 1), target.flip(-1), target)
    assert torch.equal(made.target, turned)
    assert mean_linear(made.phone, sim.masks.tone_weight).min() > 0
