"""A small reader of binary glTF for tests: it decodes what a viewer would see, sparse accessors too."""

import json
import struct
from pathlib import Path

import numpy as np

DTYPES = {5126: "<f4", 5125: "<u4", 5123: "<u2", 5121: "u1"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Glb:
    """`scene` is the JSON chunk; `accessor(i)` gives decoded values, `image()` the embedded file's bytes."""

    def __init__(self, path):
        data = Path(path).read_bytes()
        magic, version, total = struct.unpack_from("<4sII", data)
        assert (magic, version, total) == (b"glTF", 2, len(data))
        length, kind = struct.unpack_from("<I4s", data, 12)
        assert kind == b"JSON" and length % 4 == 0
        self.scene = json.loads(data[20 : 20 + length])
        size, kind = struct.unpack_from("<I4s", data, 20 + length)
        assert kind == b"BIN\0" and size % 4 == 0
        self.binary = data[28 + length : 28 + length + size]

    @property
    def primitive(self) -> dict:
        """Of the head; hair is a mesh of its own behind it."""
        (primitive,) = self.scene["meshes"][0]["primitives"]
        assert [mesh["name"] for mesh in self.scene["meshes"][1:]] in ([], ["hair"])
        return primitive

    def view(self, index: int) -> bytes:
        view = self.scene["bufferViews"][index]
        return self.binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]

    def accessor(self, index: int) -> np.ndarray:
        entry = self.scene["accessors"][index]
        dtype, width = DTYPES[entry["componentType"]], WIDTHS[entry["type"]]
        if "bufferView" in entry:
            values = np.frombuffer(self.view(entry["bufferView"]), dtype).reshape(-1, width).copy()
        else:
            values = np.zeros((entry["count"], width), dtype)
        if "sparse" in entry:
            sparse = entry["sparse"]
            rows = np.frombuffer(
                self.view(sparse["indices"]["bufferView"]), DTYPES[sparse["indices"]["componentType"]]
            )
            assert len(rows) == sparse["count"] and (np.diff(rows.astype(int)) > 0).all()
            values[rows] = np.frombuffer(self.view(sparse["values"]["bufferView"]), dtype).reshape(-1, width)
        assert len(values) == entry["count"]
        return values

    def image(self, name: str = "colour") -> bytes:
        (image,) = (image for image in self.scene["images"] if image["name"] == name)
        return self.view(image["bufferView"])


def png_chunks(data: bytes) -> list[bytes]:
    """Names of a PNG's chunks, in order."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    names, at = [], 8
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        names.append(name)
        at += 12 + length
    return names
