"""Simulated selfie videos: a hand-held camera path, an expression that changes, one stream of H.264.

The frames of `simulate.py` are single shots; these are what a phone's video holds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from studio_avatar.errors import InvalidInputError
from studio_avatar.rendering import Camera, look_at
from studio_avatar.training.phone_camera import compress, expose, smooth_walk
from studio_avatar.training.room import direction
from studio_avatar.training.simulate import (
    POSES,
    SimulatedCapture,
    phone_for,
    photograph,
    record,
    sample_expression,
    sample_lens,
    sample_scene,
)

SECONDS_A_POSE, SECONDS_AN_EXPRESSION = 1.0, 1.3
BLINK_EVERY, BLINK_SECONDS = 3.0, 0.15  # mean distance, half width [s]
TREMBLE_METRES, TREMBLE_DEGREES = 0.003, 0.6
CRF = (20, 31)


def simulate_clip(
    head,
    texture: np.ndarray,
    rng: np.random.Generator,
    seconds: float = 5.0,
    frames_per_second: float = 10.0,
    size: tuple[int, int] = (720, 960),
    device: str = "cpu",
    panoramas: Sequence[np.ndarray] | None = None,
) -> SimulatedCapture:
    """Film `texture` (H, W, 3) float32 sRGB on a random head while it turns through some of the `POSES`.

    Args:
        seconds, frames_per_second: length and rate; a frame takes about half a second on one core.
        size: (width, height) of the frames in pixels.
        panoramas: light from files, see `environments.read_panoramas`.

    Raises:
        InvalidInputError: the clip would have no frame, or the texture has the wrong shape.
    """
    times = np.arange(0, seconds, 1 / frames_per_second) if seconds > 0 and frames_per_second > 0 else ()
    if len(times) == 0:
        raise InvalidInputError(f"A clip of {seconds} s at {frames_per_second} frames a second has no frame.")
    expression = expression_track(rng, head.config.expression_names, times)
    scene = sample_scene(head, texture, rng, expression[0], size, panoramas)
    cameras = camera_path(rng, times, size)
    phone = phone_for(scene, rng, min(size))
    shots, frames = [], []
    for coefficients, camera in zip(expression, cameras, strict=True):
        shots.append(photograph(scene, coefficients, camera, int(rng.integers(2**31)), device=device))
        frames.append(expose(shots[-1].linear, phone, rng))
    frames = compress(frames, ("h264", int(rng.integers(*CRF))))
    return record(scene, shots, frames, expression, cameras, phone)


def camera_path(rng: np.random.Generator, times: np.ndarray, size: tuple[int, int]) -> list[Camera]:
    """Cameras at `times` (N,) seconds: from the front smoothly through poses in random order, trembling."""
    focal_px, distance = sample_lens(rng, size)
    order = [0, *rng.permutation(np.arange(1, len(POSES)))]
    count = max(int(np.ceil(times[-1] / SECONDS_A_POSE)), 1) + 1
    stops = np.array([POSES[order[i % len(order)]] for i in range(count)]) + rng.normal(0, 3, (count, 2))
    yaw, pitch = eased(np.arange(count) * SECONDS_A_POSE, stops, times).T
    rate = 1 / max(times[1] - times[0], 1e-3) if len(times) > 1 else 10.0
    tremble = smooth_walk(rng, len(times), 0.15 * rate)
    near = distance * eased(np.array([0, times[-1] + 1e-6]), rng.uniform(0.93, 1.07, (2, 1)), times)[:, 0]
    middle, roll = rng.normal((0.0, 0.0, 0.03), 0.01), rng.normal(0, 3)
    cameras = []
    for i, shake in enumerate(tremble):
        target = middle + TREMBLE_METRES * shake[:3]
        towards = direction(yaw[i] + TREMBLE_DEGREES * shake[3], pitch[i] + TREMBLE_DEGREES * shake[4])
        turn = np.radians(roll + TREMBLE_DEGREES * shake[5])
        cameras.append(look_at(target + towards * near[i], target, focal_px, size, turn))
    return cameras


def expression_track(rng: np.random.Generator, names: Sequence[str], times: np.ndarray) -> np.ndarray:
    """Expression coefficients (N, 52) at `times` (N,) seconds: mild ones that flow into each other, and blinks."""
    names = list(names)
    count = int(np.ceil(times[-1] / SECONDS_AN_EXPRESSION)) + 2
    stops = np.stack([sample_expression(rng, names) for _ in range(count)])
    track = eased(np.arange(count) * SECONDS_AN_EXPRESSION, stops, times).astype(np.float32)
    blinks = np.cumsum(rng.uniform(0.5, 1.5, int(times[-1] / BLINK_EVERY) + 1) * BLINK_EVERY)
    shut = (1 - np.abs(times[:, None] - blinks) / BLINK_SECONDS).clip(0).max(1)
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
