"""Meshes, light and cameras as the structs that the kernels take. Needs Warp: imported after `runtime.start_warp`."""

from collections.abc import Sequence

import numpy as np
import warp as wp

from studio_avatar.imaging.color import srgb_to_linear

from . import structs
from .camera import Camera
from .light import Lamp, Light
from .mesh import Skin, TexturedMesh
from .picture import RayGrid


def vectors(values, device: str) -> wp.array:
    """(..., 3) as vectors of float32."""
    return wp.array(np.ascontiguousarray(values, np.float32), dtype=wp.vec3, device=device)


def scalars(values, device: str) -> wp.array:
    """Numbers of any shape as float32."""
    return wp.array(np.ascontiguousarray(values, np.float32), dtype=wp.float32, device=device)


def indices(values, device: str) -> wp.array:
    """Whole numbers of any shape as int32."""
    return wp.array(np.ascontiguousarray(values, np.int32), dtype=wp.int32, device=device)


def coordinates(uv: np.ndarray, device: str) -> wp.array:
    """Texture coordinates (T, 2)."""
    return wp.array(np.ascontiguousarray(uv, np.float32), dtype=wp.vec2, device=device)


def new_shape(vertices: np.ndarray, faces: np.ndarray, device: str) -> wp.Mesh:
    """Triangles that rays can meet, by the `id` of what is returned, as long as that lives."""
    return wp.Mesh(vectors(vertices, device), indices(np.reshape(faces, -1), device))


def eye_of(camera: Camera) -> wp.vec3:
    """Where the camera is."""
    return wp.vec3(*map(float, camera.center))


def primary_rays(grid: RayGrid) -> structs.PrimaryRays:
    """The rays of a picture."""
    rays = structs.PrimaryRays()
    rays.eye = eye_of(grid.camera)
    rays.to_head = wp.mat33(np.asarray(grid.camera.rotation, np.float32).T)
    rays.focal_px = float(grid.camera.focal_px)
    rays.origin = wp.vec2(*map(float, grid.origin))
    rays.supersample = grid.supersample
    return rays


def new_hits(shape: tuple[int, int], device: str) -> structs.Hits:
    """Room for the hits of rays in so many rows and columns."""
    hits = structs.Hits()
    hits.triangle = wp.empty(shape, dtype=wp.int32, device=device)
    hits.barycentric = wp.empty(shape, dtype=wp.vec3, device=device)
    hits.depth = wp.empty(shape, dtype=wp.float32, device=device)
    return hits


def hits_on_texels(texels, device: str) -> structs.Hits:
    """The places that a `TexelMap` (S, S) shows, without depth."""
    hits = structs.Hits()
    hits.triangle = indices(texels.triangle, device)
    hits.barycentric = vectors(texels.barycentric, device)
    return hits


def upload_mesh(mesh: TexturedMesh, shape: wp.Mesh, device: str) -> structs.Mesh:
    """The mesh, in the shadows of `shape`."""
    occlusion = mesh.occlusion if mesh.occlusion is not None else np.ones(len(mesh.vertices))
    gloss = mesh.gloss if mesh.gloss is not None else np.ones(len(mesh.faces))
    made = structs.Mesh()
    made.shape = shape.id
    made.normals = vectors(mesh.smooth_normals(), device)
    made.occlusion, made.gloss = scalars(occlusion, device), scalars(gloss, device)
    made.uv, made.uv_faces = coordinates(mesh.uv, device), indices(mesh.uv_faces, device)
    return made


def upload_material(skin: Skin, textures: np.ndarray, device: str) -> structs.Material:
    """textures: (T, H, W, 3) sRGB-encoded in [0, 1]."""
    material = structs.Material()
    material.textures = vectors(srgb_to_linear(np.asarray(textures, np.float32)), device)
    material.specular, material.roughness = float(skin.specular), float(skin.roughness)
    material.subsurface = wp.vec3(*map(float, skin.subsurface))
    return material


def upload_light(light: Light, shadow_samples: int, seed: int, device: str) -> structs.Light:
    """The light, and how its shadows are sampled."""
    environment = light.environment if light.environment is not None else np.zeros((9, 3))
    made = structs.Light()
    made.flat = int(light.flat)
    made.environment = vectors(environment, device)
    made.lamps = _lamps(light.lamps, device)
    made.shadow_samples, made.seed = shadow_samples, seed
    return made


def _lamps(lamps: Sequence[Lamp], device: str) -> wp.array:
    if not lamps:
        return wp.empty(0, dtype=structs.Lamp, device=device)
    return wp.array([_lamp(lamp) for lamp in lamps], dtype=structs.Lamp, device=device)


def _lamp(lamp: Lamp) -> structs.Lamp:
    made = structs.Lamp()
    made.direction, made.color = wp.vec3(*map(float, lamp.direction)), wp.vec3(*map(float, lamp.color))
    made.spread = float(lamp.spread)
    made.distance = float(lamp.distance) if np.isfinite(lamp.distance) else 0.0
    made.shadow = int(lamp.shadow)
    return made
