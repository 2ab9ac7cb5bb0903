"""Headless ray-cast renderer on the mesh queries of NVIDIA Warp; it knows meshes and light, not the head."""

from .renderer import (
    FLAT,
    Camera,
    Lamp,
    Light,
    Rendering,
    Skin,
    TexturedMesh,
    ambient_occlusion,
    look_at,
    nearest_on_surface,
    open_directions,
    render,
    render_texels,
    vertex_normals,
)

__all__ = [
    "FLAT",
    "Camera",
    "Lamp",
    "Light",
    "Rendering",
    "Skin",
    "TexturedMesh",
    "ambient_occlusion",
    "look_at",
    "nearest_on_surface",
    "open_directions",
    "render",
    "render_texels",
    "vertex_normals",
]
