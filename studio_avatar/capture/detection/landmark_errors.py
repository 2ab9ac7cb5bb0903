"""How MediaPipe's landmarks err on this head, as measured on simulated heads by `training.calibrate_landmarks`.

The detector places landmarks of turned heads systematically off, and neighbors err together: 468 landmarks are far
fewer than 468 independent measurements.
"""

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from .landmarks import Face

MAX_YAW_DEG, MAX_PITCH_DEG = 50.0, 22.0  # the bias is known up to here and taken as constant beyond


@dataclass(frozen=True)
class LandmarkErrors:
    """Error = detected - true, in an upright face's axes (x right, y down), over the face's height.

    bias: (T, 468, 2), by the terms of `pose_terms`.
    components: (C, 468, 2), principal components of the rest, scaled to one standard deviation.
    sigma: (468,) standard deviation of what the components leave, per axis.
    """

    bias: np.ndarray
    components: np.ndarray
    sigma: np.ndarray

    def save(self, path: Path) -> None:
        """Write a .safetensors file in half precision."""
        from safetensors.numpy import save_file

        save_file(
            {name: np.ascontiguousarray(value, np.float16) for name, value in asdict(self).items()}, path
        )


@lru_cache(maxsize=1)
def landmark_errors() -> LandmarkErrors:
    """The measured errors that come with the package."""
    from safetensors.numpy import load_file

    tensors = load_file(Path(__file__).with_name("landmark_errors.safetensors"))
    return LandmarkErrors(**{name: tensor.astype(np.float64) for name, tensor in tensors.items()})


def pose_terms(face: Face) -> np.ndarray:
    """(T,) polynomial terms of the detected yaw and pitch."""
    yaw = np.clip(face.yaw_deg, -MAX_YAW_DEG, MAX_YAW_DEG) / 30.0
    pitch = np.clip(face.pitch_deg, -MAX_PITCH_DEG, MAX_PITCH_DEG) / 15.0
    return np.array([1.0, yaw, yaw**2, yaw**3, pitch, yaw * pitch, pitch**2])


def upright(face: Face, vectors: np.ndarray) -> np.ndarray:
    """Picture vectors (..., 2) in the axes of the face as if it were not rolled."""
    return vectors @ _roll(face).T


def rolled(face: Face, vectors: np.ndarray) -> np.ndarray:
    """The inverse of `upright`."""
    return vectors @ _roll(face)


def _roll(face: Face) -> np.ndarray:
    """(2, 2) rotation from the picture's axes to the upright face's."""
    c, s = np.cos(face.roll), np.sin(face.roll)
    return np.array([[c, s], [-s, c]])
