"""What stands between the phone and the skin: glasses, hair, a hand, other people, cuts, too many photos."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from helpers.clips import write_clip
from helpers.painted_head import IMAGE, facing, paint, render
from PIL import Image

from studio_avatar import errors
from studio_avatar.capture import FoundPerson, capture
from studio_avatar.capture.detection.landmarks import FaceLandmarker
from studio_avatar.capture.detection.people import follow_person
from studio_avatar.capture.io.frame import Frame
from studio_avatar.capture.io.video import read_frames
from studio_avatar.capture.texture.fusion import Fused
from studio_avatar.capture.texture.skin import without_cover
from studio_avatar.capture.texture.unwrap import View
from studio_avatar.data.simulate.occluders import sample_glasses, sample_strands
from studio_avatar.data.simulate.room import direction
from studio_avatar.data.simulate.simulation import SimulationOptions, photograph, sample_scene, shaped_mesh
from studio_avatar.head.layout import landmark_uv, region_mask, texel_map, texel_positions
from studio_avatar.imaging.video_io import encode_h264
from studio_avatar.rendering import look_at

SIZE = 256
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def painting(head):
    return paint(head)


@pytest.fixture(scope="module")
def turned(head, painting):
    """A head that looks around without leaving the front: nine pictures."""
    return [render(head, painting, head.neutral.numpy(), facing(yaw)) for yaw in range(-20, 21, 5)]


@pytest.fixture(scope="module")
def scene(head, painting):
    resting = np.zeros(len(head.config.expression_names), np.float32)
    made = sample_scene(head, painting, np.random.default_rng(1), resting, SimulationOptions(IMAGE))
    return replace(made, identity=np.zeros_like(made.identity), glasses=None, strands=None)


def test_hair_along_the_cheeks_is_no_skin_but_a_beard_is_the_persons(head):
    random, size = np.random.default_rng(0), 128
    rgb = (
        (np.float32([0.7, 0.5, 0.4]) + random.normal(0, 0.02, (size, size, 3))).astype(np.float32).clip(0, 1)
    )
    places = texel_positions(texel_map(head, size), head, head.neutral.numpy())
    face = region_mask(head, size, "face")
    side = face & (np.abs(places[..., 0]) > 0.06) & (np.abs(places[..., 1] + 0.003) < 0.02)
    beard = face & (places[..., 1] < -0.06) & (np.abs(places[..., 0]) < 0.02)
    rgb[side & (places[..., 0] > 0) | beard] = 0.05
    ones = np.ones((size, size), np.float32)
    trust = without_cover(View(rgb, ones, np.zeros((size, size, 2), np.float32), ones), head).trust
    assert trust[side & (places[..., 0] > 0)].mean() < 0.1 and trust[side & (places[..., 0] < 0)].mean() > 0.9
    assert trust[beard].min() == 1.0


def captured(head, scene):
    """Three photos of the scene, from the front and both sides, captured."""
    resting, photos = np.zeros(len(head.config.expression_names), np.float32), []
    for yaw in (0, 20, -20):
        target = np.array([0.0, 0.0, 0.03])
        camera = look_at(target + 0.5 * direction(yaw, 0), target, 720.0, IMAGE, 0.0)
        linear = photograph(scene, resting, camera, seed=0).linear
        photos.append((255 * np.clip(linear / np.quantile(linear, 0.97), 0, 1) ** (1 / 2.2)).astype(np.uint8))
    return capture(photos, head, size=SIZE)


@pytest.fixture(scope="module")
def bare(head, scene):
    return captured(head, scene)


@pytest.fixture(scope="module")
def body(head, scene):
    return shaped_mesh(head, scene.identity, np.zeros(len(head.config.expression_names), np.float32))


def test_glasses_are_found_and_named(head, scene, body, bare):
    worn = replace(scene, glasses=sample_glasses(np.random.default_rng(3), head, body))
    found = captured(head, worn).report.finding("glasses")
    assert bare.report.finding("glasses").verdict == "good"
    assert found.verdict != "good" and found.advice == "Take off glasses, if you wear any."


def test_hair_across_the_face_is_found(head, scene, painting, body, bare):
    worn = replace(scene, strands=sample_strands(np.random.default_rng(0), head, body, painting))
    found = captured(head, worn).report.finding("hair_on_face")
    assert bare.report.finding("hair_on_face").verdict == "good"
    assert found.verdict != "good" and "hair, a cap or a scarf" in found.advice


@pytest.mark.parametrize(
    ("color", "verdict"), [((140, 170, 205), "poor"), ((238, 238, 238), "poor"), (None, "good")]
)
def test_a_mask_over_the_mouth_is_named_whatever_its_color(head, color, verdict):
    """Painted on skin with red lips, in the light of a bulb; without one the same skin is good."""
    from studio_avatar.capture.reporting.report import _cover

    rgb = np.full((SIZE, SIZE, 3), (205, 150, 125), np.float32)
    lips, face = region_mask(head, SIZE, "lips"), region_mask(head, SIZE, "face")
    rgb[lips] = (170, 90, 85)
    if color is not None:
        below = (np.arange(SIZE) > (landmark_uv(head)[2, 1] * SIZE))[:, None]
        rgb[(face | lips) & below] = color
    lit = (rgb / 255 * (1.0, 0.85, 0.6)).astype(np.float32)
    fused = Fused(lit, np.ones((SIZE, SIZE), np.float32), np.zeros((SIZE, SIZE), int), [])
    (found,) = [finding for finding in _cover(head, fused, 0.0, 0.0) if finding.name == "mouth_covered"]
    assert found.verdict == verdict and ("mask" in found.advice) == (color is not None)


@pytest.mark.parametrize(
    "color", [(12, 12, 14), (160, 20, 25), (238, 238, 238)], ids=["black", "red", "white"]
)
def test_a_cap_is_named_and_says_nothing_of_the_light(head, scene, bare, color):
    cap, rows = scene.texture.copy(), np.arange(len(scene.texture))
    cap[rows < 0.3 * len(cap)] = np.float32(color) / 255
    report = captured(head, replace(scene, texture=cap)).report
    assert "hair, a cap or a scarf" in report.finding("hair_on_face").advice
    assert report.finding("hair_on_face").verdict == "poor"
    for name in ("too_dark", "too_bright"):
        assert report.finding(name).verdict == bare.report.finding(name).verdict == "good"


def with_hand(picture: np.ndarray, color, low: float = 0.5) -> np.ndarray:
    """A hand with four fingers laid over the face from below, up to `low` of the picture's height."""
    height, width = picture.shape[:2]
    out, middle = picture.copy(), width // 2
    for finger in range(4):
        x = middle - 75 + 50 * finger
        cv2.line(
            out,
            (x, int(low * height) + 10 * abs(finger - 1)),
            (x, int(0.75 * height)),
            color,
            46,
            cv2.LINE_AA,
        )
    cv2.ellipse(out, (middle, int(0.8 * height)), (115, 110), 0, 0, 360, color, -1, cv2.LINE_AA)
    return out


def test_a_frame_with_a_hand_is_left_out_and_counted(turned):
    """A hand of nearly the skin's own color over the mouth, as in the sixth of ten pictures."""
    pictures = [*turned[:5], with_hand(turned[5], (172, 112, 82)), *turned[5:]]
    with FaceLandmarker() as landmarker:
        sighting = follow_person(read_frames(pictures), landmarker)
    assert sighting.rejected["occluded"] == 1 and sighting.with_face == 10
    assert all(seen.frame.time != 5 for seen in sighting.frames)


def test_nothing_is_left_out_where_nothing_is_in_the_way(turned):
    with FaceLandmarker() as landmarker:
        sighting = follow_person(read_frames(turned), landmarker)
    assert sum(sighting.rejected.values()) == 0


def test_a_cut_is_found(head, painting, turned, tmp_path):
    other = [
        render(head, painting, head.neutral.numpy(), facing(yaw), (0.12, 0.08, 0.95), background=(230, 220, 40))
        for yaw in (0, 4, 8)
    ]  # fmt: skip
    path = tmp_path / "cut.mp4"
    path.write_bytes(encode_h264([*turned, *other], IMAGE, 10, 16))
    with FaceLandmarker() as landmarker:
        sighting = follow_person(read_frames(path), landmarker)
    assert sighting.rejected["cut"] == 3
    assert len(sighting.frames) == 9


def clip_of(pictures: list[np.ndarray]) -> list[Frame]:
    """Ten pictures a second."""
    size = (0, 0, pictures[0].shape[1], pictures[0].shape[0])
    return [Frame(rgb, 0.1 * number, size, of_clip=True) for number, rgb in enumerate(pictures)]


@pytest.fixture(scope="module")
def portraits() -> list[np.ndarray]:
    """Three people in nearly the same place, 360 × 360."""
    paths = [EXAMPLES / f"person_{number}.jpg" for number in (1, 2, 3)]
    return [np.array(Image.open(path).convert("RGB").resize((360, 360))) for path in paths]


@pytest.mark.parametrize("first", range(3))
def test_another_person_in_the_same_place_is_another_person(portraits, landmarker, first):
    """As in an edited clip that begins with somebody else's face; what was cut together is one person's again."""
    other, main = portraits[first], portraits[(first + 1) % 3]
    sighting = follow_person(clip_of([other] * 3 + [main] * 4 + [other] * 2 + [main] * 4), landmarker)
    assert [round(10 * seen.frame.time) for seen in sighting.frames] == [3, 4, 5, 6, 9, 10, 11, 12]
    assert sighting.rejected["cut"] == 5 and sighting.rejected["no_face"] == 0


def test_a_closer_or_brighter_shot_shows_the_same_person(portraits, landmarker):
    for picture in portraits:
        near = cv2.resize(picture[50:310, 50:310], (360, 360), interpolation=cv2.INTER_CUBIC)
        bright = np.clip(picture * 1.3, 0, 255).astype(np.uint8)
        sighting = follow_person(clip_of([picture] * 3 + [near] * 3 + [bright] * 3), landmarker)
        assert len(sighting.frames) == sighting.with_face == 9


def test_a_clip_with_much_of_another_shot_is_weak(portraits, landmarker, head):
    """Whose head it is may surprise."""
    sighting = follow_person(clip_of(portraits[:1] * 7 + portraits[1:2] * 5), landmarker)
    report = capture(FoundPerson(sighting, sighting.frames[:2], 0.0), head, size=64).report
    assert report.finding("other_shots").verdict == report.verdict == "poor"
    assert "Record one clip of one person, without cuts." in report.advice


def test_a_chin_below_the_picture_is_said(portraits, head):
    whole, cut = (capture(portraits[0][:rows], head, size=64).report for rows in (360, 230))
    assert whole.finding("face_in_picture").value == 100
    assert cut.verdict == "poor" and "hold the camera further away" in " ".join(cut.advice)
    assert "closer" not in " ".join(cut.advice)


@pytest.mark.parametrize(
    ("seconds", "says"), [(20, "good light"), (75, "first 60 seconds, and no more are read")]
)
def test_nobody_in_what_is_read_of_a_long_clip_is_said(tmp_path, seconds, says):
    """A black beginning of more than a minute, say."""
    black = write_clip(
        tmp_path / "a.mp4", np.zeros((96, 96, 3), np.uint8), list(range(0, 1000 * seconds, 500))
    )
    with pytest.raises(errors.NoFaceError, match=says):
        follow_person(read_frames(black), SimpleNamespace(detect=lambda rgb: []))


def test_one_to_five_photos_are_taken(turned, tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for path, picture in zip(paths, turned):
        Image.fromarray(picture).save(path)
    assert len(list(read_frames(paths[:5]))) == 5
    with pytest.raises(errors.InvalidInputError, match="6 photos .* 1 to 5 are used: please"):
        next(read_frames(paths))


def test_a_clip_of_a_moment_is_told_to_turn_and_not_to_add_a_photo(head, turned, tmp_path):
    clip, photo = tmp_path / "a.mp4", tmp_path / "a.png"
    clip.write_bytes(encode_h264(turned[:1], IMAGE, 10, 16))
    Image.fromarray(turned[0]).save(photo)
    asked = {path: " ".join(capture(path, head, size=SIZE).report.advice) for path in (clip, photo)}
    assert "add a photo" in asked[photo] and "photo" not in asked[clip]
    assert "turn the head" in asked[clip]


def test_a_poster_beside_the_person_is_ignored(turned):
    """As large as the face, filmed by hand, so that it moves a little with all of the picture."""
    shakes = np.random.default_rng(0).integers(-5, 6, (len(turned), 2))
    pairs = [
        np.roll(np.concatenate([turned[0], picture], axis=1), shake, (0, 1))
        for picture, shake in zip(turned, shakes, strict=True)
    ]
    whole = (0, 0, *pairs[0].shape[1::-1])
    frames = [Frame(pair, 0.1 * number, whole, of_clip=True) for number, pair in enumerate(pairs)]
    with FaceLandmarker() as landmarker:
        seen = follow_person(frames, landmarker)
    assert seen.with_face == len(turned)
    assert all(found.face.points[:, 0].mean() > IMAGE[0] for found in seen.frames)


def test_two_people_all_the_way_are_refused(head, turned, tmp_path):
    pair = [np.concatenate([one, other], axis=1) for one, other in zip(turned, turned[::-1])]
    path = tmp_path / "two.mp4"
    path.write_bytes(encode_h264(pair, (2 * IMAGE[0], IMAGE[1]), 10, 16))
    with pytest.raises(errors.SeveralFacesError, match="one person"):
        capture(path, head, size=SIZE)
