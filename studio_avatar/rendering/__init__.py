"""Headless ray-cast renderer on the mesh queries of NVIDIA Warp; it knows meshes and light, not the head."""

from .camera import Camera, look_at
from .cards import LETS_THROUGH, Cards, with_cards
from .light import FLAT, Lamp, Light
from .mesh import Skin, TexturedMesh
from .normals import face_normals, vertex_normals
from .options import RenderOptions
from .picture import Rendering
from .queries import ambient_occlusion, nearest_on_surface, open_directions
from .renderer import render, render_each, render_texels
from .runtime import load_kernels

__all__ = [
    "FLAT",
    "LETS_THROUGH",
    "Camera",
    "Cards",
    "Lamp",
    "Light",
    "RenderOptions",
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
