"""Eyeballs of an adult's size, set where this person's lids touch them, and turned by the gaze shapes.

MakeHuman's eyeballs are 29 mm wide, so that coarse lids cover them; an eye looks large and flat in them. People's
eyeballs hardly differ (24 mm), so the size is the same for everybody and only the place is the person's.
"""

from __future__ import annotations

import numpy as np

from studio_avatar.imaging.ramps import smoothstep

from .eye_rig import BORDER, EyeRig

RADIUS = 0.012  # meters
CORNERS = (
    1.05  # the ball's triangles are coarse: with corners so far out they lie about a ball of that radius
)
CORNEA_RISE = 0.0004  # meters that the cornea stands out over the ball
CORNEA_EDGE = np.radians(
    38.0
)  # from the gaze axis, as seen from the ball's center, where it has gone over into the ball
CONTACT, FILM = BORDER + 1, 0.0006  # ring of the lids that touches the ball, and meters that it stays off it
SUNK = 0.0004  # meters that the lids' inner border lies in the ball at least, so that no slit shows
# From the gaze axis: further out the lids' inner border would leave a pit in the corners of the eye, where there is flesh.
CORNER_ANGLE, DEEPEST_ANGLE = np.radians(54.0), np.radians(66.0)
PLACING_ROUNDS = 8
# Degrees that the ball turns at a coefficient of 1, up (+) and to the person's left (+).
GAZE = {
    "eyeLookUpLeft": (18, 0), "eyeLookUpRight": (18, 0), "eyeLookDownLeft": (-19, 0), "eyeLookDownRight": (-19, 0),
    "eyeLookInLeft": (0, -27), "eyeLookInRight": (0, 27), "eyeLookOutLeft": (0, 27), "eyeLookOutRight": (0, -27),
}  # fmt: skip


def place_eyeball(neutral: np.ndarray, rig: EyeRig) -> np.ndarray:
    """Set the eyeball behind the lids, and the lids' inner border on it, in place; neutral: (V, 3) meters.

    Returns:
        the ball's center (3,).
    """
    lids = neutral[rig.rings[CONTACT]].astype(np.float64)
    center = lids.mean(0) - (0, 0, 0.6 * RADIUS)
    for _ in range(PLACING_ROUNDS):  # Gauss-Newton on the distances of the lids from the ball
        ray = lids - center
        distance = np.linalg.norm(ray, axis=1)
        center += np.linalg.lstsq(ray / distance[:, None], distance - RADIUS - FILM, rcond=None)[0]
    angle = np.arccos(np.clip(rig.rays[:, 2], -1, 1))
    radius = CORNERS * RADIUS + CORNEA_RISE * (1 - smoothstep(angle, 0, CORNEA_EDGE))
    neutral[rig.ball] = center + radius[:, None] * rig.rays
    _meet_the_ball(neutral, center, rig)
    return center


def _meet_the_ball(neutral: np.ndarray, center: np.ndarray, rig: EyeRig) -> None:
    """Set the socket and the lids' inner border into the ball, no further round than the corners' flesh, in place."""
    socket, border, rim, beyond = rig.rings[:BORDER], *rig.rings[BORDER : BORDER + 3]
    ray = neutral[socket] - center
    neutral[socket] = center + ray * np.minimum(
        1, (RADIUS - SUNK) / np.linalg.norm(ray, axis=-1, keepdims=True)
    )
    ray = neutral[border] - center
    distance = np.linalg.norm(ray, axis=1)
    angle = np.arccos(np.clip(ray[:, 2] / distance, -1, 1))
    side = ray[:, :2] / np.linalg.norm(ray[:, :2], axis=1, keepdims=True)
    front = np.minimum(angle, CORNER_ANGLE)[:, None]
    direction = np.concatenate([np.sin(front) * side, np.cos(front)], 1)
    neutral[border] = center + direction * np.minimum(distance, RADIUS - SUNK)[:, None]
    flesh = smoothstep(angle, CORNER_ANGLE, DEEPEST_ANGLE)[:, None]
    neutral[rim] += flesh * ((neutral[border] + neutral[beyond]) / 2 - neutral[rim])


def turn_eyeball(neutral: np.ndarray, offsets: np.ndarray, center: np.ndarray, rig: EyeRig, names) -> None:
    """Make the expressions turn the ball about its center, and leave it where it is otherwise, in place.

    Args:
        neutral: (V, 3) meters. offsets: (E, V, 3). names: of the E expressions.
    """
    side = "Left" if center[0] > 0 else "Right"
    offsets[:, rig.ball] = 0
    for name, degrees in GAZE.items():
        if name.endswith(side):
            arm = neutral[rig.ball] - center
            offsets[names.index(name), rig.ball] = arm @ gaze_rotation(*np.radians(degrees)).T - arm


def gaze_rotation(up: float, left: float) -> np.ndarray:
    """(3, 3) rotation that takes a gaze straight ahead (+Z) by so many radians up (+Y) and to the person's left (+X)."""
    pitch = [[1, 0, 0], [0, np.cos(up), np.sin(up)], [0, -np.sin(up), np.cos(up)]]
    yaw = [[np.cos(left), 0, np.sin(left)], [0, 1, 0], [-np.sin(left), 0, np.cos(left)]]
    return np.array(yaw) @ np.array(pitch)
