"""Simulated selfie videos with a known answer: a hand-held phone, an expression that changes, one stream of H.264.

The person, room and phone are those of `simulation.py`, whose frames are single shots; here they move. One
`numpy.random.Generator` decides everything, so a seed gives the same clip again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from studio_avatar.errors import InvalidInputError
from studio_avatar.imaging.video_io import decode, encode_h264
from studio_avatar.rendering import Camera, look_at

from .phone_camera import expose, smooth_walk
from .room import direction
from .simulation import (
    ORDINARY,
    POSES,
    SimulatedCapture,
    SimulationOptions,
    phone_for,
    photograph,
    record,
    sample_expression,
    sample_lens,
    sample_scene,
)

SECONDS_A_POSE, SECONDS_AN_EXPRESSION = 1.0, 1.3
BLINK_EVERY, BLINK_SECONDS = 3.0, 0.15  # mean distance, half width [s]
TREMBLE_METERS = 0.003
TREMBLE_DEGREES = (0.6, 0.6, 0.6)  # yaw, pitch, roll
OTHER_CRF = 23  # of a phone that codes its photos otherwise

# The turn that a capture asks for: (share of its time, share of the widest yaw, share of the widest pitch).
TURN = (
    (0.0, 0, 0),
    (0.05, 0, 0),
    (0.27, 1, 0.1),
    (0.45, 0, 1),
    (0.5, 0, 0.8),
    (0.72, -1, 0),
    (0.9, 0, -0.9),
    (1.0, 0, 0),
)
TURN_PITCH_DEG = 14.0
TURN_BLINK_AT, TURN_BLINK = 0.6, 0.04  # when, and half width; shares of the clip
TURN_TREMBLE_DEGREES = (1.146, 0.859, 1.146)


@dataclass(frozen=True)
class SimulatedClip:
    """A clip and the truth of each of its K frames.

    video: the bytes of an MP4 file, H.264; frames_per_second: constant; capture: its frames as a player shows them,
    with person, cameras and lights.
    """

    video: bytes
    frames_per_second: int
    capture: SimulatedCapture


def simulate_clip(
    head,
    texture: np.ndarray,
    rng: np.random.Generator,
    seconds: float = 5.0,
    frames_per_second: int = 10,
    turn_deg: float | None = None,
    worn: bool = True,
    options: SimulationOptions = ORDINARY,
) -> SimulatedClip:
    """Film `texture` (H, W, 3) float32 sRGB on a random head with a random phone in a random room.

    Args:
        seconds, frames_per_second: length and rate; a frame takes about half a second on one core.
        turn_deg: turn once to both sides, so far each, up and down, as a capture asks for; otherwise the head wanders
            through some of the `POSES`.
        worn: whether glasses and hair may be in front of the face.
        options: the frames' sides are even; light and camera are never the unseen ones, at no further exposure.

    Raises:
        InvalidInputError: the clip would have no frame, or the texture has the wrong shape.
    """
    count = round(seconds * frames_per_second)
    if count < 1:
        raise InvalidInputError(f"A clip of {seconds} s at {frames_per_second} frames a second has no frame.")
    times, names = np.arange(count) / frames_per_second, head.config.expression_names
    expression = (
        expression_track(rng, names, times) if turn_deg is None else turn_expressions(rng, names, count)
    )
    size = options.size
    scene = sample_scene(head, texture, rng, expression[0], replace(options, unseen=False))
    if not worn:
        scene = replace(scene, glasses=None, strands=None)
    lens = sample_lens(rng, size, options.population)
    cameras = (
        camera_path(rng, times, size, lens)
        if turn_deg is None
        else turn_cameras(rng, count, size, lens, turn_deg)
    )
    phone = phone_for(scene, rng, min(size))
    shots, frames = [], []
    for coefficients, camera in zip(expression, cameras, strict=True):
        seed = int(rng.integers(2**31))
        shots.append(photograph(scene, coefficients, camera, seed, options.supersample, options.device))
        frames.append(expose(shots[-1].linear, phone, rng))
    crf = phone.codec[1] if phone.codec[0] == "h264" else OTHER_CRF
    video = encode_h264(frames, size, frames_per_second, crf)
    return SimulatedClip(
        video, frames_per_second, record(scene, shots, decode(video), expression, cameras, phone)
    )


# ------------------------------------------------------------------------------------------------
# Wandering
# ------------------------------------------------------------------------------------------------


def camera_path(rng: np.random.Generator, times: np.ndarray, size: tuple[int, int], lens) -> list[Camera]:
    """Cameras at `times` (N,) seconds: from the front smoothly through poses in random order, trembling.

    lens: focal length in pixels and distance in meters.
    """
    focal_px, distance = lens
    order = [0, *rng.permutation(np.arange(1, len(POSES)))]
    count = max(int(np.ceil(times[-1] / SECONDS_A_POSE)), 1) + 1
    stops = np.array([POSES[order[i % len(order)]] for i in range(count)]) + rng.normal(0, 3, (count, 2))
    views = eased(np.arange(count) * SECONDS_A_POSE, stops, times)
    rate = 1 / max(times[1] - times[0], 1e-3) if len(times) > 1 else 10.0
    tremble = smooth_walk(rng, len(times), 0.15 * rate)
    near = distance * eased(np.array([0, times[-1] + 1e-6]), rng.uniform(0.93, 1.07, (2, 1)), times)[:, 0]
    middle, roll = rng.normal((0.0, 0.0, 0.03), 0.01), rng.normal(0, 3)
    views = np.c_[views, np.full(len(times), roll)]
    return _hand_held(views, near, middle, tremble, TREMBLE_DEGREES, focal_px, size)


def expression_track(rng: np.random.Generator, names: Sequence[str], times: np.ndarray) -> np.ndarray:
    """Expression coefficients (N, 52) at `times` (N,) seconds: mild ones that flow into each other, and blinks."""
    names = list(names)
    count = int(np.ceil(times[-1] / SECONDS_AN_EXPRESSION)) + 2
    stops = np.stack([sample_expression(rng, names) for _ in range(count)])
    track = eased(np.arange(count) * SECONDS_AN_EXPRESSION, stops, times)
    blinks = np.cumsum(rng.uniform(0.5, 1.5, int(times[-1] / BLINK_EVERY) + 1) * BLINK_EVERY)
    return _blinking(track, names, (1 - np.abs(times[:, None] - blinks) / BLINK_SECONDS).clip(0).max(1))


# ------------------------------------------------------------------------------------------------
# The turn
# ------------------------------------------------------------------------------------------------


def turn_cameras(
    rng: np.random.Generator, count: int, size: tuple[int, int], lens, widest_yaw_deg: float
) -> list[Camera]:
    """`count` cameras along `TURN`, trembling. lens: focal length in pixels and distance in meters."""
    focal_px, distance = lens
    times, yaws, pitches = np.array(TURN).T
    stops = np.stack([widest_yaw_deg * yaws, TURN_PITCH_DEG * pitches, np.zeros(len(times))], axis=1)
    views = eased(times, stops, np.linspace(0, 1, count))
    tremble = smooth_walk(rng, count)[:, [2, 3, 4, 0, 1, 5]]
    middle = np.array([0.0, -0.01, 0.03])
    return _hand_held(views, np.full(count, distance), middle, tremble, TURN_TREMBLE_DEGREES, focal_px, size)


def turn_expressions(rng: np.random.Generator, names: Sequence[str], count: int) -> np.ndarray:
    """From one mild expression to another, with a blink on the way: (count, 52)."""
    names, at = list(names), np.linspace(0, 1, count)
    stops = np.stack([sample_expression(rng, names) for _ in range(2)])
    shut = np.clip(1 - np.abs(at - TURN_BLINK_AT) / TURN_BLINK, 0, 1)
    return _blinking(eased((0, 1), stops, at), names, shut)


# ------------------------------------------------------------------------------------------------
# Both
# ------------------------------------------------------------------------------------------------


def _hand_held(views, near, middle, tremble, tremble_degrees, focal_px: float, size) -> list[Camera]:
    """Cameras around `middle` (3,): views (N, 3) yaw, pitch and roll in degrees, near (N,) meters, tremble (N, 6)."""
    cameras = []
    for view, distance, shake in zip(views, near, tremble, strict=True):
        target = middle + TREMBLE_METERS * shake[:3]
        yaw, pitch, roll = view + np.multiply(tremble_degrees, shake[3:])
        cameras.append(
            look_at(target + direction(yaw, pitch) * distance, target, focal_px, size, np.radians(roll))
        )
    return cameras


def _blinking(track: np.ndarray, names: list[str], shut: np.ndarray) -> np.ndarray:
    """An expression track (N, 52) with eyes closed at least by `shut` (N,); float32."""
    track = track.astype(np.float32)
    for side in ("Left", "Right"):
        column = names.index(f"eyeBlink{side}")
        track[:, column] = np.maximum(track[:, column], shut)
    return track


def eased(knots: np.ndarray, values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Values (K, C) at `knots` (K,) seconds -> (N, C) at `times` (N,), stopping softly at every knot."""
    knots, values = np.asarray(knots, np.float64), np.asarray(values, np.float64)
    last = np.clip(np.searchsorted(knots, times, side="right"), 1, len(knots) - 1)
    share = np.clip((np.asarray(times) - knots[last - 1]) / (knots[last] - knots[last - 1]), 0, 1)
    share = (0.5 - 0.5 * np.cos(np.pi * share))[..., None]
    return values[last - 1] + (values[last] - values[last - 1]) * share
