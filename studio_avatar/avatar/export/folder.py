"""An avatar as Wavefront OBJ with MTL and PNGs, and as a plain folder of numbers and pictures.

head.obj  head.mtl  colour.png  normal.png  roughness.png          (OBJ)
mesh.npz  expressions.json  colour.png  normal.png  roughness.png  (plain folder)
Heads with hair have hair.png as well, and hair.npz in the plain folder.
"""

import io
import json
import os
from pathlib import Path

import numpy as np

from studio_avatar.avatar.hair.cards import Hair, hair_png
from studio_avatar.avatar.material.skin_material import IOR, Material
from studio_avatar.avatar.shapes.mesh import AvatarMesh
from studio_avatar.imaging.files import new_folder
from studio_avatar.rendering.normals import vertex_normals
from studio_avatar.version import __version__

HAIR_MATERIAL = "newmtl hair\nKd 1 1 1\nKs 0.02 0.02 0.02\nNs 30\nPr 0.6\nPm 0\nillum 2\nmap_Kd hair.png\nmap_d hair.png\n\n"


def write_obj_folder(
    folder: str | os.PathLike, mesh: AvatarMesh, material: Material, hair: Hair | None = None
) -> Path:
    """Write `folder` with the neutral head as OBJ (meters, texture coordinates v up) and its material, and hair as an object
    of its own.

    OBJ has no morph targets; the plain folder and the GLB have them.
    Raises:
        OSError: the folder cannot be written; an older one is left as it was.
    """
    with new_folder(folder) as staging:
        (staging / "head.obj").write_text(_obj(mesh) + ("" if hair is None else _hair_obj(hair, mesh)))
        (staging / "head.mtl").write_text(
            ("" if hair is None else HAIR_MATERIAL)
            + "newmtl skin\nKd 1 1 1\nKs 0.03 0.03 0.03\nNs 60\nPr 0.5\nPm 0\n"
            f"Ni {IOR}\nillum 2\nmap_Kd colour.png\nmap_Pr roughness.png\nnorm normal.png\n"
        )
        _write_pictures(staging, material, hair)
    return Path(folder)


def write_plain_folder(
    folder: str | os.PathLike,
    mesh: AvatarMesh,
    material: Material,
    names: list[str],
    regions: list[str],
    extras: dict,
    hair: Hair | None = None,
) -> Path:
    """Write `folder` with `mesh.npz`, `expressions.json` and the pictures, and hair in `hair.npz` and `hair.png`.

    `mesh.npz`: vertices (V, 3) and offsets (E, V, 3) float32 meters, faces, uv (v down), uv_faces, region.
    `hair.npz`: vertices (H, 3) and normals (H, 3) in meters beside the neutral head, faces, uv (H, 2, v down), and
    tint (H, 3), by which the color of `hair.png` is multiplied.
    `expressions.json`: the names of the offsets, the names that `region` numbers, and `extras`.
    Raises:
        OSError: the folder cannot be written; an older one is left as it was.
    """
    with new_folder(folder) as staging:
        _write_arrays(staging / "mesh.npz", vars(mesh))
        description = {
            "generator": f"studio-avatar {__version__}",
            "expressions": names,
            "regions": regions,
            **extras,
        }
        (staging / "expressions.json").write_text(json.dumps(description, indent=1) + "\n")
        _write_pictures(staging, material, hair)
        if hair is not None:
            parts = ("vertices", "normals", "faces", "uv", "tint")
            _write_arrays(staging / "hair.npz", {name: getattr(hair, name) for name in parts})
    return Path(folder)


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    path.write_bytes(buffer.getvalue())


def _hair_obj(hair: Hair, mesh: AvatarMesh) -> str:
    """The hair's lines behind those of the head, whose numbers go on."""
    lines = ["o hair"]
    lines += [f"v {x:.7f} {y:.7f} {z:.7f}" for x, y, z in hair.vertices.tolist()]
    lines += [f"vt {u:.7f} {1 - v:.7f}" for u, v in hair.uv.tolist()]
    lines += [f"vn {x:.5f} {y:.5f} {z:.5f}" for x, y, z in hair.normals.tolist()]
    lines += ["usemtl hair", "s 1"]
    first, first_uv = len(mesh.vertices) + 1, len(mesh.uv) + 1
    lines += [
        "f " + " ".join(f"{c + first}/{c + first_uv}/{c + first}" for c in face)
        for face in hair.faces.tolist()
    ]
    return "\n".join(lines) + "\n"


def _write_pictures(folder: Path, material: Material, hair: Hair | None) -> None:
    (folder / "colour.png").write_bytes(material.color)  # a published name, in British spelling
    (folder / "normal.png").write_bytes(material.normal)
    (folder / "roughness.png").write_bytes(material.roughness)
    if hair is not None:
        (folder / "hair.png").write_bytes(hair_png(hair))


def _obj(mesh: AvatarMesh) -> str:
    lines = [f"# studio-avatar {__version__}, metres", "mtllib head.mtl", "o head"]
    lines += [f"v {x:.7f} {y:.7f} {z:.7f}" for x, y, z in mesh.vertices.tolist()]
    lines += [f"vt {u:.7f} {1 - v:.7f}" for u, v in mesh.uv.tolist()]
    lines += [f"vn {x:.5f} {y:.5f} {z:.5f}" for x, y, z in vertex_normals(mesh.vertices, mesh.faces).tolist()]
    lines += ["usemtl skin", "s 1"]
    corners = np.stack([mesh.faces, mesh.uv_faces], -1) + 1
    lines += ["f " + " ".join(f"{v}/{t}/{v}" for v, t in face) for face in corners.tolist()]
    return "\n".join(lines) + "\n"
