"""From what the landmarker says of one picture after the other to a head that moves calmly, as in a mirror."""

import numpy as np

from studio_avatar.capture.detection.landmarks import Face
from studio_avatar.head.geometry import other_side

# Score of the landmarker where this head's own shape is at its full weight, by the beginning of the shape's name; of all
# others 1. Measured on a rendered head, see docs/experiments.md.
REACH = {"eyeBlink": 0.5, "jawOpen": 0.8, "mouthSmile": 0.8, "mouthPucker": 0.85}
LEVEL_DEG = 7.7  # pitch of the landmarker's own face when this head looks straight ahead, downwards
WEIGHTS_HZ, WEIGHTS_PER_SPEED = 1.0, 0.6  # a blink takes a tenth of a second
TURN_HZ, TURN_PER_SPEED = 1.0, 2.0
SPEED_HZ = 3.0
DECIMALS = 3


class OneEuro:
    """Low-pass filter whose cutoff rises with the speed of what it follows (Casiez, Roussel, Vogel, CHI 2012): calm when
    it is still, prompt when it moves.
    """

    def __init__(self, lowest_hz: float, per_speed: float):
        """lowest_hz: cutoff at rest. per_speed: Hz more for each unit a second."""
        self._lowest, self._per_speed = lowest_hz, per_speed
        self._value = self._speed = None
        self._at = 0.0

    def __call__(self, value: np.ndarray, seconds: float) -> np.ndarray:
        """The filtered vector at a time that rises from call to call."""
        if self._value is None:
            self._value, self._speed = value, np.zeros_like(value)
        else:
            elapsed = max(seconds - self._at, 1e-3)
            step = value - self._value
            self._speed = self._speed + _share(SPEED_HZ, elapsed) * (step / elapsed - self._speed)
            cutoff = self._lowest + self._per_speed * np.abs(self._speed)
            self._value = self._value + _share(cutoff, elapsed) * step
        self._at = seconds
        return self._value


class Motion:
    """What one visitor's face does, smoothed; the lowest score that was ever seen of a shape is taken for the face's rest.

    Everybody's resting face scores something, a squint of 0.4 on some. At most half of a shape's reach is taken off.
    """

    def __init__(self):
        self._weights, self._turn = OneEuro(WEIGHTS_HZ, WEIGHTS_PER_SPEED), OneEuro(TURN_HZ, TURN_PER_SPEED)
        self._rest = None

    def of(self, face: Face, seconds: float) -> dict:
        """What a mirror shows of a face at a time that rises from call to call.

        Returns:
            "weights": name of a shape → [0, 1], left and right exchanged; "turn": rotation vector [radians] of the head in
            glTF's axes, mirrored; all rounded.
        """
        names = list(face.scores)
        scores = np.array([face.scores[name] for name in names])
        reach = np.array([_reach(name) for name in names])
        self._rest = np.minimum(0.5 * reach if self._rest is None else self._rest, scores)
        weights = np.clip((scores - self._rest) / (reach - self._rest), 0.0, 1.0)
        smooth, turn = self._weights(weights, seconds), self._turn(mirrored_turn(face.head_rotation), seconds)
        return {
            "weights": dict(zip(map(other_side, names), smooth.round(DECIMALS).tolist())),
            "turn": turn.round(DECIMALS).tolist(),
        }


def mirrored_turn(rotation: np.ndarray) -> np.ndarray:
    """`Face.head_rotation` as the rotation vector (3,) [radians] of a head that is seen in a mirror."""
    from scipy.spatial.transform import Rotation

    level = Rotation.from_euler("x", -LEVEL_DEG, degrees=True)
    right, up, back = (Rotation.from_matrix(rotation) * level).as_rotvec()
    return np.array([right, -up, -back])


def _reach(name: str) -> float:
    return next((reach for stem, reach in REACH.items() if name.startswith(stem)), 1.0)


def _share(hertz, elapsed: float):
    """How far a first-order low-pass of that cutoff goes in `elapsed` seconds, in [0, 1]."""
    return 1.0 / (1.0 + 1.0 / (2.0 * np.pi * hertz * elapsed))
