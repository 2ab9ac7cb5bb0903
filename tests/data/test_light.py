"""Panoramas, rooms and the phone of the simulator."""

import numpy as np
import pytest

pytest.importorskip("warp", reason="the simulator needs warp-lang (extra [train])")

from studio_avatar.data.prepare.packing import pack_environments
from studio_avatar.data.simulate.environments import (
    HEIGHT,
    MEAN_RADIANCE,
    harmonic_basis,
    harmonics,
    paint_panorama,
    read_panorama,
    read_panoramas,
    seen_by,
    without_spots,
)
from studio_avatar.data.simulate.phone_camera import BURST, PhoneCamera, compress, expose, sample_phone, shoot
from studio_avatar.data.simulate.room import Room, light_of, sample_room
from studio_avatar.errors import InvalidInputError
from studio_avatar.rendering import look_at

COSINE_LOBE = np.repeat([1.0, 2 / 3, 1 / 4], [1, 3, 5])


def sphere(height):
    """Directions and solid angles of a panorama, from its definition: azimuth 0 in the middle, 90 degrees to its right."""
    elevation = np.pi / 2 - (np.arange(height) + 0.5) / height * np.pi
    azimuth = ((np.arange(2 * height) + 0.5) / height - 1) * np.pi
    e, a = np.meshgrid(elevation, azimuth, indexing="ij")
    directions = np.stack([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)], -1)
    return directions, np.cos(e) * (np.pi / height) ** 2


def irradiance(panorama, normals):
    """Light on surfaces with these normals (N, 3) over pi, summed pixel by pixel."""
    directions, solid_angle = sphere(len(panorama))
    cosine = np.maximum(np.einsum("nk,hwk->nhw", normals, directions), 0)
    return np.einsum("nhw,hw,hwc->nc", cosine, solid_angle, panorama) / np.pi


@pytest.mark.parametrize("seed", range(8))
def test_lamps_and_harmonics_together_are_the_panorama(seed):
    rng = np.random.default_rng(seed)
    panorama = paint_panorama(rng)
    rest, lamps = without_spots(panorama)
    normals = rng.standard_normal((40, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    light = np.maximum((harmonic_basis(normals) * COSINE_LOBE) @ harmonics(rest), 0)
    for lamp in lamps:
        light += np.maximum(normals @ lamp.direction, 0)[:, None] * lamp.color
    expected = irradiance(panorama, normals)
    assert np.abs(light - expected).mean() < 0.04 * expected.mean()
    assert panorama.shape == (HEIGHT, 2 * HEIGHT, 3) and panorama.min() >= 0


def test_a_sun_becomes_a_lamp_in_its_place():
    directions, _ = sphere(HEIGHT)
    towards = np.array([0.6, 0.64, 0.48])
    panorama = np.full((HEIGHT, 2 * HEIGHT, 3), 0.3, np.float32)
    panorama[directions @ towards > np.cos(0.1)] = (300, 200, 100)
    rest, (lamp,) = without_spots(panorama)
    assert np.dot(lamp.direction, towards) > 0.999
    assert lamp.spread == pytest.approx(0.1, abs=0.02)
    # A disc of radius 0.1 rad covers about pi 0.1² of the sphere; over pi that is 1 % of its radiance.
    np.testing.assert_allclose(lamp.color, np.array([300, 200, 100]) * 0.01, rtol=0.1)
    assert rest.max() < 5


def test_a_wide_window_is_cut_into_lamps_that_share_its_light():
    panorama = np.full((HEIGHT, 2 * HEIGHT, 3), 0.05, np.float32)
    panorama[50:70, 40:110] = 5.0
    _, lamps = without_spots(panorama, count=8)
    assert len(lamps) > 1
    assert all(lamp.spread <= 0.4 for lamp in lamps)
    colors = np.array([lamp.color for lamp in lamps])[:, 0]
    assert colors.max() < 1.6 * colors.min()  # a median cut: halves of equal power


def test_a_panorama_turns_with_the_camera_and_is_seen_behind_the_person():
    directions, _ = sphere(HEIGHT)
    behind = np.array([0.0, 0.0, -1.0])
    panorama = np.where((directions @ behind > 0.9)[..., None], [2.0, 0.1, 0.1], 0.1).astype(np.float32)
    front, side = (
        look_at((0, 0, 1), size=(64, 64), focal_px=64.0),
        look_at((1, 0, 0), size=(64, 64), focal_px=64.0),
    )
    assert seen_by(panorama, front, np.eye(3), 0.01)[32, 32, 0] > 1.5
    assert seen_by(panorama, side, np.eye(3), 0.01)[32, 32, 0] < 0.2
    room = Room(np.zeros(3), (), (), True, panorama, panorama)
    # Whoever turns to the side in front of a fixed camera has the same wall behind.
    still, turned = light_of(room, front).environment, light_of(room, side).environment
    assert still[2, 0] < -0.3 and abs(still[3, 0]) < 0.05
    assert turned[3, 0] < -0.3 and abs(turned[2, 0]) < 0.05


def test_panoramas_are_read_from_both_kinds_of_file(tmp_path):
    import cv2
    import OpenEXR

    radiance = np.random.default_rng(0).gamma(1.0, 3.0, (64, 128, 3)).astype(np.float32)
    cv2.imwrite(str(tmp_path / "a.hdr"), radiance[..., ::-1])
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"RGB": radiance}).write(str(tmp_path / "b.exr"))
    a, b = read_panorama(tmp_path / "a.hdr"), read_panorama(tmp_path / "b.exr")
    assert (
        np.abs(a - b) <= 0.01 * b.max(-1, keepdims=True)
    ).all()  # Radiance files share one exponent a pixel
    _, solid_angle = sphere(HEIGHT)
    mean = ((a @ (0.2126, 0.7152, 0.0722)) * solid_angle).sum() / (4 * np.pi)
    assert mean == pytest.approx(MEAN_RADIANCE, rel=0.01)


def test_broken_panoramas_are_named_and_counted(tmp_path, capsys):
    import cv2

    folder = tmp_path / "hdr"
    folder.mkdir()
    cv2.imwrite(str(folder / "good.hdr"), np.ones((8, 16, 3), np.float32))
    cv2.imwrite(str(folder / "square.hdr"), np.ones((8, 8, 3), np.float32))
    cv2.imwrite(str(folder / "black.hdr"), np.zeros((8, 16, 3), np.float32))
    for name in ("empty.hdr", "torn.exr"):
        (folder / name).write_bytes(b"#?RADIANCE" if name == "torn.exr" else b"")
    good, skipped = read_panoramas(folder)
    assert list(good) == ["good.hdr"]
    assert sorted(skipped) == ["black.hdr", "empty.hdr", "square.hdr", "torn.exr"]
    assert all(name in reason for name, reason in skipped.items())
    pack_environments(folder, tmp_path / "out")
    assert "environments: 1 items, 4 skipped" in capsys.readouterr().out
    (folder / "good.hdr").unlink()
    with pytest.raises(InvalidInputError, match="square.hdr"):
        read_panoramas(folder)


def test_rooms_hold_flash_back_light_and_colored_light():
    rooms = [sample_room(np.random.default_rng(seed)) for seed in range(200)]
    lamps = [lamp for room in rooms for lamp in room.lamps]
    flashes = [lamp for lamp in lamps if np.isfinite(lamp.distance)]
    behind = [
        room
        for room in rooms
        if any(lamp.direction[2] < -0.5 and max(lamp.color) > 0.5 for lamp in room.lamps)
    ]
    colored = [lamp for lamp in lamps if min(lamp.color) < 0.25 * max(lamp.color)]
    assert 10 <= len(flashes) <= 45
    assert len(behind) >= 10 and len(colored) >= 10
    assert 70 <= sum(room.panorama is not None for room in rooms) <= 130


def test_light_from_files_is_used():
    panorama = np.full((HEIGHT, 2 * HEIGHT, 3), (0.9, 0.4, 0.1), np.float32)
    rooms = [sample_room(np.random.default_rng(seed), [panorama]) for seed in range(60)]
    used = [room for room in rooms if room.panorama is not None and np.ptp(room.panorama[..., 0]) == 0]
    assert 8 <= len(used) <= 35


def phone(**changes):
    return PhoneCamera(**{
        "exposure": 1.0, "white_balance": np.ones(3), "contrast": 0.0, "blur": 0.5, "motion": 0.0, "noise": 0.0,
        "codec": ("jpeg", 90), **changes,
    })  # fmt: skip


def test_phones_meter_the_face_and_sometimes_miss():
    rng = np.random.default_rng(0)
    light = np.array([1.2, 1.0, 0.7])
    exposures = np.array([sample_phone(rng, light, 0.3, 720).exposure for _ in range(300)])
    right = 0.75 / light.mean()
    assert np.median(exposures) == pytest.approx(right, rel=0.15)
    assert 0.01 < (exposures < 0.45 * right).mean() < 0.15 and 0.01 < (exposures > 1.75 * right).mean() < 0.15
    bright = [sample_phone(rng, light, 0.3, 720, behind=10.0).exposure for _ in range(300)]
    assert np.mean(bright) < 0.85 * exposures.mean()  # a window behind the person fools some of them


def test_a_rolling_shutter_shears_what_moves():
    stripes = np.repeat((np.arange(96) // 8 % 2).astype(np.float32)[None, :, None], 96, 0).repeat(3, 2)
    rng = np.random.default_rng(0)
    blurred = expose(stripes, phone(motion=6.0), rng).astype(float)
    sheared = expose(stripes, phone(motion=6.0, readout=1.5), np.random.default_rng(0)).astype(float)
    assert np.abs(blurred[4] - blurred[-4]).mean() < 1
    assert np.abs(sheared[4] - sheared[-4]).mean() > 10


def test_a_video_frame_carries_what_came_before_it():
    rng = np.random.default_rng(0)
    texture = np.clip(rng.uniform(0, 0.6, (96, 96, 3)), 0, 1).astype(np.float32)
    frames = shoot([texture, texture * 0.5], phone(codec=("h264", 30)), np.random.default_rng(1))
    alone = compress([expose(texture, phone(), np.random.default_rng(2))], ("h264", 30))[0]
    assert [frame.shape for frame in frames] == [(96, 96, 3)] * 2
    assert BURST > 1 and np.abs(frames[0].astype(int) - alone).mean() > 1  # not the same as a first frame
    assert frames[1].mean() < frames[0].mean() - 20  # each is the last of its own burst
