"""The bytes of a binary glTF 2.0 file: accessors, images and the container. Written from the specification."""

import json
import struct
from dataclasses import dataclass, field

import numpy as np

# glTF 2.0 constants
FLOAT, UNSIGNED_BYTE, UNSIGNED_SHORT, UNSIGNED_INT = 5126, 5121, 5123, 5125
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
COMPONENT_TYPES = {
    np.dtype("<f4"): FLOAT, np.dtype("u1"): UNSIGNED_BYTE, np.dtype("<u2"): UNSIGNED_SHORT, np.dtype("<u4"): UNSIGNED_INT,
}  # fmt: skip
ACCESSOR_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


@dataclass
class GltfDocument:
    """A glTF document that grows: the binary chunk and the JSON tables that point into it."""

    binary: bytearray = field(default_factory=bytearray)
    views: list[dict] = field(default_factory=list)
    accessors: list[dict] = field(default_factory=list)
    images: list[dict] = field(default_factory=list)

    def add_view(self, data: bytes, target: int | None = None) -> int:
        """Append bytes on a 4-byte border; return the index of the buffer view."""
        self.binary.extend(b"\0" * (-len(self.binary) % 4))
        view = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(data)}
        if target is not None:
            view["target"] = target
        self.binary.extend(data)
        self.views.append(view)
        return len(self.views) - 1

    def add_accessor(self, values: np.ndarray, target: int | None, bounds: bool = False) -> int:
        """Append a plain accessor for values (N,), (N, 2..4) or (N, 16); return its index."""
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

    def add_png(self, name: str, data: bytes) -> int:
        """Append an embedded PNG; return the image's index."""
        self.images.append({"name": name, "mimeType": "image/png", "bufferView": self.add_view(data)})
        return len(self.images) - 1

    def pack(self, scene: dict) -> bytes:
        """The GLB container: 12-byte header, JSON chunk padded with spaces, binary chunk padded with zeros.

        scene: the JSON without accessors, buffer views, buffers and images.
        """
        whole = {
            **scene,
            "images": self.images,
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{"byteLength": len(self.binary)}],
        }
        text = json.dumps(whole, separators=(",", ":"), allow_nan=False).encode()
        text += b" " * (-len(text) % 4)
        data = bytes(self.binary) + b"\0" * (-len(self.binary) % 4)
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


def float32(values: np.ndarray) -> np.ndarray:
    """Little-endian float32, as accessors want it."""
    return np.ascontiguousarray(values, dtype="<f4")


def indices(values: np.ndarray, vertex_count: int) -> np.ndarray:
    """The smallest unsigned type that numbers so many vertices."""
    # 65535 itself is the primitive-restart value and may not be used as an index
    return np.ascontiguousarray(values, dtype="<u2" if vertex_count <= 65535 else "<u4")


def _describe(values: np.ndarray, bounds: bool) -> dict:
    """The accessor fields that follow from the values; positions and animation times need exact bounds."""
    width = 1 if values.ndim == 1 else values.shape[1]
    entry = {
        "componentType": COMPONENT_TYPES[values.dtype],
        "count": len(values),
        "type": ACCESSOR_TYPES[width],
    }
    if bounds:
        entry["min"] = [float(value) for value in np.atleast_1d(values.min(axis=0))]
        entry["max"] = [float(value) for value in np.atleast_1d(values.max(axis=0))]
    return entry
