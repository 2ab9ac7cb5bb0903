"""GLB files that gltfpack or glTF-Transform packed, compared with what they were."""

import json
import subprocess
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

# A packed file as plain numbers: names as JSON, values as float32 behind one another.
UNPACK = """
import { NodeIO } from '@gltf-transform/core';
import { ALL_EXTENSIONS } from '@gltf-transform/extensions';
import { MeshoptDecoder } from 'meshoptimizer';
import fs from 'fs';
await MeshoptDecoder.ready;
const io = new NodeIO().registerExtensions(ALL_EXTENSIONS).registerDependencies({ 'meshopt.decoder': MeshoptDecoder });
const root = (await io.read(process.argv[2])).getRoot(), chunks = [];
const put = (accessor) => {
  const width = accessor.getElementSize(), values = new Float32Array(accessor.getCount() * width), row = [];
  for (let i = 0; i < accessor.getCount(); i++) values.set(accessor.getElement(i, row).slice(0, width), i * width);
  chunks.push(Buffer.from(values.buffer));
  return [accessor.getCount(), width];
};
const names = (list) => list.map((thing) => thing.getName());
const found = { nodes: names(root.listNodes()), materials: names(root.listMaterials()),
  joints: names(root.listSkins()[0]?.listJoints() ?? []), meshes: root.listMeshes().map((mesh) => {
    const [primitive] = mesh.listPrimitives();
    return { shapes: mesh.getExtras().targetNames ?? [], triangles: primitive.getIndices().getCount() / 3,
      place: put(primitive.getAttribute('POSITION')), uv: put(primitive.getAttribute('TEXCOORD_0')),
      normals: [primitive, ...primitive.listTargets()].map((each) => put(each.getAttribute('NORMAL'))) };
  }) };
fs.writeFileSync(process.argv[3] + '.json', JSON.stringify(found));
fs.writeFileSync(process.argv[3] + '.bin', Buffer.concat(chunks));
"""


def unpacked(file: Path, folder: Path) -> dict:
    """What is in a GLB, by the packages of `folder`: names, counts, and for each mesh its places, texture coordinates and
    normals (1 + shapes, N, 3)."""
    script = folder / "unpack.mjs"
    script.write_text(UNPACK)
    subprocess.run(
        ["node", "--preserve-symlinks", "--preserve-symlinks-main", script, file, folder / "raw"], check=True
    )
    found, values = json.loads((folder / "raw.json").read_text()), np.fromfile(folder / "raw.bin", "<f4")

    def take(shape):
        nonlocal values
        count = shape[0] * shape[1]
        taken, values = values[:count].reshape(shape), values[count:]
        return taken

    for mesh in found["meshes"]:
        mesh["place"], mesh["uv"] = take(mesh["place"]), take(mesh["uv"])
        mesh["normals"] = np.stack([take(shape) for shape in mesh["normals"]])
        mesh["normals"][1:] += mesh["normals"][0]
    return found


def vertex_keys(mesh):
    """(N, 5) in [0, 1]: the same for a vertex however the file scales places and texture coordinates."""
    both = np.concatenate([mesh["place"], mesh["uv"]], 1)
    return (both - both.min(0)) / np.maximum(np.ptp(both, axis=0), 1e-9)


def turned(plain: dict, packed: dict) -> np.ndarray:
    """(N,) degrees for each vertex of a packed file: the most that its normal, at rest or in a shape, turned by packing.

    AssertionError: a name, a bone or a triangle is missing.
    """
    angles = []
    assert set(plain["nodes"]) <= set(packed["nodes"]) and packed["joints"] == plain["joints"]
    assert packed["materials"] == plain["materials"]
    for ours, theirs in zip(plain["meshes"], packed["meshes"], strict=True):
        assert theirs["shapes"] == ours["shapes"] and theirs["triangles"] == ours["triangles"]
        before, after = vertex_keys(ours), vertex_keys(theirs)
        assert cKDTree(after).query(before)[0].max() < 1e-3  # packers merge what is the same
        # Vertices of cards may differ in nothing but their normals: of those, the one that turns least.
        distance, near = cKDTree(before).query(after, min(8, len(before)))
        assert distance[:, 0].max() < 1e-3
        turns = np.stack([_angles(ours["normals"][:, same], theirs["normals"]) for same in near.T])
        angles.append(np.where(distance.T < 1e-3, turns, np.inf).min(0))
    return np.concatenate(angles)


def _angles(a, b):
    """(N,) degrees, the largest of the shapes, between normals (shapes, N, 3)."""
    cosine = (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))
    return np.degrees(np.arccos(np.clip(cosine, -1, 1))).max(0)
