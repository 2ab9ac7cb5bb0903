"""Lids of one person: a blink that closes at exactly 1, lids that follow the gaze, and skin that stays off the eyeball.

A lid turns about the line through the ball's center along the opening of the eye, so that it glides over the ball. What
it needs of skin comes out of the fold between its edge and the brow, evenly: the brow stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studio_avatar.imaging.ramps import smoothstep

from .eye_rig import EDGE, EyeRig

LOWER_SHARE = 0.12  # of the opening that the lower lid closes
OVERLAP = 0.08  # of the opening, that a closed upper lid goes beyond the lower one's edge
IN_FRONT = 7e-4  # meters that it lies in front of it
RIGID = 0.0015  # meters of skin beside the lid's edge that do not stretch
LOWER_REACH = 0.006  # meters of skin under the lower lid's edge that follow it
THICKENING = 0.08  # meters of thickness that a closed lid gains per meter from its edge
SOCKET_FOLLOWS = (0.1, 0.4, 0.7)  # share of the lid's turn, by ring from the depth
CORNER = 0.004  # meters of opening below which a column is part of a corner, and keeps its thickness
# Share of the blink's way that the upper and the lower lid go with the gaze, as far as it turns at a coefficient of 1.
FOLLOW = {"eyeLookDown": (0.45, -1.2), "eyeLookUp": (-0.25, 0.6)}

CLEARANCE = 4e-4  # meters between the eyeball and the outer skin of a lid
STEPS = (
    0.25,
    0.5,
    0.75,
    1.0,
)  # a lid travels along a chord: it must be clear on the way, not only at the end
STILL = 1e-4  # meters; an expression that moves lids and eyeball less leaves the clearance as it is
SPREAD_ROUNDS = 12  # of smoothing, so that a lid is pushed as a sheet and not vertex by vertex


@dataclass(frozen=True)
class _Hinge:
    """Cylinder around the line through the ball's center along the eye's opening.

    origin, axis, up, forward: (3,); axis points to the outer corner.
    """

    origin: np.ndarray
    axis: np.ndarray
    up: np.ndarray
    forward: np.ndarray

    def to(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) -> place along the axis [m], angle upwards from straight ahead, distance from the axis [m]."""
        arm = points - self.origin
        high, far = arm @ self.up, arm @ self.forward
        return np.stack([arm @ self.axis, np.arctan2(high, far), np.hypot(high, far)], -1)

    def back(self, places: np.ndarray) -> np.ndarray:
        """The inverse of `to`."""
        along, angle, distance = np.moveaxis(places[..., None], -2, 0)
        turned = np.sin(angle) * self.up + np.cos(angle) * self.forward
        return self.origin + along * self.axis + distance * turned


def close_lids(neutral: np.ndarray, center: np.ndarray, rig: EyeRig) -> tuple[np.ndarray, np.ndarray]:
    """Offsets of the rings (R, n, 3) that close the eye: the upper lid's part and the lower lid's, which add up.

    Args:
        neutral: (V, 3) meters. center: (3,) of the eyeball.
    """
    rest = neutral[rig.rings].astype(np.float64)
    hinge = _hinge(rest[EDGE], center, rig.outer_corner)
    place = hinge.to(rest)
    edge, upper = place[EDGE], np.arange(rig.rings.shape[1]) <= rig.outer_corner
    facing = np.where(upper[:, None], _opposite(edge, upper), _opposite(edge, ~upper))
    opening = np.where(upper, 1, -1) * (edge[:, 1] - facing[:, 1])  # radians
    opening = np.maximum(opening, 0)
    reach = np.linalg.norm(np.diff(rest[EDGE:], axis=0), axis=-1).cumsum(0)
    reach = np.concatenate([np.zeros((1, len(edge))), reach])  # meters of skin from the edge

    turn = np.where(upper, 1 - LOWER_SHARE + OVERLAP, LOWER_SHARE) * opening
    fade = smoothstep(opening * edge[:, 2], 0, CORNER)
    end = np.where(upper, reach[-2], np.minimum(reach[-2], LOWER_REACH))
    follow = 1 - _ease((reach - RIGID) / np.maximum(end - RIGID, 1e-4))
    follow = np.concatenate([np.repeat([[*SOCKET_FOLLOWS, 1, 1, 1]], len(edge), 0).T, follow])
    thick = np.where(
        upper, facing[:, 2] + IN_FRONT, edge[:, 2]
    )  # distance from the hinge of the closed lid's edge
    lying = thick + THICKENING * np.concatenate([np.zeros((EDGE, len(edge))), reach])
    lying[:EDGE] = place[:EDGE, :, 2] + (thick - edge[:, 2])
    moved = place.copy()
    moved[..., 1] -= np.where(upper, 1, -1) * turn * follow
    moved[..., 2] += np.where(upper, fade, 0) * follow**2 * (lying - place[..., 2])
    offset = hinge.back(moved) - rest
    return offset * upper[:, None], offset * ~upper[:, None]


def move_lids(neutral: np.ndarray, offsets: np.ndarray, center: np.ndarray, rig: EyeRig, names) -> None:
    """Make the blink close the eye and the lids go with the gaze up and down, in place.

    Args:
        neutral: (V, 3) meters. offsets: (E, V, 3). center: (3,) of the eyeball. names: of the E expressions.
    """
    side = "Left" if center[0] > 0 else "Right"
    upper, lower = close_lids(neutral, center, rig)
    blink = names.index(f"eyeBlink{side}")
    offsets[blink] = 0
    offsets[blink, rig.rings] = upper + lower
    for name, (above, below) in FOLLOW.items():
        offsets[names.index(name + side), rig.rings] = above * upper + below * lower


def _hinge(edge: np.ndarray, center: np.ndarray, outer_corner: int) -> _Hinge:
    axis = edge[outer_corner] - edge[0]
    axis /= np.linalg.norm(axis)
    up = np.array([0, 1.0, 0]) - axis[1] * axis
    up /= np.linalg.norm(up)
    forward = np.cross(axis, up)
    return _Hinge(center, axis, up, forward * np.sign(forward[2]))


def _opposite(edge: np.ndarray, mine: np.ndarray) -> np.ndarray:
    """The other lid's edge, as `_Hinge.to` gives it (n, 3), at each column's place along the opening."""
    corners = [int(edge[:, 0].argmin()), int(edge[:, 0].argmax())]
    other = np.union1d(np.flatnonzero(~mine), corners)
    other = other[np.argsort(edge[other, 0])]
    along = edge[:, 0]
    return np.stack([along] + [np.interp(along, edge[other, 0], edge[other, k]) for k in (1, 2)], -1)


def _ease(share: np.ndarray) -> np.ndarray:
    """0 to 1 with rounded ends and an even middle."""
    return 0.5 * np.clip(share, 0, 1) + 0.5 * smoothstep(share, 0, 1)


def lift_lids(neutral: np.ndarray, rig: EyeRig) -> None:
    """Push the lids in front of the eyeball at rest, in place; neutral: (V, 3) meters."""
    neutral[rig.lid] += _push(neutral[None], rig)[0]


def clear_lids(neutral: np.ndarray, offsets: np.ndarray, rig: EyeRig) -> None:
    """Push the lids in front of the eyeball on the way to every expression, in place.

    Args:
        neutral: (V, 3) meters. offsets: (E, V, 3).
    """
    touched = np.abs(offsets[:, np.concatenate([rig.lid, rig.ball])]).max((1, 2)) > STILL
    for step in STEPS:
        moved = offsets[touched]
        moved[:, rig.lid] += _push(neutral + step * moved, rig) / step
        offsets[touched] = moved


def clearance(posed: np.ndarray, rig: EyeRig) -> tuple[np.ndarray, np.ndarray]:
    """How far the lid's vertices stand off the eyeball, along rays from its middle.

    Args:
        posed: (N, V, 3) meters.
    Returns:
        (N, n) meters, negative inside, and the rays (N, n, 3) of unit length.
    """
    corners = posed[:, rig.ball_faces]
    middle = posed[:, rig.ball].mean(1, keepdims=True)
    normal = np.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-20)
    height = ((corners[:, :, 0] - middle) * normal).sum(-1)  # (N, f)
    ray = posed[:, rig.lid] - middle
    distance = np.linalg.norm(ray, axis=-1)
    ray /= distance[..., None]
    slope = ray @ normal.transpose(0, 2, 1)  # (N, n, f)
    # The eyeball is convex: a ray leaves it through the first plane that it meets.
    surface = np.where(slope > 1e-3, height[:, None] / np.maximum(slope, 1e-3), np.inf).min(-1)
    return distance - surface, ray


def _push(posed: np.ndarray, rig: EyeRig) -> np.ndarray:
    """(N, n, 3) offsets that bring the lids off the eyeball, smooth over the lid."""
    free, ray = clearance(posed, rig)
    needed = np.maximum(CLEARANCE - free, 0.0)
    if not needed.any():
        return np.zeros_like(ray)
    needed = needed.reshape(len(posed), -1, rig.rings.shape[1])
    spread = needed
    for _ in range(SPREAD_ROUNDS):
        beside = np.roll(spread, 1, -1) + np.roll(spread, -1, -1)
        inner = np.concatenate([spread[:, :1], spread[:, :-1]], 1)
        outer = np.concatenate([spread[:, 1:], spread[:, -1:]], 1)
        spread = np.maximum(needed, (spread + beside + inner + outer) / 5)
    return spread.reshape(len(posed), -1, 1) * ray
