"""The pinhole camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """Pinhole camera in OpenCV axes: `p_cam = rotation @ p + translation`, pixel centers at +0.5.

    focal_px: focal length in pixels; rotation: (3, 3); translation: (3,) in meters; size: (width, height) in
    pixels.
    """

    focal_px: float
    rotation: np.ndarray
    translation: np.ndarray
    size: tuple[int, int]

    @property
    def center(self) -> np.ndarray:
        """Position of the camera in head space, (3,) meters."""
        return -np.asarray(self.rotation).T @ np.asarray(self.translation)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) in meters -> pixels (..., 2)."""
        p = points @ np.asarray(self.rotation).T + np.asarray(self.translation)
        return self.focal_px * p[..., :2] / p[..., 2:] + np.asarray(self.size) / 2


def look_at(
    position, target=(0.0, 0.0, 0.0), focal_px: float = 1000.0, size=(720, 960), roll: float = 0.0
) -> Camera:
    """A camera at `position` (head space, meters) that looks at `target`; `roll` in radians turns it about
    its axis.
    """
    forward = np.asarray(target, np.float64) - np.asarray(position, np.float64)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 1.0, 0.0))
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(forward, right), forward])
    turn = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    rotation = turn @ axes
    return Camera(float(focal_px), rotation, -rotation @ np.asarray(position, np.float64), tuple(size))
