"""Rays to a mesh, and the light that comes back along them. Needs Warp: imported after `runtime.start_warp`."""

import numpy as np
import warp as wp

from . import kernels, structs
from .camera import Camera
from .light import Light
from .mesh import Skin, TexturedMesh
from .options import RenderOptions
from .picture import RayGrid
from .upload import (
    eye_of,
    new_hits,
    primary_rays,
    upload_light,
    upload_material,
    upload_mesh,
)


def cast(shape: wp.Mesh, grid: RayGrid, device: str) -> structs.Hits:
    """Where the rays of a picture meet the shape first."""
    hits = new_hits(grid.shape, device)
    wp.launch(kernels.cast, dim=grid.shape, inputs=[shape.id, primary_rays(grid), hits], device=device)
    return hits


class Shader:
    """A mesh with its textures on the device, to be looked at under one light after another.

    shape: the mesh itself, and perhaps more triangles behind its own, as what throws shadows.
    textures: (T, H, W, 3) float32, sRGB-encoded in [0, 1].
    """

    def __init__(
        self, mesh: TexturedMesh, shape: wp.Mesh, textures: np.ndarray, skin: Skin, options: RenderOptions
    ):
        self._options = options
        self._shape = shape  # lives as long as kernels may ask for it by its id
        self._mesh = upload_mesh(mesh, shape, options.device)
        self._material = upload_material(skin, textures, options.device)

    def radiance(self, hits: structs.Hits, camera: Camera, light: Light) -> np.ndarray:
        """Linear light of every hit (h, w) with each texture, (T, h, w, 3); black where nothing was hit."""
        chosen, grid = self._options, hits.triangle.shape
        out = wp.zeros((len(self._material.textures), *grid), dtype=wp.vec3, device=chosen.device)
        shining = upload_light(light, chosen.shadow_samples, chosen.seed, chosen.device)
        wp.launch(
            kernels.shade,
            dim=grid,
            inputs=[hits, eye_of(camera), self._mesh, self._material, shining],
            outputs=[out],
            device=chosen.device,
        )
        return out.numpy()

    def facing(self, hits: structs.Hits, camera: Camera) -> np.ndarray:
        """Cosine (h, w) between normal and line of sight at every hit, 0 where the camera does not see it."""
        cosine = wp.zeros(hits.triangle.shape, dtype=wp.float32, device=self._options.device)
        wp.launch(
            kernels.face_camera,
            dim=cosine.shape,
            inputs=[hits, eye_of(camera), self._mesh],
            outputs=[cosine],
            device=self._options.device,
        )
        return cosine.numpy()
