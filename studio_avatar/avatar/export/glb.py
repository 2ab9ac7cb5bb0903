"""An avatar as a binary glTF 2.0 file: one mesh, one material, one morph target per expression, perhaps hair and bones.

Morph targets are sparse accessors, because most expressions move a small part of the head; that takes about a
quarter of the plain form. No compression extension: every viewer reads the file as it is.
"""

import os
from pathlib import Path

import numpy as np

from studio_avatar.avatar.hair.cards import Hair, hair_png
from studio_avatar.avatar.material.skin_material import IOR, SUBSURFACE_RADIUS_M, Material
from studio_avatar.avatar.shapes.mesh import AvatarMesh, Corners, split_at_seams, tangents
from studio_avatar.imaging.files import write_atomically
from studio_avatar.rendering.normals import vertex_normals
from studio_avatar.version import __version__

from .gltf_document import ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER, GltfDocument, float32, indices
from .motion import Motion
from .skin import Rig, add_rig, bone_node, turned_bone
from .vrm import EXTENSION, vrm_extension

LINEAR, LINEAR_MIPMAP_LINEAR, CLAMP_TO_EDGE = 9729, 9987, 33071
ALPHA_CUTOFF = 0.4  # of hair: thin strands stay
HAIR_ROUGHNESS = 0.6
STILL_METERS = 1e-6  # a vertex that moves less stays out of a morph target
STILL_NORMAL = 1e-3


def write_glb(
    path: str | os.PathLike,
    mesh: AvatarMesh,
    material: Material,
    names: list[str],
    extras: dict,
    motion: Motion | None = None,
    hair: Hair | None = None,
    rig: Rig | None = None,
    vrm: bool = False,
) -> Path:
    """Write a person's head as a binary glTF 2.0 file, whole or not at all.

    The mesh is the person's neutral shape in meters, +Y up, +Z out of the face, with normals, tangents, one metallic
    roughness material and one morph target (position and normal) per expression.

    Args:
        path: file to write; its folder must exist.
        names: of the morph targets, in the order of `mesh.offsets`; they go to `mesh.extras.targetNames`.
        extras: what else `mesh.extras` carries, JSON-ready.
        motion: adds the animation `capture` (expressions and the head's rotation).
        hair: adds a mesh of its own under the head's node, with a rig under the bone `Head`.
        rig: adds bones, which the mesh then follows; the motion's rotation turns the bone `Head`.
        vrm: makes it a VRM 1.0 avatar, named after the file; needs a rig and all shapes.
    Raises:
        OSError: the file cannot be written.
    """
    document = GltfDocument()
    corners = split_at_seams(mesh)
    primitive = _add_primitive(document, mesh, corners)
    scene = {
        "asset": {"version": "2.0", "generator": f"studio-avatar {__version__}"},
        "extensionsUsed": ["KHR_materials_ior"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": "head", "mesh": 0}],
        "meshes": [
            {
                "name": "head",
                "primitives": [primitive],
                "weights": [0.0] * len(names),
                "extras": {"targetNames": names, **extras},
            }
        ],
        **_material(document, material),
    }
    if hair is not None:
        _add_hair(document, scene, hair)
    if rig is not None:
        add_rig(document, scene, rig, corners.vertex)
    if vrm:
        scene["extensions"] = {EXTENSION: vrm_extension(scene, rig.skeleton, names, Path(path).stem)}
        scene["extensionsUsed"].append(EXTENSION)
    if motion is not None:
        scene["animations"] = [_animation(document, scene, motion, rig)]
    return write_atomically(path, document.pack(scene))


def _add_primitive(document: GltfDocument, mesh: AvatarMesh, corners: Corners) -> dict:
    """Append geometry and morph targets; return the glTF primitive."""
    normals = vertex_normals(mesh.vertices, mesh.faces)
    corner_normals = normals[corners.vertex]
    expressed = vertex_normals(mesh.vertices + mesh.offsets, mesh.faces)
    return {
        "attributes": {
            "POSITION": document.add_accessor(
                float32(mesh.vertices[corners.vertex]), ARRAY_BUFFER, bounds=True
            ),
            "NORMAL": document.add_accessor(float32(corner_normals), ARRAY_BUFFER),
            "TANGENT": document.add_accessor(float32(tangents(mesh, corners, corner_normals)), ARRAY_BUFFER),
            "TEXCOORD_0": document.add_accessor(float32(mesh.uv[corners.uv]), ARRAY_BUFFER),
        },
        "indices": document.add_accessor(
            indices(corners.faces.ravel(), len(corners.vertex)), ELEMENT_ARRAY_BUFFER
        ),
        "material": 0,
        "mode": 4,
        "targets": [
            _add_target(document, corners, moves, _turns(normals, turned))
            for moves, turned in zip(mesh.offsets, expressed, strict=True)
        ],
    }


def _turns(normals: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """Offsets (V, 3) from unit normals towards the normals of an expression, every component within ±1.

    Tools that quantize files (gltfpack, glTF-Transform) clip what is outside. Viewers normalize the sum, so where a normal
    turns far it may be shorter; its direction stays.
    """
    room = np.where(turned > 0, 1 + normals, 1 - normals) / np.maximum(np.abs(turned), 1e-6)
    length = np.clip(room.min(1, keepdims=True), 0, 1)
    return np.clip(length * turned - normals, -1, 1)


def _add_hair(document: GltfDocument, scene: dict, hair: Hair) -> None:
    """A node under the head's with a mesh, a material and a texture; a mask needs no order of drawing, and every viewer
    filters its edge."""
    primitive = {
        "attributes": {
            "POSITION": document.add_accessor(float32(hair.vertices), ARRAY_BUFFER, bounds=True),
            "NORMAL": document.add_accessor(float32(hair.normals), ARRAY_BUFFER),
            "TEXCOORD_0": document.add_accessor(float32(hair.uv), ARRAY_BUFFER),
            "COLOR_0": document.add_accessor(float32(hair.tint), ARRAY_BUFFER),
        },
        "indices": document.add_accessor(
            indices(hair.faces.ravel(), len(hair.vertices)), ELEMENT_ARRAY_BUFFER
        ),
        "material": 1,
        "mode": 4,
    }
    texture = {"sampler": 0, "source": document.add_png("hair", hair_png(hair))}
    scene["nodes"][0]["children"] = [1]
    scene["nodes"].append({"name": "hair", "mesh": 1})
    scene["meshes"].append({"name": "hair", "primitives": [primitive], "extras": {"style": hair.style}})
    scene["textures"].append(texture)
    scene["materials"].append(
        {
            "name": "hair",
            "alphaMode": "MASK",
            "alphaCutoff": ALPHA_CUTOFF,
            "doubleSided": True,
            "pbrMetallicRoughness": {
                "baseColorTexture": {"index": len(scene["textures"]) - 1},
                "metallicFactor": 0.0,
                "roughnessFactor": HAIR_ROUGHNESS,
            },
        }
    )


def _add_target(document: GltfDocument, corners: Corners, moves: np.ndarray, turns: np.ndarray) -> dict:
    """Append one morph target: position offsets [m] and normal offsets of the mesh's vertices, both (V, 3)."""
    touched = (np.abs(moves).max(axis=1) > STILL_METERS) | (np.abs(turns).max(axis=1) > STILL_NORMAL)
    touched = touched[corners.vertex]
    touched[0] |= not touched.any()  # a sparse accessor needs at least one row
    rows = indices(np.flatnonzero(touched), len(touched))
    rows_view = document.add_view(rows.tobytes())
    return {
        "POSITION": document.add_sparse(float32(moves[corners.vertex]), rows, rows_view, bounds=True),
        "NORMAL": document.add_sparse(float32(turns[corners.vertex]), rows, rows_view),
    }


def _material(document: GltfDocument, material: Material) -> dict:
    """The glTF tables of the material. Scattering is told in `extras` only: viewers that read the extensions for it
    take the head for a lampshade.
    """
    sources = [
        document.add_png("colour", material.color),
        document.add_png("normal", material.normal),
        document.add_png("roughness", material.roughness),
    ]
    return {
        "materials": [
            {
                "name": "skin",
                "pbrMetallicRoughness": {
                    "baseColorTexture": {"index": 0},
                    "metallicRoughnessTexture": {"index": 2},
                    "metallicFactor": 0.0,
                },
                "normalTexture": {"index": 1},
                "extensions": {"KHR_materials_ior": {"ior": IOR}},
                "extras": {"subsurfaceRadiusMetres": list(SUBSURFACE_RADIUS_M)},
            }
        ],
        "textures": [{"sampler": 0, "source": source} for source in sources],
        "samplers": [
            {
                "magFilter": LINEAR,
                "minFilter": LINEAR_MIPMAP_LINEAR,
                "wrapS": CLAMP_TO_EDGE,
                "wrapT": CLAMP_TO_EDGE,
            }
        ],
    }


def _animation(document: GltfDocument, scene: dict, motion: Motion, rig: Rig | None) -> dict:
    """The animation `capture` of the mesh, whose first 52 morph targets are ARKit's, and of its node or the bone `Head`."""
    node, rotation = 0, motion.rotation
    if rig is not None:
        node, rotation = bone_node(scene, "Head"), turned_bone(rig.skeleton, "Head", rotation)
    expression = np.zeros((len(motion.times), len(scene["meshes"][0]["weights"])))
    expression[:, : motion.expression.shape[1]] = motion.expression
    times = document.add_accessor(float32(motion.times), None, bounds=True)
    weights = document.add_accessor(float32(expression).ravel(), None)
    turns = document.add_accessor(float32(rotation), None)
    return {
        "name": "capture",
        "samplers": [{"input": times, "output": weights}, {"input": times, "output": turns}],
        "channels": [
            {"sampler": 0, "target": {"node": 0, "path": "weights"}},
            {"sampler": 1, "target": {"node": node, "path": "rotation"}},
        ],
    }
