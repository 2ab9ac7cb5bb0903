"""How much of a person survives, on real and generated portraits that nothing was trained on.

    photo ─ capture ─► phone texture ─┬──────────────► render in the photo's view ─► distance to the photo
                                      └─ pipeline ───► render in the same view ────► distance to the photo

Identity drift is the second distance less the first: what the studio texture loses of what the phone texture had. There
is no true studio texture of these people; faces are compared by dlib's recognition network, which no training used. A
texture that keeps the phone's light keeps that distance small, too: how uneven its light is stands beside it.

    python -m studio_avatar.evaluation.people --data ../shared/data --cache RUNS/people
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from studio_avatar.capture.scene import SceneStatistics, measure_scene
from studio_avatar.data.prepare.sets import GENERATED_HELD_OUT_EVERY, HELD_OUT_PORTRAITS
from studio_avatar.errors import InvalidInputError, StudioAvatarError
from studio_avatar.imaging.files import write_atomically

from .evenness import unevenness
from .identity import FaceDescriptor

SIZE = 1024  # texels
METHODS = ("phone texture", "quotient 12", "quotient 28", "relit", "studio texture")
BACKGROUND = 0.5  # grey behind the renders, sRGB
SHOWN = (
    "f006",
    "m056",
    "f042",
    "m020",
    "f030",
    "m032",
    "f090",
    "m086",
)  # generated people (CC0) in the picture
STUDIO_UNEVENNESS = 0.07  # `unevenness` of 40 studio textures of the training set, all seen
WEAR_GLASSES = ("p0433", "p0434", "p0436", "p0447", "p0448", "p0466")  # real people, by eye
CAP_EDGE = 0.27  # of the texture's height: the brim of a cap, over the forehead
CAPS = {"black": (0.05, 0.05, 0.06), "red": (0.62, 0.07, 0.08), "white": (0.92, 0.92, 0.9)}  # sRGB
GLASSES, RIMS_SEED = 8, 3  # different rims, and what they are drawn with
RIM_COLOR = np.float32((0.07, 0.06, 0.06))  # sRGB
TILE = (300, 360)  # width, height of a picture in the sheet [px]


@dataclasses.dataclass(frozen=True)
class Portrait:
    """A photo and its capture.

    photo: (H, W, 3) uint8. rgb (S, S, 3), visibility (S, S): the phone texture, float32 in [0, 1]. vertices (V, 3) metres;
    rotation, translation, focal_px: the camera. points (478, 2): landmarks in pixels. scene: as the capture measured it.
    """

    name: str
    photo: np.ndarray
    rgb: np.ndarray
    visibility: np.ndarray
    vertices: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    focal_px: float
    points: np.ndarray
    scene: SceneStatistics

    def render(self, head, texture: np.ndarray) -> np.ndarray:
        """The head in the photo's view under even light, uint8 like the photo."""
        from studio_avatar.rendering import FLAT, Camera, TexturedMesh, render

        height, width = self.photo.shape[:2]
        camera = Camera(self.focal_px, self.rotation, self.translation, (width, height))
        grey = np.full((height, width, 3), BACKGROUND, np.float32)
        mesh = TexturedMesh.of_head(head, self.vertices)
        drawn = render(mesh, np.ascontiguousarray(texture, np.float32), camera, FLAT, background=grey)
        return np.rint(drawn.rgb.clip(0, 1) * 255).astype(np.uint8)

    def tile(self, picture: np.ndarray) -> Image.Image:
        """The part around the face, `TILE` pixels."""
        low, high = self.points[:468].min(0), self.points[:468].max(0)
        reach = (high - low)[1] * 0.85
        middle = (low + high) / 2 - (0, 0.12 * reach)
        middle[1] = max(middle[1], reach)  # no further up than the photo
        box = (*(middle - (reach * TILE[0] / TILE[1], reach)), *(middle + (reach * TILE[0] / TILE[1], reach)))
        return Image.fromarray(picture).crop(tuple(map(int, box))).resize(TILE, Image.Resampling.LANCZOS)


def held_out(data: Path) -> dict[str, list[Path]]:
    """Photos of people that nothing was trained on, by kind.

    Raises:
        InvalidInputError: there are none.
    """
    real = sorted((data / "portraits").glob("*.jpg"))[-HELD_OUT_PORTRAITS:]
    generated = sorted((data / "portraits_generated").glob("*.webp"))[::GENERATED_HELD_OUT_EVERY]
    if not real and not generated:
        raise InvalidInputError(
            f"There are no portraits in {data}: give the folder with portraits/ and portraits_generated/."
        )
    return {"portraits": real, "generated": generated}


def load_portrait(path: Path, pipeline, cache: Path | None) -> Portrait:
    """Capture a photo, or take its capture from the cache folder.

    Raises:
        CaptureError: the photo cannot be captured.
    """
    import torch

    from studio_avatar.head.layout import region_mask

    parts, photo = captured_parts(path, pipeline, cache)
    rgb, visibility = (parts[key].astype(np.float32) / 255 for key in ("rgb", "seen"))
    shape = torch.from_numpy(parts["identity"]), torch.from_numpy(parts["expression"][0])
    face = region_mask(pipeline.head, len(visibility), "face")
    return Portrait(
        path.stem, photo, rgb, visibility, pipeline.head.vertices(*shape).numpy(),
        parts["rotation"][0].astype(np.float64), parts["translation"][0].astype(np.float64), float(parts["focal"]),
        parts["points"], measure_scene([photo], [parts["points"]], rgb, visibility, face),
    )  # fmt: skip


def captured_parts(path: Path, pipeline, cache: Path | None, size: int = SIZE) -> tuple[dict, np.ndarray]:
    """What is kept of the capture of a photo, by name, and the photo (H, W, 3) uint8 as it was captured.

    pipeline: of which `head` and `registrar` are used. size: texels.
    Raises:
        CaptureError: the photo cannot be captured.
    """
    stored = None if cache is None else cache / f"{path.stem}.npz"
    if stored is None or not stored.exists():
        parts = _captured(path, pipeline, size)
        if stored is not None:
            stored.parent.mkdir(parents=True, exist_ok=True)
            np.savez(stored, **parts)
    else:
        with np.load(stored) as file:
            parts = dict(file)
    height, width = parts["frame_size"][:2]
    with Image.open(path) as image:
        photo = np.asarray(image.convert("RGB").resize((int(width), int(height)), Image.Resampling.LANCZOS))
    return parts, photo


def _captured(path: Path, pipeline, size: int) -> dict:
    from studio_avatar.capture import observe

    made = observe(path, pipeline.head, size=size, registrar=pipeline.registrar)
    fit, first = made.texture.fit, made.keyframes[0]
    return {
        "rgb": np.rint(made.texture.rgb * 255).astype(np.uint8),
        "seen": np.rint(made.texture.seen * 255).astype(np.uint8),
        "identity": fit.identity, "expression": fit.expression, "rotation": fit.rotation, "translation": fit.translation,
        "focal": fit.focal_px, "points": first.face.points, "frame_size": np.array(first.frame.rgb.shape),
    }  # fmt: skip


def textures(pipeline, portrait: Portrait, seed: int = 0) -> tuple[dict[str, np.ndarray], float]:
    """Name of `METHODS` → texture (S, S, 3) in [0, 1], and the estimated typology angle in degrees."""
    from .methods import quotients

    made = pipeline(
        phone_texture=portrait.rgb,
        seen=portrait.visibility,
        scene=portrait.scene,
        output_type="np",
        seed=seed,
    )
    floors = quotients(pipeline, made.base, portrait.rgb, portrait.visibility, made.skin_tone)
    named = {"phone texture": portrait.rgb, **floors, "relit": made.relit, "studio texture": made.texture}
    return named, made.skin_tone.ita


def tone_changes(pipeline, portrait: Portrait, rims: np.ndarray) -> dict[str, float]:
    """What is put on → change of the estimated typology angle in degrees: caps over hair and forehead, and glasses of these
    `rims` (S, S) in [0, 1]."""
    bare, edge = angle(pipeline, portrait, portrait.rgb), round(CAP_EDGE * len(portrait.rgb))
    changes = {"glasses": angle(pipeline, portrait, in_glasses(portrait, rims)) - bare}
    for name, color in CAPS.items():
        capped = portrait.rgb.copy()
        # Cloth in the light that falls on the head: the brightness of what it covers, evened out.
        shade = capped[:edge].mean(-1, keepdims=True)
        capped[:edge] = np.asarray(color, np.float32) * (0.6 + 0.4 * shade / max(shade.mean(), 1e-3))
        changes[f"cap {name}"] = angle(pipeline, portrait, capped.clip(0, 1)) - bare
    return changes


def angle(pipeline, portrait: Portrait, rgb: np.ndarray) -> float:
    """The typology angle in degrees that is estimated for a phone texture (S, S, 3) in [0, 1]."""
    return _observed(pipeline, portrait, rgb)[2].ita


def in_glasses(portrait: Portrait, rims: np.ndarray) -> np.ndarray:
    """The phone texture with painted `rims` (S, S) in [0, 1]."""
    return portrait.rgb * (1 - rims[..., None]) + RIM_COLOR * rims[..., None]


def rims_left(pipeline, portrait: Portrait, rims: np.ndarray) -> float:
    """Share in [0, …] of the energy of painted rims of glasses that is left in the relit texture.

    rims: (S, S) in [0, 1]. Energy: squared difference between with and without rims, over the seen texels of the rims; in
    the texture over that in the phone texture. What was hidden and is lost, wrinkles and brows, counts as well.
    """
    glasses = in_glasses(portrait, rims)
    where = (rims > 0.5) & (portrait.visibility > 0.5)
    before, after = relit(pipeline, portrait, portrait.rgb), relit(pipeline, portrait, glasses)
    put_on = np.square(glasses - portrait.rgb)[where].sum()
    return float(np.square(after - before)[where].sum() / max(put_on, 1e-6))


def relit(pipeline, portrait: Portrait, rgb: np.ndarray) -> np.ndarray:
    """The relit texture (S, S, 3) in [0, 1] of a phone texture (S, S, 3), with the encoder's code as it is."""
    import torch

    from studio_avatar.pipeline.studio_texture_pipeline import to_array

    picture, mask, tone = _observed(pipeline, portrait, rgb)
    with torch.no_grad():
        inversion = pipeline.invert(picture, mask, 0, lambda stage, fraction: None)
        base = pipeline.in_tone(pipeline.generate(inversion), tone)
        return to_array(pipeline.relight(base, picture, mask, tone).texture)


def _observed(pipeline, portrait: Portrait, rgb: np.ndarray):
    """A phone texture (S, S, 3) in [0, 1] of the portrait as the pipeline takes it: tensor, mask of the person alone, and
    the estimated `SkinTone`."""
    import torch

    from studio_avatar.pipeline.studio_texture_pipeline import to_tensor

    with torch.no_grad():
        picture, seen = to_tensor(rgb), torch.from_numpy(portrait.visibility)[None, None]
        mask, cover = pipeline.uncovered(picture, seen)
        tone, _ = pipeline.tone(picture, seen, cover, None, portrait.scene)
    return picture, mask, tone


def sample_rims(head, size: int) -> list[np.ndarray]:
    """`GLASSES` different rims (size, size) in [0, 1], as the simulator draws them on random heads."""
    from studio_avatar.data.simulate.covers import cover_alpha
    from studio_avatar.head.layout import texel_map

    rng, texels = np.random.default_rng(RIMS_SEED), texel_map(head, size)
    return [cover_alpha(rng, head, texels, glasses=True) / np.float32(255) for _ in range(GLASSES)]


def measure(data: Path, pipeline, cache: Path | None, limit: int | None = None, tell=print):
    """All held-out people: rows (kind, name, typology angle, {method: distance, "uneven METHOD": `unevenness`, "cap COLOR"
    and "glasses": change of the angle, "rims": share of their energy that is left}), and the tiles of those `SHOWN`."""
    from studio_avatar.head.layout import region_mask

    describe, rows, tiles, rims = FaceDescriptor(), [], {}, sample_rims(pipeline.head, SIZE)
    face = region_mask(pipeline.head, SIZE, "face")
    for kind, paths in held_out(data).items():
        for path in paths[:limit]:
            try:
                portrait = load_portrait(path, pipeline, cache)
                own = describe(portrait.photo, portrait.points)
            except StudioAvatarError as error:
                tell(f"{path.stem}: {error}")
                continue
            made, ita = textures(pipeline, portrait)
            renders = {name: portrait.render(pipeline.head, texture) for name, texture in made.items()}
            distances = {
                name: float(np.linalg.norm(describe(picture, portrait.points) - own))
                for name, picture in renders.items()
            }
            worn = rims[len(rows) % GLASSES]
            left = {"rims": rims_left(pipeline, portrait, worn)}
            left |= {f"uneven {name}": unevenness(made[name], portrait.visibility, face) for name in made}
            rows.append((kind, portrait.name, ita, distances | tone_changes(pipeline, portrait, worn) | left))
            tell(f"{portrait.name} " + " ".join(f"{name} {value:.3f}" for name, value in distances.items()))
            if portrait.name in SHOWN:
                shown = (portrait.photo, renders["phone texture"], renders["studio texture"])
                tiles[portrait.name] = [portrait.tile(picture) for picture in shown]
    return rows, tiles


def to_markdown(rows, tones: dict[str, str]) -> str:
    """Tables of mean distances and drift, and of tones by recorded group.

    tones: name of a portrait → group, for the medians.
    """
    lines = ["# People that nothing was trained on", ""]
    lines += [
        "Distance of dlib's descriptors between the photo and the head rendered in the photo's view; drift: less the phone"
    ]
    lines += [
        "texture's. Uneven: mean difference of log brightness between the halves of the face, coarser than 28 texels of"
        f" 1024; the studio textures of the training set have {STUDIO_UNEVENNESS:.2f}. Means and standard errors.",
        "",
        "| people | texture | distance ↓ | drift ↓ | uneven ↓ |",
        "|---|---|---:|---:|---:|",
    ]
    for kind in dict.fromkeys(row[0] for row in rows):
        lines += _distance_rows(kind, [row[3] for row in rows if row[0] == kind])
    lines += _distance_rows("all without glasses", [row[3] for row in rows if row[1] not in WEAR_GLASSES])
    lines += [
        "",
        "Glasses are taken off in the studio texture, and the photo has them: that alone makes another face of it.",
        "",
        "Median estimated typology angle by recorded group (there is no true value):",
        "",
        "| group | people | ITA [°] |",
        "|---|---:|---:|",
    ]
    groups = {}
    for kind, name, ita, _ in rows:
        groups.setdefault(tones.get(name, kind), []).append(ita)
    lines += [
        f"| {group} | {len(values)} | {np.median(values):.0f} |" for group, values in sorted(groups.items())
    ]
    lines += [
        "",
        "Change of the estimated angle when a cap is painted over hair and forehead, or glasses on the face:",
        "",
        "| put on | median [°] | worst [°] |",
        "|---|---:|---:|",
    ]
    for worn in (*(f"cap {color}" for color in CAPS), "glasses"):
        changes = np.abs([row[3][worn] for row in rows])
        lines.append(f"| {worn} | {np.median(changes):.1f} | {changes.max():.1f} |")
    left = 100 * np.array([row[3]["rims"] for row in rows])
    lines += [
        "",
        "Energy of rims of glasses, painted on the phone texture, that is left in the relit texture:"
        f" median {np.median(left):.0f} %, worst {left.max():.0f} %.",
    ]
    return "\n".join(lines) + "\n"


def _distance_rows(group: str, measures: list[dict[str, float]]) -> list[str]:
    """A line of the table of distances for each method."""
    lines = []
    for method in METHODS if measures else ():
        values = np.array([row[method] for row in measures])
        drift = values - np.array([row["phone texture"] for row in measures])
        error = drift.std() / max(len(drift) - 1, 1) ** 0.5
        name = f"{group} ({len(measures)})"
        uneven = np.nanmean([row[f"uneven {method}"] for row in measures])
        lines.append(
            f"| {name} | {method} | {values.mean():.3f} | {drift.mean():+.3f} ± {error:.3f} | {uneven:.2f} |"
        )
    return lines


def sheet(tiles: dict[str, list[Image.Image]]) -> Image.Image:
    """Photo, phone texture and studio texture of two people a row."""
    columns = 2 * 3
    picture = Image.new("RGB", (columns * TILE[0], -(-len(tiles) // 2) * TILE[1]), "white")
    for number, row in enumerate(tiles.values()):
        for place, tile in enumerate(row):
            picture.paste(tile, ((number % 2 * 3 + place) * TILE[0], number // 2 * TILE[1]))
    return picture


def recorded_groups(data: Path) -> dict[str, str]:
    """Name → ethnicity from portraits.csv, where there is one."""
    import csv

    table = data / "portraits.csv"
    if not table.is_file():
        return {}
    with open(table, newline="") as file:
        return {Path(row["file"]).stem: row["ethnicity"] for row in csv.DictReader(file)}


def main(arguments=None) -> int:
    from studio_avatar.pipeline import StudioTexturePipeline
    from studio_avatar.weights.locate import find_weights

    parser = argparse.ArgumentParser(
        prog="python -m studio_avatar.evaluation.people", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with portraits/ and portraits_generated/"
    )
    parser.add_argument("--cache", type=Path, help="folder that keeps the captures for the next time")
    parser.add_argument("--weights", help="weights folder or Hub id (default: the embedded weights)")
    parser.add_argument("--limit", type=int, help="look at the first N people of each kind only")
    parser.add_argument("--markdown", type=Path, default=Path("docs/people.md"))
    parser.add_argument("--picture", type=Path, default=Path("docs/people.jpg"))
    options = parser.parse_args(arguments)
    try:
        pipeline = StudioTexturePipeline.from_pretrained(find_weights(options.weights))
        pipeline.set_progress_bar_config(disable=True)
        rows, tiles = measure(
            options.data, pipeline, options.cache, options.limit, lambda line: print(line, flush=True)
        )
    except StudioAvatarError as error:
        print(error, file=sys.stderr)
        return 2
    text = to_markdown(rows, recorded_groups(options.data))
    print(text)
    write_atomically(options.markdown, text.encode())
    facts = [{"kind": k, "name": n, "ita": i, **d} for k, n, i, d in rows]
    write_atomically(options.markdown.with_suffix(".json"), json.dumps(facts, indent=1).encode())
    if tiles:
        sheet(tiles).save(options.picture, quality=88)
    return 0


if __name__ == "__main__":
    sys.exit(main())
