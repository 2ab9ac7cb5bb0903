"""The capture's expressions and head pose over time, for the optional animation track."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FRONTAL = np.diag([1.0, -1.0, -1.0])  # OpenCV camera in front of the face


@dataclass(frozen=True)
class Motion:
    """K keyframes, in order of time.

    times: (K,) float32 seconds, from 0, strictly rising. expression: (K, 52) coefficients.
    rotation: (K, 4) float32 unit quaternions (x, y, z, w) of the head, from the pose that faces the camera.
    """

    times: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray


def captured_motion(fit, expression: np.ndarray) -> Motion | None:
    """What a `HeadFit` says about motion, with the expressions (K, 52) as the avatar's; None with less than two keyframes.
    Photos follow each other by the second.
    """
    stamps = np.asarray(fit.timestamps, np.float64)
    order = np.unique(stamps, return_index=True)[1]
    if len(order) < 2:
        return None
    turns = FRONTAL @ np.asarray(fit.rotation, np.float64)[order]
    times = (stamps[order] - stamps.min()).astype(np.float32)
    return Motion(times, np.clip(np.asarray(expression)[order], 0, 1), _quaternions(turns))


def _quaternions(matrices: np.ndarray) -> np.ndarray:
    """(K, 3, 3) rotations -> (K, 4) quaternions x, y, z, w, each in the half-sphere of the one before."""
    from scipy.spatial.transform import Rotation

    result = Rotation.from_matrix(matrices).as_quat()
    for k in range(1, len(result)):
        if result[k] @ result[k - 1] < 0:
            result[k] *= -1
    return result.astype(np.float32)
