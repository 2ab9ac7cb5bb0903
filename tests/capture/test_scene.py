"""What frames say about their light: drawn faces with eyes, teeth and surroundings of known color."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from studio_avatar.capture.scene import CHEEKS, EYES, MOUTH, VECTOR_SIZE, SceneStatistics, measure_scene
from studio_avatar.head.landmark_ids import CHIN, FOREHEAD

SKIN, WHITE, IRIS, WALL, TOOTH = (150, 110, 90), (205, 200, 196), (60, 40, 30), (70, 120, 60), (220, 215, 200)


def drawn(mouth_open=False, skin=SKIN, wall=WALL, eyes=WHITE):
    """(picture uint8 (480, 360, 3), points (478, 2)) of a face with what is measured at known places."""
    picture = np.full((480, 360, 3), wall, np.uint8)
    points = np.zeros((478, 2), np.float32) + (180, 240)
    points[FOREHEAD], points[CHIN] = (180, 130), (180, 350)
    cv2.ellipse(picture, (180, 240), (85, 120), 0, 0, 360, skin, -1)
    for (outline, middle, rim), x in zip(EYES, (140, 220), strict=True):
        angle = np.linspace(0, 2 * np.pi, len(outline), endpoint=False)
        points[list(outline)] = np.stack([x + 18 * np.cos(angle), 210 + 8 * np.sin(angle)], 1)
        points[middle] = (x, 210)
        points[list(rim)] = [(x + 6, 210), (x, 216), (x - 6, 210), (x, 204)]
        cv2.ellipse(picture, (x, 210), (18, 8), 0, 0, 360, eyes, -1)
        cv2.circle(picture, (x, 210), 6, IRIS, -1)
    for cheek, x in zip(CHEEKS, (130, 230), strict=True):
        points[list(cheek)] = [(x - 8, 260), (x + 8, 260), (x, 275)]
    height = 12 if mouth_open else 1
    angle = np.linspace(0, 2 * np.pi, len(MOUTH), endpoint=False)
    points[list(MOUTH)] = np.stack([180 + 30 * np.cos(angle), 305 + height * np.sin(angle)], 1)
    points[13], points[14] = (180, 305 - height), (180, 305 + height)
    if mouth_open:
        cv2.ellipse(picture, (180, 305), (30, 12), 0, 0, 360, TOOTH, -1)
    return picture, points


def measured(*faces):
    pictures, points = zip(*faces, strict=True)
    texture = np.full((32, 32, 3), 0.5, np.float32)
    return measure_scene(pictures, points, texture, np.ones((32, 32)), np.ones((32, 32), bool))


def test_known_colors_are_found():
    scene = measured(drawn(mouth_open=True))
    np.testing.assert_allclose(np.array(scene.sclera) * 255, WHITE, atol=6)
    np.testing.assert_allclose(np.array(scene.teeth) * 255, TOOTH, atol=6)
    np.testing.assert_allclose(np.array(scene.surroundings) * 255, WALL, atol=6)
    assert scene.doubt is None


def test_a_closed_mouth_and_lidded_eyes_say_nothing():
    assert measured(drawn()).teeth is None
    assert measured(drawn(eyes=(95, 60, 45))).sclera is None  # lashes and shadow only


def test_the_median_frame_counts():
    scene = measured(drawn(), drawn(), drawn(eyes=(255, 255, 255)))
    np.testing.assert_allclose(np.array(scene.sclera) * 255, WHITE, atol=6)


def test_the_vector_has_a_flag_a_group():
    known, unknown = measured(drawn(mouth_open=True)).vector, SceneStatistics().vector
    assert known.shape == unknown.shape == (VECTOR_SIZE,) and known.dtype == np.float32
    assert not unknown.any()
    assert known[3] == known[11] == known[15] == 1


@pytest.mark.parametrize(
    ("skin", "wall", "eyes", "word"),
    [
        ((110,) * 3, (90,) * 3, (180,) * 3, "no color"),
        ((125, 120, 116), (110, 112, 108), (150, 149, 148), "log"),
    ],
)
def test_pictures_that_hide_the_tone_are_told(skin, wall, eyes, word):
    face = drawn(skin=skin, wall=wall, eyes=eyes)
    picture = face[0].copy()
    if word == "no color":
        picture = np.repeat(picture.mean(-1, keepdims=True), 3, -1).astype(np.uint8)
    else:
        picture = np.clip(picture, 80, 170)
    assert word in measured((picture, face[1])).doubt


def test_a_small_face_before_a_gray_wall_has_color():
    gray = SceneStatistics(chroma=0.004)
    assert "no color" in gray.doubt and replace(gray, face_chroma=0.2).doubt is None
    texture = np.full((32, 32, 3), (0.6, 0.45, 0.4), np.float32)
    scene = measure_scene(*zip(drawn()), texture, np.ones((32, 32)), np.ones((32, 32), bool))
    assert abs(scene.face_chroma - 0.2) < 1e-3


def test_a_black_face_is_told():
    picture, points = drawn()
    scene = measure_scene(
        [picture],
        [points],
        np.full((32, 32, 3), 0.02, np.float32),
        np.ones((32, 32)),
        np.ones((32, 32), bool),
    )
    assert "nearly black" in scene.doubt


def test_a_face_against_the_light_is_told_unless_its_eyes_tell_more():
    def scene_of(wall, eyes):
        picture, points = drawn(skin=(36, 26, 20), wall=wall, eyes=eyes)
        texture = np.full((32, 32, 3), (0.14, 0.10, 0.08), np.float32)
        return measure_scene([picture], [points], texture, np.ones((32, 32)), np.ones((32, 32), bool))

    blind = scene_of((120, 150, 140), (10, 8, 6))
    assert blind.sclera is None and "surroundings" in blind.doubt
    assert scene_of((120, 150, 140), (48, 46, 45)).doubt is None
    assert scene_of((40, 60, 50), (10, 8, 6)).doubt is None
