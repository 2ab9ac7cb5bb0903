"""The capture's expressions and head pose over time, for the optional animation track."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SECONDS_A_KEYFRAME = 0.75  # when the capture does not say when its keyframes were
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


def captured_motion(fit) -> Motion | None:
    """What a `HeadFit` says about motion; None with less than two keyframes.

    Keyframes without times (photos) are shown one after the other, from the head turned right to turned left.
    """
    turns = FRONTAL @ np.asarray(fit.rotation, np.float64)
    stamps = getattr(fit, "timestamps", None)
    if stamps is None:
        order = np.argsort(np.arctan2(turns[:, 0, 2], turns[:, 2, 2]), kind="stable")
        times = np.arange(len(order)) * SECONDS_A_KEYFRAME
    else:
        stamps = np.asarray(stamps, np.float64)
        order = np.unique(stamps, return_index=True)[1]
        times = stamps[order] - stamps.min()
    if len(order) < 2:
        return None
    rotation = _quaternions(turns[order])
    return Motion(times.astype(np.float32), np.clip(np.asarray(fit.expression)[order], 0, 1), rotation)


def _quaternions(matrices: np.ndarray) -> np.ndarray:
    """(K, 3, 3) rotations -> (K, 4) quaternions x, y, z, w, each in the half-sphere of the one before."""
    from scipy.spatial.transform import Rotation

    result = Rotation.from_matrix(matrices).as_quat()
    for k in range(1, len(result)):
        if result[k] @ result[k - 1] < 0:
            result[k] *= -1
    return result.astype(np.float32)
