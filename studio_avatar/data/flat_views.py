"""Flat-lit pictures of a textured mesh from several sides: how people with a mesh of their own meet our capture."""

from __future__ import annotations

import numpy as np

from studio_avatar.rendering import FLAT, Camera, RenderOptions, TexturedMesh, look_at, render

# Yaw and pitch of the views of a head [degrees].
VIEWS = ((0, 0), (30, 0), (-30, 0), (60, 0), (-60, 0), (0, 25), (0, -22))
VIEW_SIZE = (1280, 1280)
DISTANCE, FOCAL_PX = 1.05, 3.8 * VIEW_SIZE[0]  # a long lens: all of the face at nearly one scale [m, px]
BACKDROP = (0.36, 0.29, 0.25)  # what leaks over the silhouette should look like skin or hair


def flat_views(
    mesh: TexturedMesh, texture: np.ndarray, middle: np.ndarray, device: str = "cpu"
) -> list[np.ndarray]:
    """Pictures uint8 sRGB (1280, 1280, 3) of a head from `VIEWS`.

    Args:
        mesh: in meters, +Y up, +Z out of the face.
        texture: (H, W, 3) float32 sRGB.
        middle: (3,) point that the cameras look at.
    """
    return [flat_view(mesh, texture, view_camera(middle, yaw, pitch), device) for yaw, pitch in VIEWS]


def view_camera(middle: np.ndarray, yaw: float, pitch: float) -> Camera:
    """The camera of one view; degrees."""
    yaw, pitch = np.radians((yaw, pitch))
    towards = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    return look_at(middle + towards * DISTANCE, middle, FOCAL_PX, VIEW_SIZE)


def flat_view(mesh: TexturedMesh, texture: np.ndarray, camera: Camera, device: str = "cpu") -> np.ndarray:
    """One picture without light, uint8 sRGB."""
    backdrop = np.full((camera.size[1], camera.size[0], 3), BACKDROP, np.float32)
    picture = render(mesh, texture, camera, FLAT, options=RenderOptions(device=device), background=backdrop)
    return (picture.rgb * 255 + 0.5).astype(np.uint8)
