"""The light of one place: soft surroundings, lamps that cast shadows, and what is seen behind the person."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace

import numpy as np

from studio_avatar.rendering import Camera, Lamp, Light, look_at

from .environments import (
    WEIGHTS,
    harmonic_basis,
    harmonics,
    paint_panorama,
    seen_by,
    temperature,
    without_spots,
)

PANORAMA_PROBABILITY = 0.5  # of a place all around instead of a few soft sources
FILE_PROBABILITY = 0.7  # of a panorama from a file, where files are given
FLASH_PROBABILITY, BACK_LIGHT_PROBABILITY, COLORED_PROBABILITY = 0.12, 0.08, 0.08


@dataclass(frozen=True)
class Room:
    """The light of one place, fixed in space.

    ambient: (3,) linear radiance from everywhere; lobes: soft light sources, each (direction (3,), linear rgb (3,),
    concentration in [0, 1]); lamps: lights that cast shadows; turns_with_camera: the person turns the head in front
    of a fixed camera, so the light keeps its direction in the camera's frame, otherwise the camera moves around a
    still head; panorama: (H, 2H, 3) linear radiance that the camera sees behind the person, or None; surround: the
    panorama without the spots that are among the lamps.
    """

    ambient: np.ndarray
    lobes: tuple[tuple[np.ndarray, np.ndarray, float], ...]
    lamps: tuple[Lamp, ...]
    turns_with_camera: bool
    panorama: np.ndarray | None = None
    surround: np.ndarray | None = None


def sample_room(
    rng: np.random.Generator, panoramas: list[np.ndarray] | None = None, photographed: bool = False
) -> Room:
    """A place with daylight, lamps, sun, flash, back light or colored light.

    panoramas: linear panoramas from files, used beside the painted ones; photographed: instead of them.
    """
    share, of_files = (1.0, 1.0) if photographed else (PANORAMA_PROBABILITY, FILE_PROBABILITY)
    room = _panorama_room(rng, panoramas, of_files) if rng.random() < share else _soft_room(rng)
    kind = rng.random()
    if kind < FLASH_PROBABILITY:
        # A flash needs a dim room to be seen.
        room = _dimmed(room, 0.4)
        return replace(room, lamps=(*room.lamps, _flash(rng)))
    if kind < FLASH_PROBABILITY + BACK_LIGHT_PROBABILITY:
        room = _dimmed(room, 0.6)
        return replace(room, lamps=(*room.lamps, _rim(rng, rng.uniform(1.0, 3.0), 120)))
    if kind < FLASH_PROBABILITY + BACK_LIGHT_PROBABILITY + COLORED_PROBABILITY:
        return replace(room, lamps=(*room.lamps, _colored(rng)))
    return room


def light_of(room: Room, camera: Camera) -> Light:
    """The room's light in head space, as it falls while `camera` takes its picture."""
    turn = turn_of(room, camera)
    environment = np.zeros((9, 3))
    environment[0] = room.ambient / 0.282095
    for direction, color, concentration in room.lobes:
        environment += _lobe(turn @ direction, concentration)[:, None] * color
    if room.surround is not None:
        environment += harmonics(room.surround, turn)
    lamps = [replace(lamp, direction=tuple(turn @ np.asarray(lamp.direction))) for lamp in room.lamps]
    return Light(environment.astype(np.float32), tuple(lamps))


def turn_of(room: Room, camera: Camera) -> np.ndarray:
    """(3, 3) from the room's axes to the head's while `camera` takes its picture."""
    if not room.turns_with_camera:
        return np.eye(3)
    frontal = np.diag([1.0, -1.0, -1.0])  # OpenCV axes of a camera straight in front of the face
    return camera.rotation.T @ frontal


def arriving_light(room: Room) -> np.ndarray:
    """Linear light (3,) on a surface that faces the camera, which is what a phone meters."""
    facing = light_of(replace(room, turns_with_camera=False), look_at((0, 0, 1)))
    arriving = facing.environment[0] * 0.282095 + facing.environment[2] * 0.488603 * 0.6667
    for lamp in facing.lamps:
        # Lamps from the side light some of the face, those behind it none.
        arriving = arriving + np.asarray(lamp.color) * np.clip(lamp.direction[2] + 0.3, 0.1, 1)
    return np.maximum(arriving, 1e-3)


def sample_background(rng: np.random.Generator, room: Room, size: tuple[int, int]) -> np.ndarray:
    """An out-of-focus room in linear light (H, W, 3): a smooth gradient and a few blurred surfaces."""
    import cv2

    small = (
        rng.uniform(0.05, 0.6, (4, 3, 1)) * rng.uniform(0.85, 1.15, (4, 3, 3)) * rng.uniform(0.85, 1.15, 3)
    )
    canvas = cv2.resize(small.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    for _ in range(rng.integers(0, 5)):
        x, y = rng.integers(0, size[0]), rng.integers(0, size[1])
        w, h = rng.integers(size[0] // 8, size[0] // 2), rng.integers(size[1] // 8, size[1])
        shade = rng.uniform(0.03, 0.9) * rng.uniform(0.85, 1.15, 3)
        cv2.rectangle(canvas, (int(x), int(y)), (int(x + w), int(y + h)), tuple(map(float, shade)), -1)
    sigma = rng.uniform(0.01, 0.06) * size[0]
    canvas = cv2.resize(
        cv2.GaussianBlur(canvas[::4, ::4], (0, 0), sigma / 4), size, interpolation=cv2.INTER_LINEAR
    )
    return np.clip(canvas, 0.01, 2.0) * (0.4 * room.ambient + 0.4).astype(np.float32)


def background_of(room: Room, camera: Camera, still: np.ndarray, blur: float) -> np.ndarray:
    """Linear light (H, W, 3) behind the person: the room's panorama, out of focus by `blur` (share of the width), or
    the picture `still` where the room has none."""
    if room.panorama is None:
        return still
    return seen_by(room.panorama, camera, turn_of(room, camera), blur)


def behind_brightness(room: Room) -> float | None:
    """Mean linear brightness of the background of a frontal picture; None where it does not depend on the room."""
    if room.panorama is None:
        return None
    return float((seen_by(room.panorama, look_at((0, 0, 1)), np.eye(3), 0.05) @ WEIGHTS).mean())


def direction(azimuth: float, elevation: float) -> np.ndarray:
    """Unit vector; azimuth 0 = in front of the face, 90 = the person's left; degrees."""
    a, e = np.radians(azimuth), np.radians(elevation)
    return np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])


def _panorama_room(rng, panoramas, of_files: float) -> Room:
    if panoramas and rng.random() < of_files:
        panorama = panoramas[rng.integers(len(panoramas))]
    else:
        panorama = paint_panorama(rng)
    # Where the person looks is chance, as long as it is level: turn the panorama about the vertical.
    panorama = np.roll(panorama, int(rng.integers(panorama.shape[1])), 1)
    surround, lamps = without_spots(panorama)
    return Room(np.zeros(3), (), lamps, bool(rng.random() < 0.5), panorama, surround)


def _soft_room(rng) -> Room:
    """A few soft sources, and none, one or two lamps."""
    warm = temperature(rng.uniform(2700, 7500))
    ambient = temperature(rng.uniform(4000, 9000)) * rng.uniform(0.15, 0.8)
    lobes = [
        (
            direction(rng.uniform(-180, 180), rng.uniform(-30, 80)),
            warm * rng.gamma(1.5, 0.5),
            rng.uniform(0.3, 1),
        )
        for _ in range(rng.integers(1, 4))
    ]
    lamps = []
    if rng.random() < 0.8:
        key = direction(rng.choice((-1, 1)) * rng.uniform(10, 110), rng.uniform(-5, 65))
        spread = rng.choice((rng.uniform(0.005, 0.05), rng.uniform(0.05, 0.35)))
        lamps.append(Lamp(tuple(key), tuple(warm * rng.uniform(0.4, 1.8)), float(spread)))
    if rng.random() < 0.2:
        lamps.append(_rim(rng, rng.uniform(0.3, 1.0), 80))
    return Room(ambient, tuple(lobes), tuple(lamps), bool(rng.random() < 0.5))


def _dimmed(room: Room, factor: float) -> Room:
    lobes = tuple((d, color * factor, c) for d, color, c in room.lobes)
    lamps = tuple(replace(lamp, color=tuple(np.asarray(lamp.color) * factor)) for lamp in room.lamps)
    panorama, surround = (
        None if p is None else p * np.float32(factor) for p in (room.panorama, room.surround)
    )
    return Room(room.ambient * factor, lobes, lamps, room.turns_with_camera, panorama, surround)


def _flash(rng) -> Lamp:
    """Beside the lens, near enough that the nose gets more of it than the ears."""
    return Lamp((0.0, 0.12, 0.99), tuple(np.full(3, rng.uniform(0.8, 1.6))), 0.01, rng.uniform(0.35, 0.7))


def _rim(rng, power: float, from_azimuth: float) -> Lamp:
    """A lamp beside or behind the person."""
    place = direction(rng.choice((-1, 1)) * rng.uniform(from_azimuth, 165), rng.uniform(0, 50))
    return Lamp(tuple(place), tuple(temperature(rng.uniform(2700, 9000)) * power), 0.1)


def _colored(rng) -> Lamp:
    """A sign, a screen or a stage lamp of any hue."""
    color = np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.3, 0.9), 1.0)) ** 2.2 * rng.uniform(
        0.5, 1.5
    )
    place = direction(rng.uniform(-130, 130), rng.uniform(-20, 50))
    return Lamp(tuple(place), tuple(color), float(rng.uniform(0.05, 0.4)))


def _lobe(d: np.ndarray, concentration: float) -> np.ndarray:
    """Nine harmonics of a light around direction d whose mean over the sphere is one quarter."""
    return (
        harmonic_basis(d) * np.repeat([1.0, 0.9 * concentration, 0.6 * concentration**2], [1, 3, 5]) * np.pi
    )
