"""Textured meshes from OBJ, GLB and PLY files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from studio_avatar.data.studio_set import MIN_TEXTURE, read_rgb
from studio_avatar.errors import InvalidInputError
from studio_avatar.head.resample import read_wrapped_mesh
from studio_avatar.rendering import TexturedMesh


def read_textured_mesh(path: Path, picture: Path | None = None) -> tuple[TexturedMesh, np.ndarray]:
    """A mesh in its own units and axes, and its texture (H, W, 3) float32 sRGB.

    picture: of the texture; None where the mesh file holds it (GLB).

    Raises:
        InvalidInputError: a file is broken, or there is no texture or no texture coordinates.
    """
    if path.suffix.lower() == ".obj":
        obj = read_wrapped_mesh(path)
        mesh, inside = TexturedMesh(obj.vertices, obj.faces, obj.uv, obj.uv_faces), None
    else:
        mesh, inside = _with_trimesh(path)
    texture = inside if picture is None else read_rgb(picture)
    if texture is None:
        raise InvalidInputError(f"{path.name} holds no texture, and no picture lies beside it.")
    if min(texture.shape[:2]) < MIN_TEXTURE:
        raise InvalidInputError(
            f"The texture of {path.name} is {texture.shape[1]}x{texture.shape[0]}: use at least {MIN_TEXTURE} a side."
        )
    if len(mesh.faces) == 0 or not np.isfinite(mesh.vertices).all() or np.ptp(mesh.vertices, 0).min() == 0:
        raise InvalidInputError(f"{path.name} holds no solid mesh.")
    return mesh, texture


def _with_trimesh(path: Path) -> tuple[TexturedMesh, np.ndarray | None]:
    import trimesh

    try:
        mesh = trimesh.load_scene(path, process=False).to_mesh()
    except Exception as error:  # its readers raise whatever a broken file makes them raise
        raise InvalidInputError(f"{path.name} cannot be read as a mesh.") from error
    uv = getattr(mesh.visual, "uv", None)
    if uv is None:
        raise InvalidInputError(f"{path.name} has no texture coordinates.")
    material = getattr(mesh.visual, "material", None)
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    texture = None if image is None else np.asarray(image.convert("RGB"), np.float32) / 255
    flipped = np.asarray(uv, np.float32) * (1, -1) + (0, 1)
    faces = np.asarray(mesh.faces)
    return TexturedMesh(
        np.asarray(mesh.vertices, np.float32), faces, flipped.astype(np.float32), faces
    ), texture
