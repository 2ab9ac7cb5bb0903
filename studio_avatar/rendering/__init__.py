"""Headless ray-cast renderer on the mesh queries of NVIDIA Warp; it knows meshes and light, not the head."""

from .cards import Cards
from .normals import face_normals, vertex_normals
from .renderer import (
    FLAT,
    Camera,
    Lamp,
    Light,
    Rendering,
    Skin,
    TexturedMesh,
    ambient_occlusion,
    load_kernels,
    look_at,
    nearest_on_surface,
    open_directions,
    render,
    render_each,
    render_texels,
    with_cards,
)

__all__ = [
    "FLAT",
    "Camera",
    "Cards",
    "Lamp",
    "Light",
    "Rendering",
    "Skin",
    "TexturedMesh",
    "ambient_occlusion",
    "face_normals",
    "load_kernels",
    "look_at",
    "nearest_on_surface",
    "open_directions",
    "render",
    "render_each",
    "render_texels",
    "vertex_normals",
    "with_cards",
]
