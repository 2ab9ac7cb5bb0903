"""A simulated selfie clip with a known answer: a head turns to both sides in front of a hand-held phone.

The person, room and phone are those of `simulate`; here they move. One `numpy.random.Generator` decides
everything, so a seed gives the same clip again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from studio_avatar.rendering import look_at
from studio_avatar.training.phone_camera import expose, smooth_walk
from studio_avatar.training.simulate import (
    HEAD_HEIGHT,
    phone_for,
    photograph,
    sample_expression,
    sample_scene,
)
from studio_avatar.video_file import encode_h264

# The turn over the length of the clip: (share of its time, share of the widest yaw, share of the widest pitch).
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
WIDEST_PITCH_DEG = 14.0
BLINK_AT = 0.6  # share of the clip


@dataclass(frozen=True)
class SimulatedClip:
    """An MP4 file and, for each of its K frames, the truth.

    video: the file's bytes, H.264; frames_per_second: constant.
    identity: (100,); expression: (K, 52); rotation: (K, 3, 3); translation: (K, 3) metres; focal_px: pixels;
        conventions as in `HeadFit`.
    """

    video: bytes
    frames_per_second: int
    identity: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    focal_px: float


def simulate_clip(
    head,
    texture: np.ndarray,
    rng: np.random.Generator,
    seconds: float = 3.0,
    frames_per_second: int = 10,
    size: tuple[int, int] = (720, 1280),
    widest_yaw_deg: float = 45.0,
    device: str = "cpu",
) -> SimulatedClip:
    """Film `texture` (H, W, 3) float32 sRGB on a random head with a random phone in a random room.

    size: (width, height) of the frames, pixels. widest_yaw_deg: how far the head turns, to each side.
    """
    count = round(seconds * frames_per_second)
    expression = _expressions(head, count, rng)
    # Clips measure the fit: nothing is worn in front of the face.
    scene = replace(sample_scene(head, texture, rng, expression[0], size), glasses=None, strands=None)
    cameras = _cameras(count, rng, size, widest_yaw_deg)
    phone = phone_for(scene, rng, min(size))
    frames = []
    for coefficients, camera in zip(expression, cameras, strict=True):
        shot = photograph(scene, coefficients, camera, int(rng.integers(2**31)), device=device)
        frames.append(expose(shot.linear, phone, rng))
    crf = phone.codec[1] if phone.codec[0] == "h264" else 23
    return SimulatedClip(
        video=encode_h264(frames, size, frames_per_second, crf),
        frames_per_second=frames_per_second,
        identity=scene.identity,
        expression=expression,
        rotation=np.stack([c.rotation for c in cameras]).astype(np.float32),
        translation=np.stack([c.translation for c in cameras]).astype(np.float32),
        focal_px=cameras[0].focal_px,
    )


def _expressions(head, count: int, rng: np.random.Generator) -> np.ndarray:
    """From one mild expression to another, with a blink on the way: (count, 52)."""
    names = list(head.config.expression_names)
    first, last = sample_expression(rng, names), sample_expression(rng, names)
    share = (0.5 - 0.5 * np.cos(np.pi * np.linspace(0, 1, count)))[:, None]
    value = (1 - share) * first + share * last
    blink = np.clip(1 - np.abs(np.linspace(0, 1, count) - BLINK_AT) / 0.04, 0, 1)
    for side in ("Left", "Right"):
        column = names.index(f"eyeBlink{side}")
        value[:, column] = np.maximum(value[:, column], blink)
    return value.astype(np.float32)


def _cameras(count: int, rng: np.random.Generator, size: tuple[int, int], widest_yaw_deg: float) -> list:
    """One lens on a trembling hand around the head."""
    focal_px = rng.uniform(0.9, 1.6) * max(size)
    distance = HEAD_HEIGHT * focal_px / (rng.uniform(0.6, 0.85) * min(size[0] * 1.15, size[1]))
    times, yaws, pitches = np.array(TURN).T
    # Cosine interpolation between the turning points: nobody stops and starts at once.
    at = np.linspace(0, 1, count)
    index = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(times) - 2)
    share = (at - times[index]) / (times[index + 1] - times[index])
    share = 0.5 - 0.5 * np.cos(np.pi * share)
    yaw, pitch = (
        np.radians(widest * (values[index] + (values[index + 1] - values[index]) * share))
        for widest, values in ((widest_yaw_deg, yaws), (WIDEST_PITCH_DEG, pitches))
    )
    tremble = smooth_walk(rng, count)
    cameras = []
    for k in range(count):
        turn, nod = yaw[k] + 0.02 * tremble[k, 0], pitch[k] + 0.015 * tremble[k, 1]
        direction = np.array([np.sin(turn) * np.cos(nod), np.sin(nod), np.cos(turn) * np.cos(nod)])
        target = np.array([0.0, -0.01, 0.03]) + 0.003 * tremble[k, 2:5]
        cameras.append(
            look_at(target + direction * distance, target, focal_px, size, 0.02 * tremble[k, 5])
        )
    return cameras

