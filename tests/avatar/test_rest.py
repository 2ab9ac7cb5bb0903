"""The face at rest: what of a capture's expressions becomes the mesh, and that every shape still leads where it did."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.glb_reader import Glb

from studio_avatar.avatar import Avatar
from studio_avatar.avatar.shapes.eye_rig import eye_rigs
from studio_avatar.avatar.shapes.eyelids import clearance
from studio_avatar.avatar.shapes.rest import MOST, beyond_rest, resting_expression
from studio_avatar.avatar.shapes.visemes import MIXTURES, VISEMES

PERSON = {
    "eyeBlinkLeft": 0.2,
    "eyeSquintRight": 0.4,
    "browDownLeft": 0.3,
    "mouthSmileLeft": 0.2,
    "mouthSmileRight": 0.2,
}


@pytest.fixture(scope="module")
def names(head):
    return list(head.config.expression_names)


def expressions(names, *faces):
    """(K, 52) of K faces, each name → coefficient."""
    return np.float32([[face.get(name, 0.0) for name in names] for face in faces])


@pytest.fixture(scope="module")
def avatars(head, names):
    """One person with the model's neutral face, and with her own."""
    identity = np.random.default_rng(8).normal(size=100)
    rest = resting_expression(head, expressions(names, *[PERSON] * 3))
    plain = Avatar(head, identity, np.full((64, 64, 3), 128, np.uint8), shapes="arkit+oculus")
    return plain, Avatar(head, identity, plain.texture, shapes=plain.shapes, rest=rest)


def test_calm_pictures_tell(head, names):
    speaking = {name: 0.9 for name in names}
    rest = resting_expression(head, expressions(names, PERSON, speaking, PERSON, speaking))
    told = dict(zip(names, rest.tolist(), strict=True))
    assert told["eyeBlinkLeft"] == told["eyeBlinkRight"] == pytest.approx(0.1)  # alike on both sides
    assert told["eyeSquintLeft"] == pytest.approx(0.2) and told["browDownRight"] == pytest.approx(0.15)
    assert told["jawOpen"] == 0


def test_expressions_are_no_rest(head, names):
    rest = resting_expression(head, np.ones((5, 52)))
    for name, value in zip(names, rest.tolist(), strict=True):
        assert value == pytest.approx(MOST.get(name.removesuffix("Left").removesuffix("Right"), 0.0))


def test_one_picture_tells_half(head, names):
    several = resting_expression(head, expressions(names, *[PERSON] * 3))
    np.testing.assert_allclose(resting_expression(head, expressions(names, PERSON)[0]), several / 2)


def test_shapes_lead_where_they_led(avatars):
    plain, resting = avatars
    moved = np.abs(plain.mesh() - resting.mesh()).max()
    assert 0.001 < moved < 0.01
    for name in ("eyeBlinkLeft", "mouthSmileRight"):
        others = {n: v for n, v in zip(plain.names, resting.rest, strict=False) if n != name}
        np.testing.assert_allclose(resting.mesh({name: 1}), plain.mesh({**others, name: 1}), atol=1e-6)


def test_captured_expressions_are_told_from_there(names, avatars):
    plain, resting = avatars
    seen = expressions(names, {**PERSON, "eyeBlinkLeft": 0.7, "jawOpen": 0.4, "browDownRight": 0.5})[0]
    both = np.maximum(seen, resting.rest)  # nobody shows less than her rest
    again = dict(zip(names, beyond_rest(both, resting.rest), strict=True))
    np.testing.assert_allclose(
        resting.mesh(again), plain.mesh(dict(zip(names, both, strict=True))), atol=1e-6
    )


def test_mixtures_and_visemes_follow(avatars):
    plain, resting = avatars
    np.testing.assert_allclose(
        resting.mesh({"eyesClosed": 1}), resting.mesh({"eyeBlinkLeft": 1, "eyeBlinkRight": 1}), atol=1e-6
    )
    assert resting.names[52:] == [*VISEMES, *MIXTURES]
    lips = resting.full_mesh.offsets[52:67]
    np.testing.assert_array_equal(lips, plain.full_mesh.offsets[52:67])


def test_lids_stay_off_the_eyeball(head, avatars):
    sleepy = replace(avatars[0], rest=resting_expression(head, np.ones((3, 52))))
    for blink in (0.0, 0.3, 0.6, 1.0):
        posed = sleepy.mesh({"eyeBlinkLeft": blink, "eyeBlinkRight": blink})
        for rig in eye_rigs(head):
            free, _ = clearance(posed[None], rig)
            assert free.min() > 0


def test_files_say_how_the_face_rests(avatars, tmp_path):
    said = [
        Glb(avatar.export(tmp_path / "a.glb", "light")).scene["meshes"][0]["extras"].get("restingExpression")
        for avatar in avatars
    ]
    assert said[0] is None
    np.testing.assert_allclose(said[1], avatars[1].rest, atol=1e-6)
