"""Paint of eyes and lids, on small textures of the baked head."""

from types import SimpleNamespace

import numpy as np
import pytest

from studio_avatar.avatar.material.eyeball import IRIS_ANGLE, ball_rays
from studio_avatar.avatar.material.eyes import paint_eyes_and_mouth
from studio_avatar.avatar.material.iris import BROWN_IRIS, captured_iris, plausible_iris
from studio_avatar.avatar.material.lids import paint_lids
from studio_avatar.avatar.shapes.eye_rig import EDGE, eye_rigs
from studio_avatar.avatar.shapes.person_shapes import person_shapes, worn_expression
from studio_avatar.head.geometry import geometry
from studio_avatar.head.layout import region_mask, texel_map, texel_positions

SIZE = 512
SKIN = np.float32((0.72, 0.55, 0.46))


def eye_texels(head, side="left"):
    """Mask (S, S) of an eyeball's chart, and how far each of its texels is from the gaze axis [radians]."""
    region = f"eyeball_{side}"
    mask = region_mask(head, SIZE, region)
    ray = ball_rays(head, region, texel_positions(texel_map(head, SIZE), head, geometry(head).neutral)[mask])
    return mask, np.arccos(np.clip(ray[:, 2] / np.linalg.norm(ray, axis=1), -1, 1)), ray


def captured(head, iris, light):
    """A capture of eyes with an iris (3,) sRGB in a light (3,) that is on the face as well, and the studio texture."""
    studio = np.broadcast_to(SKIN, (SIZE, SIZE, 3)).copy()
    eyes = studio.copy()
    for side in ("left", "right"):
        mask, angle, _ = eye_texels(head, side)
        # The capture lays the eye on the head's larger ball.
        color = np.where((angle < np.radians(22))[:, None], iris, (0.80, 0.77, 0.74))
        eyes[mask] = np.where((angle < np.radians(7))[:, None], 0.03, color)
    phone = (eyes**2.2 * light) ** (1 / 2.2)
    return SimpleNamespace(rgb=phone.astype(np.float32), seen=np.ones((SIZE, SIZE), np.float32)), studio


@pytest.mark.parametrize("light", [(1, 1, 1), (0.9, 0.6, 0.35), (0.45, 0.5, 0.6)])
def test_the_iris_keeps_its_color_whatever_the_light(head, light):
    for iris in ((0.30, 0.18, 0.10), (0.40, 0.49, 0.55)):
        found = captured_iris(head, *captured(head, np.float32(iris), np.float32(light)))
        assert np.abs(found - iris).max() < 0.1
        assert (found[0] > found[2]) == (iris[0] > iris[2])  # brown stays brown, blue blue


def test_no_iris_is_purple():
    for color in ((0.3, 0.18, 0.3), (0.24, 0.17, 0.22), (0.5, 0.3, 0.5)):
        red, green, blue = plausible_iris(np.float32(color))
        assert not (red > green and blue > green)


def test_dark_irises_are_brown_whatever_they_mirror():
    red, _, blue = plausible_iris(np.float32((0.14, 0.14, 0.12)))
    assert red > 1.4 * blue


def test_eyes_that_were_not_seen_are_brown(head):
    capture, studio = captured(head, np.float32((0.4, 0.5, 0.6)), np.ones(3))
    capture.seen[:] = 0
    np.testing.assert_array_equal(captured_iris(head, capture, studio), BROWN_IRIS)


def test_the_white_is_shaded_by_the_lids_and_the_iris_has_a_dark_rim(head):
    painted = paint_eyes_and_mouth(np.broadcast_to(SKIN, (SIZE, SIZE, 3)), head)
    mask, angle, ray = eye_texels(head)
    bright, height = painted[mask].mean(-1), ray[:, 1] / np.linalg.norm(ray, axis=1)
    beside = (angle > np.radians(32)) & (angle < np.radians(50))
    level, high = beside & (np.abs(height) < 0.1), beside & (height > 0.25)
    assert bright[level].mean() > 1.15 * bright[high].mean()
    inner = (angle > 0.6 * IRIS_ANGLE) & (angle < 0.75 * IRIS_ANGLE)
    rim = (angle > 0.92 * IRIS_ANGLE) & (angle < 0.98 * IRIS_ANGLE)
    assert bright[rim].mean() < 0.6 * bright[inner].mean()


def test_a_blink_unfolds_skin_instead_of_lashes(head):
    """Dark strokes over the upper lid go, the brow, the lower lid and the line of lashes at the edge stay."""
    texture = np.broadcast_to(SKIN, (SIZE, SIZE, 3)).copy()
    texture[:, ::8] *= 0.25  # strokes of a texel
    cleaned = paint_lids(texture, head)
    ring = np.zeros((len(geometry(head).neutral), 3))
    known = np.zeros(len(ring), bool)
    for rig in eye_rigs(head):
        ring[rig.rings[:, 1 : rig.outer_corner], 0] = np.arange(len(rig.rings))[:, None]
        known[rig.rings[:, 3 : rig.outer_corner - 3]] = True
    texels = texel_map(head, SIZE)
    upper = texels.covered & known[geometry(head).faces].all(1)[texels.triangle]
    place = texel_positions(texels, head, ring)[..., 0]
    strokes = (np.arange(SIZE) % 8 == 0) & upper
    unfolded = strokes & (place > EDGE + 2) & (place < EDGE + 6)
    assert unfolded.sum() > 20 and cleaned[unfolded].mean() > 0.8 * SKIN.mean()
    elsewhere = region_mask(head, SIZE, "brows", "lips", "neck")
    np.testing.assert_array_equal(cleaned[elsewhere], texture[elsewhere])


def test_a_captured_blink_closes_the_avatars_eye(head):
    """The capture's fit closes an eye at about 0.7 of the head's own blink, which goes on after that."""
    shapes = person_shapes(head, np.zeros(100, np.float32))
    captured_blink = np.zeros((2, 52), np.float32)
    number = geometry(head).expression("eyeBlinkLeft")
    captured_blink[:, number] = 0.3, 0.78
    worn = worn_expression(head, shapes, captured_blink)
    assert worn[0, number] == pytest.approx(0.3 * 1.33, abs=0.06) and worn[1, number] == pytest.approx(
        1, abs=0.02
    )
    assert np.count_nonzero(worn) == 2
