"""Oculus visemes and mixtures: their names, what they do to the mouth, and the files with them."""

import numpy as np
import pytest
from helpers.glb_reader import Glb
from helpers.node_tools import validate

from studio_avatar.avatar import Avatar
from studio_avatar.avatar.export.motion import Motion
from studio_avatar.avatar.shapes.lips import lip_gap, lip_rig
from studio_avatar.avatar.shapes.visemes import MIXTURES, SHAPE_SETS, VISEMES
from studio_avatar.errors import InvalidInputError
from studio_avatar.head.geometry import geometry
from studio_avatar.pipeline.studio_texture_pipeline import SHAPES as PIPELINE_SHAPES
from studio_avatar.rendering.normals import vertex_normals
from studio_avatar.results.settings import SHAPES

ARKIT, OCULUS = SHAPE_SETS


@pytest.fixture(scope="module")
def avatar(head):
    identity = np.random.default_rng(4).normal(size=100)
    still = Motion(np.float32([0, 1]), np.full((2, 52), 0.5), np.float32([[0, 0, 0, 1]] * 2))
    return Avatar(head, identity, np.full((64, 64, 3), 128, np.uint8), motion=still, shapes=OCULUS)


@pytest.fixture(scope="module")
def glb(avatar, tmp_path_factory):
    return Glb(avatar.export(tmp_path_factory.mktemp("visemes") / "a.glb", "light", animation=True))


def test_every_layer_offers_the_same_sets():
    assert SHAPES == SHAPE_SETS == PIPELINE_SHAPES


def test_names_and_counts(head, avatar):
    assert len(VISEMES) == 15 and len(MIXTURES) == 5
    assert avatar.names == [*head.config.expression_names, *VISEMES, *MIXTURES]
    assert avatar.full_mesh.offsets.shape[0] == len(set(avatar.names)) == 72
    with pytest.raises(InvalidInputError, match="visemes"):
        _ = Avatar(head, avatar.identity, avatar.texture, shapes="visemes").full_mesh


def test_arkits_shapes_stay_as_they_are(head, avatar):
    plain = Avatar(head, avatar.identity, avatar.texture)
    np.testing.assert_array_equal(avatar.full_mesh.offsets[:52], plain.full_mesh.offsets)
    np.testing.assert_array_equal(avatar.full_mesh.vertices, plain.full_mesh.vertices)


def test_visemes_do_to_the_mouth_what_their_sounds_do(head, avatar):
    rest, rig = avatar.mesh(), lip_rig(head)
    lips = np.unique(geometry(head).faces[geometry(head).in_regions("lips")])
    opened = {name: lip_gap(avatar.mesh({name: 1.0}), rig).max() for name in VISEMES}
    width = {name: np.ptp(avatar.mesh({name: 1.0})[lips, 0]) for name in VISEMES}
    np.testing.assert_allclose(avatar.mesh({"viseme_sil": 1.0}), rest, atol=1e-7)
    assert opened["viseme_PP"] < 0.001 < 0.008 < opened["viseme_aa"] == max(opened.values())
    assert opened["viseme_U"] < opened["viseme_O"] < opened["viseme_aa"]
    assert width["viseme_U"] < np.ptp(rest[lips, 0]) - 0.003 < width["viseme_I"]
    still = np.unique(geometry(head).faces[geometry(head).in_regions("scalp", "ears", "eyeball_left")])
    for name in VISEMES:
        np.testing.assert_allclose(avatar.mesh({name: 1.0})[still], rest[still], atol=1e-3)


def test_mixtures_are_made_of_the_persons_own_shapes(avatar):
    for name, parts in MIXTURES.items():
        np.testing.assert_allclose(avatar.mesh({name: 1.0}), avatar.mesh(parts), atol=1e-6)


def test_the_file_has_them_and_keeps_every_normal(avatar, glb):
    assert glb.scene["meshes"][0]["extras"]["targetNames"] == avatar.names
    targets = glb.primitive["targets"]
    weights = glb.accessor(glb.scene["animations"][0]["samplers"][0]["output"])
    assert len(targets) == 72 and len(weights) == 2 * 72
    rest = glb.accessor(glb.primitive["attributes"]["NORMAL"])
    full = np.stack([glb.accessor(target["NORMAL"]) for target in targets])
    assert np.abs(full).max() <= 1
    assert np.linalg.norm(rest + full, axis=-1).min() > 0.05  # what is left of it has a direction


def test_normals_that_turn_far_are_shortened_and_keep_their_direction(avatar):
    from studio_avatar.avatar.export.glb import _turns

    mesh = avatar.full_mesh
    number = avatar.names.index("eyesClosed")
    rest = vertex_normals(mesh.vertices, mesh.faces)
    turned = vertex_normals(mesh.vertices + mesh.offsets[number], mesh.faces)
    assert np.abs(turned - rest).max() > 1  # or this shows nothing
    total = rest + _turns(rest, turned)
    total /= np.linalg.norm(total, axis=1, keepdims=True)
    np.testing.assert_allclose(total, turned, atol=1e-3)


@pytest.mark.network
def test_the_khronos_validator_has_nothing_to_say(avatar, tmp_path, node_folder):
    for level in ("full", "light"):
        report = validate(avatar.export(tmp_path / f"{level}.glb", level), node_folder)
        assert report["issues"]["messages"] == []
        assert report["info"]["hasMorphTargets"]
