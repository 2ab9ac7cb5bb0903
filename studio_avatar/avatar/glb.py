"""A head as a binary glTF 2.0 file: one mesh, one sRGB texture, one morph target per expression.

Written from the glTF 2.0 specification. Morph targets are sparse accessors, because most expressions move
a small part of the head; that takes about a quarter of the plain form.
"""

import json
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import InvalidInputError
from ..files import write_atomically
from ..images import encode_png
from ..version import __version__

# glTF 2.0 constants
FLOAT, UNSIGNED_SHORT, UNSIGNED_INT = 5126, 5123, 5125
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
LINEAR, LINEAR_MIPMAP_LINEAR, CLAMP_TO_EDGE = 9729, 9987, 33071
COMPONENT_TYPES = {np.dtype("<f4"): FLOAT, np.dtype("<u2"): UNSIGNED_SHORT, np.dtype("<u4"): UNSIGNED_INT}
ACCESSOR_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3"}

SKIN_ROUGHNESS = 0.55
STILL_METRES = 1e-6  # a vertex that moves less stays out of a morph target
STILL_NORMAL = 1e-3


@dataclass(frozen=True)
class _CornerTable:
    """Vertices split where the texture has a seam: glTF has one UV a vertex.

    vertex (N,) and uv (N,) index the head's vertices and texture coordinates; faces (F, 3) index the N.
    """

    vertex: np.ndarray
    uv: np.ndarray
    faces: np.ndarray


@dataclass
class _Document:
    """A glTF document that grows: the binary chunk and the JSON tables that point into it."""

    binary: bytearray = field(default_factory=bytearray)
    views: list[dict] = field(default_factory=list)
    accessors: list[dict] = field(default_factory=list)

    def add_view(self, data: bytes, target: int | None = None) -> int:
        """Append bytes on a 4-byte border; return the index of the buffer view."""
        self.binary.extend(b"\0" * (-len(self.binary) % 4))
        view = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(data)}
        if target is not None:
            view["target"] = target
        self.binary.extend(data)
        self.views.append(view)
        return len(self.views) - 1

    def add_accessor(self, values: np.ndarray, target: int, bounds: bool = False) -> int:
        """Append a plain accessor for values (N,) or (N, 2..3); return its index."""
        entry = {"bufferView": self.add_view(values.tobytes(), target), **_describe(values, bounds)}
        self.accessors.append(entry)
        return len(self.accessors) - 1

    def add_sparse(self, values: np.ndarray, rows: np.ndarray, rows_view: int, bounds: bool = False) -> int:
        """Append an accessor that is zero but in `rows`; `rows_view` is the buffer view that holds `rows`."""
        kept = np.zeros_like(values)
        kept[rows] = values[rows]
        entry = _describe(kept, bounds)
        entry["sparse"] = {
            "count": len(rows),
            "indices": {"bufferView": rows_view, "componentType": COMPONENT_TYPES[rows.dtype]},
            "values": {"bufferView": self.add_view(values[rows].tobytes())},
        }
        self.accessors.append(entry)
        return len(self.accessors) - 1


def write_glb(
    path: str | os.PathLike,
    head,
    identity: np.ndarray,
    texture: np.ndarray,
    expression: np.ndarray | None = None,
) -> Path:
    """Write a person's head as a binary glTF 2.0 file, whole or not at all.

    The mesh is the person's neutral shape in metres, +Y up, +Z out of the face. It has normals, one metallic
    roughness material with the texture as base colour, and one morph target (position and normal) per
    expression, named in `mesh.extras.targetNames` in the head's order (ARKit names). `mesh.extras` also has
    `textureLayout` and, where given, `captureExpressions`: one row of coefficients a keyframe, in the order
    of the target names.

    Args:
        path: file to write; its folder must exist.
        head: `HeadModel`.
        identity: (100,) identity coefficients, about N(0, 1).
        texture: (H, W, 3) uint8 sRGB, row 0 at v = 0.
        expression: (52,) or (K, 52) coefficients seen in the capture, or None.
    Raises:
        InvalidInputError: an array has the wrong shape or type, or is not finite.
        OSError: the file cannot be written.
    """
    _check_inputs(head, identity, texture, expression)
    document = _Document()
    corners = _split_at_seams(head)
    primitive = _add_primitive(document, head, identity, corners)
    image_view = document.add_view(encode_png(texture))
    extras = {
        "targetNames": list(head.config.expression_names),
        "textureLayout": head.config.layout,
    }
    if expression is not None:
        extras["captureExpressions"] = np.atleast_2d(expression).astype(float).round(6).tolist()
    return write_atomically(path, _pack(_scene(document, primitive, image_view, extras), document.binary))


def head_vertices(head, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
    """The head's vertices (..., V, 3) float32 numpy for numpy coefficients (100,) and (..., 52)."""
    import torch

    reference = head.neutral
    with torch.no_grad():
        coefficients = torch.as_tensor(np.asarray(expression)).to(reference)
        person = torch.as_tensor(np.asarray(identity)).to(reference)
        person = person.expand(*coefficients.shape[:-1], -1)
        return head.vertices(identity=person, expression=coefficients).float().cpu().numpy()


def _check_inputs(head, identity, texture, expression) -> None:
    identities, expressions = head.config.num_identity, len(head.config.expression_names)
    if np.shape(identity) != (identities,) or not np.isfinite(identity).all():
        raise InvalidInputError(f"`identity` must be {identities} finite numbers, not {np.shape(identity)}.")
    if getattr(texture, "dtype", None) != np.uint8 or texture.ndim != 3 or texture.shape[2] != 3:
        raise InvalidInputError("`texture` must be a uint8 array (H, W, 3).")
    if expression is None:
        return
    if np.shape(expression)[-1:] != (expressions,) or not np.isfinite(expression).all():
        raise InvalidInputError(
            f"`expression` must be rows of {expressions} finite numbers, not {np.shape(expression)}."
        )


def _split_at_seams(head) -> _CornerTable:
    pairs = np.stack([head.faces.cpu().numpy().ravel(), head.uv_faces.cpu().numpy().ravel()], axis=1)
    unique, inverse = np.unique(pairs, axis=0, return_inverse=True)
    return _CornerTable(unique[:, 0], unique[:, 1], inverse.reshape(-1, 3))


def _add_primitive(document: _Document, head, identity: np.ndarray, corners: _CornerTable) -> dict:
    """Append geometry and morph targets; return the glTF primitive."""
    neutral, expressed = _shapes(head, identity)  # (V, 3), (52, V, 3)
    neutral_normals, expressed_normals = _normals(head, neutral), _normals(head, expressed)
    uv = head.uv.float().cpu().numpy()[corners.uv]
    return {
        "attributes": {
            "POSITION": document.add_accessor(_float32(neutral[corners.vertex]), ARRAY_BUFFER, bounds=True),
            "NORMAL": document.add_accessor(_float32(neutral_normals[corners.vertex]), ARRAY_BUFFER),
            "TEXCOORD_0": document.add_accessor(_float32(uv), ARRAY_BUFFER),
        },
        "indices": document.add_accessor(
            _indices(corners.faces.ravel(), len(corners.vertex)), ELEMENT_ARRAY_BUFFER
        ),
        "material": 0,
        "mode": 4,
        "targets": [
            _add_target(document, (shape - neutral)[corners.vertex], (turn - neutral_normals)[corners.vertex])
            for shape, turn in zip(expressed, expressed_normals, strict=True)
        ],
    }


def _add_target(document: _Document, moves: np.ndarray, turns: np.ndarray) -> dict:
    """Append one morph target: position offsets [m] and normal offsets, both (N, 3)."""
    touched = (np.abs(moves).max(axis=1) > STILL_METRES) | (np.abs(turns).max(axis=1) > STILL_NORMAL)
    touched[0] |= not touched.any()  # a sparse accessor needs at least one row
    rows = _indices(np.flatnonzero(touched), len(moves))
    rows_view = document.add_view(rows.tobytes())
    return {
        "POSITION": document.add_sparse(_float32(moves), rows, rows_view, bounds=True),
        "NORMAL": document.add_sparse(_float32(turns), rows, rows_view),
    }


def _shapes(head, identity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The person's neutral shape (V, 3) and each expression at coefficient 1 (52, V, 3)."""
    count = len(head.config.expression_names)
    coefficients = np.concatenate([np.zeros((1, count)), np.eye(count)]).astype(np.float32)
    shapes = head_vertices(head, identity, coefficients)
    return shapes[0], shapes[1:]


def _normals(head, vertices: np.ndarray) -> np.ndarray:
    """Unit vertex normals, computed before the split at seams so that no seam shows in the shading."""
    import torch

    with torch.no_grad():
        return head.normals(torch.from_numpy(vertices).to(head.neutral)).float().cpu().numpy()


def _scene(document: _Document, primitive: dict, image_view: int, extras: dict) -> dict:
    return {
        "asset": {"version": "2.0", "generator": f"studio-avatar {__version__}"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": "head", "mesh": 0}],
        "meshes": [
            {
                "name": "head",
                "primitives": [primitive],
                "weights": [0.0] * len(primitive["targets"]),
                "extras": extras,
            }
        ],
        "materials": [
            {
                "name": "skin",
                "pbrMetallicRoughness": {
                    "baseColorTexture": {"index": 0},
                    "metallicFactor": 0.0,
                    "roughnessFactor": SKIN_ROUGHNESS,
                },
                # The neck is open: from below, its inside must not look like a hole.
                "doubleSided": True,
            }
        ],
        "textures": [{"sampler": 0, "source": 0}],
        "samplers": [
            {
                "magFilter": LINEAR,
                "minFilter": LINEAR_MIPMAP_LINEAR,
                "wrapS": CLAMP_TO_EDGE,
                "wrapT": CLAMP_TO_EDGE,
            }
        ],
        "images": [{"name": extras["textureLayout"], "mimeType": "image/png", "bufferView": image_view}],
        "accessors": document.accessors,
        "bufferViews": document.views,
        "buffers": [{"byteLength": len(document.binary)}],
    }


def _pack(scene: dict, binary: bytearray) -> bytes:
    """The GLB container: 12-byte header, JSON chunk padded with spaces, binary chunk padded with zeros."""
    text = json.dumps(scene, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    data = bytes(binary) + b"\0" * (-len(binary) % 4)
    total = 12 + 8 + len(text) + 8 + len(data)
    return b"".join(
        [
            struct.pack("<4sII", b"glTF", 2, total),
            struct.pack("<I4s", len(text), b"JSON"),
            text,
            struct.pack("<I4s", len(data), b"BIN\0"),
            data,
        ]
    )


def _describe(values: np.ndarray, bounds: bool) -> dict:
    """The accessor fields that follow from the values; positions need exact bounds."""
    width = 1 if values.ndim == 1 else values.shape[1]
    entry = {
        "componentType": COMPONENT_TYPES[values.dtype],
        "count": len(values),
        "type": ACCESSOR_TYPES[width],
    }
    if bounds:
        entry["min"] = [float(value) for value in values.min(axis=0)]
        entry["max"] = [float(value) for value in values.max(axis=0)]
    return entry


def _float32(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype="<f4")


def _indices(values: np.ndarray, vertex_count: int) -> np.ndarray:
    # 65535 itself is the primitive-restart value and may not be used as an index
    return np.ascontiguousarray(values, dtype="<u2" if vertex_count <= 65535 else "<u4")
