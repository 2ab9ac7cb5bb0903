"""From rays to pixels: the part of the picture that is looked at, and what is made of its rays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studio_avatar.imaging.color import linear_to_srgb

from .camera import Camera


@dataclass(frozen=True)
class Rendering:
    """A picture and its geometry.

    rgb: (H, W, 3) float32, linear or sRGB as asked, premultiplied onto black where no background was given;
    alpha: (H, W) coverage in [0, 1]; triangle: (H, W) int32 at the pixel center, -1 = background;
    barycentric: (H, W, 3); depth: (H, W) meters along the optical axis, infinite in the background.
    """

    rgb: np.ndarray
    alpha: np.ndarray
    triangle: np.ndarray
    barycentric: np.ndarray
    depth: np.ndarray


@dataclass(frozen=True)
class Window:
    """The part of a picture that a mesh can touch, in pixels: rays elsewhere are a waste."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def around(cls, vertices: np.ndarray, camera: Camera) -> Window:
        """What the camera sees of a mesh with these vertices (V, 3); all of the picture if some are beside the camera or
        behind it."""
        width, height = camera.size
        depth = (vertices @ np.asarray(camera.rotation).T + np.asarray(camera.translation))[:, 2]
        if depth.min() <= 0.01:
            return cls(0, 0, width, height)
        pixels = camera.project(vertices)
        low = np.clip(np.floor(pixels.min(0)).astype(int) - 1, 0, (width, height))
        high = np.clip(np.ceil(pixels.max(0)).astype(int) + 1, 0, (width, height))
        return cls(low[0], low[1], max(high[0] - low[0], 1), max(high[1] - low[1], 1))

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of the picture."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def placed(self, values: np.ndarray, size: tuple[int, int], elsewhere: float = 0) -> np.ndarray:
        """A picture (H, W, …) of `size` (width, height) that is `values` (h, w, …) in the window."""
        picture = np.full((size[1], size[0], *values.shape[2:]), elsewhere, values.dtype)
        picture[self.slices] = values
        return picture


@dataclass(frozen=True)
class RayGrid:
    """The rays of a picture: supersample x supersample through every pixel of the window."""

    camera: Camera
    window: Window
    supersample: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of rays."""
        return self.window.height * self.supersample, self.window.width * self.supersample

    @property
    def origin(self) -> np.ndarray:
        """(2,) pixels from the principal point to the window's corner."""
        return np.array([self.window.left, self.window.top]) - np.asarray(self.camera.size) / 2

    def along_rays(self, depth: np.ndarray) -> np.ndarray:
        """Meters along the optical axis, of every ray -> meters along the ray."""
        rows, columns = np.indices(self.shape)
        half = np.asarray(self.camera.size) / 2
        x = (columns + 0.5) / self.supersample + self.window.left - half[0]
        y = (rows + 0.5) / self.supersample + self.window.top - half[1]
        return depth * np.sqrt(1 + (x**2 + y**2) / self.camera.focal_px**2)

    def averaged(self, values: np.ndarray) -> np.ndarray:
        """Values of rays (h n, w n, …) -> their means, in the whole picture (H, W, …) float32; 0 beside the window."""
        n, (height, width) = self.supersample, (self.window.height, self.window.width)
        mean = values.reshape(height, n, width, n, *values.shape[2:]).mean((1, 3))
        return self.window.placed(mean.astype(np.float32), self.camera.size)


def on_background(
    rgb: np.ndarray, alpha: np.ndarray, background: np.ndarray | None, srgb: bool
) -> np.ndarray:
    """Linear light (H, W, 3), premultiplied, with its coverage (H, W) -> the finished picture, see `render`."""
    if srgb:
        # Coverage must not darken the silhouette twice: encode the surface color, then lay it over the
        # background.
        rgb = linear_to_srgb(rgb / np.maximum(alpha, 1e-6)[..., None]) * alpha[..., None]
    if background is not None:
        rgb = rgb + (1 - alpha[..., None]) * background
    return rgb.astype(np.float32)
