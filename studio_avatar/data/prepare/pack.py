"""One file with all that the stages tone, relight and upscaler learn from: small enough to travel to a borrowed GPU.

    studio textures 1024², augmented 512², people 512², relit 128² ─ JPEG ─┐
    rendered captures 512² and their truth ─────────────────────────  JPEG ─┤
    captures of validation people 128², their tones, under held-out light PNG ┤
    visibility of people and captures 256², covers 512² ─────────────  PNG ─┤
    panoramas, transfer bank, masks ────────────────────────────────────────┼─► pack.safetensors (at most 40 MB)
    MobileFaceNet, perceptual features ─────────────────────── as they are ─┘

    python -m studio_avatar.data.prepare pack --data DATA --prepared RUNS/data --transfer RUNS/transfer.npz \
        --identity RUNS/mobilefacenet.safetensors --features RUNS/features.safetensors --out RUNS/pack.safetensors

Only training people are in it. `--people RUNS/data/people.safetensors` comes from `prepare --stage people`.
"""

import argparse
import json
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save
from safetensors.torch import load_file

from studio_avatar.capture.scene import VECTOR_SIZE
from studio_avatar.data.simulate.environments import paint_panorama, read_panoramas
from studio_avatar.data.simulate.texel_masks import TexelMasks, texel_masks
from studio_avatar.errors import InvalidInputError
from studio_avatar.head.model import HeadModel
from studio_avatar.imaging.files import write_atomically
from studio_avatar.pipeline import StudioTexturePipeline
from studio_avatar.pipeline.relight import resized
from studio_avatar.pipeline.skin_tone import measure_tone
from studio_avatar.weights.locate import find_weights

from .relit import as_mask, as_picture, as_texture, relit_textures

MOST_BYTES = 40_000_000
QUALITY = {
    "studio": 93,
    "augmented": 90,
    "portraits": 90,
    "relit": 95,
    "captured": 92,
    "truths": 92,
}  # of the JPEG files
SEEN_SIZE = 256
VALIDATED_SIZE = 128
MASK_SIZE = 512
LEAST_SEEN = 0.12  # share of the texture that a portrait must show
HELD_OUT_PANORAMAS = 6  # every eighth by name, from the fourth on
PHOTOGRAPHED_HEIGHT, PAINTED_HEIGHT = 64, 32
BRIGHTEST = 6e4  # what half precision holds


class Pack:
    """Reads the file.

    Args:
        path: written by `write_pack`.
    Raises:
        InvalidInputError: there is no such file, or it is no pack.
    """

    def __init__(self, path: str | Path):
        if not Path(path).is_file():
            raise InvalidInputError(
                f"{path} is missing: run `python -m studio_avatar.data.prepare pack` first."
            )
        self._file = safe_open(str(path), "pt")
        metadata = self._file.metadata() or {}
        if "facts" not in metadata:
            raise InvalidInputError(f"{path} is no packed training file.")
        self.facts = json.loads(metadata["facts"])

    def tensor(self, name: str) -> torch.Tensor:
        return self._file.get_tensor(name)

    def images(self, name: str, size: int | None = None) -> torch.Tensor:
        """All pictures of a kind, (N, 3, H, H) or, of a gray kind, (N, H, H), uint8; `size`: averaged to it."""
        data, starts = self.tensor(name).numpy(), self.tensor(f"{name}_at").tolist()
        with ThreadPoolExecutor(8) as pool:
            pictures = list(pool.map(lambda a, b: _decoded(data[a:b], size), starts[:-1], starts[1:]))
        return torch.stack(pictures) if pictures else torch.zeros(0, size or 1, size or 1, dtype=torch.uint8)

    def masks(self) -> TexelMasks:
        names = [field.name for field in fields(TexelMasks)]
        return TexelMasks(**{n: self.tensor(f"mask_{n}").float()[None, None] / 255 for n in names})

    def transfer(self) -> dict[str, np.ndarray]:
        """normals, bits, directions and covered, as `TransferBank` takes them."""
        arrays = {"directions": self.tensor("directions").numpy()}
        arrays["covered"] = self.tensor("covered").numpy().astype(bool)
        for name, dtype in (("normals", np.int8), ("bits", np.uint8)):
            data = zlib.decompress(self.tensor(f"{name}_z").numpy().tobytes())
            arrays[name] = np.frombuffer(data, dtype).reshape(self.facts[name]).copy()
        return arrays

    def weights(self, name: str) -> dict[str, torch.Tensor]:
        """State of a network, `identity` or `features`, in float32."""
        keys = [key for key in self._file.keys() if key.startswith(f"{name}.")]
        state = {key.removeprefix(f"{name}."): self.tensor(key) for key in keys}
        return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


@dataclass(frozen=True, kw_only=True)
class PackContents:
    """What goes into the file.

    studio, augmented, portraits, relit: iterables of (H, H, 3) uint8 sRGB, one size each. seen: of the portraits, (S, S)
    uint8. scenes: of the portraits, their `SceneStatistics.vector`. captures: rows (phone texture, truth, visibility, scene)
    of rendered captures of one size, truth through the capture's registration. validated: rows (phone texture, visibility,
    scene, L*a*b* of the truth) of captures of validation people.
    light: {"photographed", "photographed_held_out", "painted"}: (N, H, 2H, 3) radiance. transfer: arrays of
    `tools/bake_transfer.py`. networks: {"identity", "features"}: state dicts.
    """

    light: dict[str, np.ndarray]
    transfer: dict[str, np.ndarray]
    masks: TexelMasks
    networks: dict[str, dict[str, torch.Tensor]]
    studio: Iterable[np.ndarray] = ()
    augmented: Iterable[np.ndarray] = ()
    portraits: Iterable[np.ndarray] = ()
    seen: Iterable[np.ndarray] = ()
    scenes: Sequence[np.ndarray] | np.ndarray = ()
    relit: Iterable[np.ndarray] = ()
    captures: Iterable[tuple] = ()
    validated: Iterable[tuple] = ()


def write_pack(path: Path, contents: PackContents) -> int:
    """Write the file; returns its size in bytes."""
    files, arrays = _pictures(contents)
    facts = {name: len(items) for name, items in files.items()}
    for name, items in files.items():
        arrays[name] = np.concatenate([*items, np.zeros(0, np.uint8)])
        arrays[f"{name}_at"] = np.cumsum([0] + [len(item) for item in items]).astype(np.int64)
    arrays["scenes"] = np.asarray(contents.scenes, np.float32)
    for name, radiance in contents.light.items():
        arrays[name] = np.minimum(radiance, BRIGHTEST).astype(np.float16)
    transfer = contents.transfer
    for name in ("normals", "bits"):
        arrays[f"{name}_z"] = np.frombuffer(zlib.compress(transfer[name].tobytes(), 9), np.uint8)
        facts[name] = list(transfer[name].shape)
    arrays |= {"directions": transfer["directions"], "covered": transfer["covered"].astype(np.uint8)}
    for field in fields(TexelMasks):
        mask = getattr(contents.masks, field.name)[0, 0].numpy()
        arrays[f"mask_{field.name}"] = np.rint(mask * 255).astype(np.uint8)
    for network, state in contents.networks.items():
        for key, value in state.items():
            arrays[f"{network}.{key}"] = (value.half() if value.is_floating_point() else value).numpy()
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    data = save(contiguous, metadata={"facts": json.dumps(facts)})
    write_atomically(path, data)
    return len(data)


def _pictures(contents: PackContents) -> tuple[dict[str, list[np.ndarray]], dict[str, np.ndarray]]:
    """Name → coded pictures, and the arrays that belong to rows of them."""
    kinds = ("studio", "augmented", "portraits", "relit")
    files = {name: [_jpeg(one, QUALITY[name]) for one in getattr(contents, name)] for name in kinds}
    files["seen"] = [_png(one) for one in contents.seen]
    files["covers"] = [_png(one) for one in contents.transfer["covers"]]
    rows = [_packed_capture(*row) for row in contents.captures]
    for column, name in enumerate(("captured", "truths", "captured_seen")):
        files[name] = [row[column] for row in rows]
    arrays = {
        "captured_scenes": np.array([row[3] for row in rows], np.float32).reshape(len(rows), VECTOR_SIZE)
    }
    rows = list(contents.validated)
    files["validated"] = [_png(np.ascontiguousarray(row[0][..., ::-1])) for row in rows]
    files["validated_seen"] = [_png(row[1]) for row in rows]
    for name, column, width in (("validated_scenes", 2, VECTOR_SIZE), ("validated_labs", 3, 3)):
        arrays[name] = np.array([row[column] for row in rows], np.float32).reshape(len(rows), width)
    return files, arrays


def _packed_capture(phone, truth, seen, scene):
    files = _jpeg(phone, QUALITY["captured"]), _jpeg(truth, QUALITY["truths"]), _png(_small_mask(seen))
    return *files, scene


def _small_mask(seen: np.ndarray) -> np.ndarray:
    return cv2.resize(seen, (SEEN_SIZE, SEEN_SIZE), interpolation=cv2.INTER_AREA)


def _decoded(data: np.ndarray, size: int | None) -> torch.Tensor:
    picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if size and picture.shape[0] != size:
        picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(picture if picture.ndim == 2 else picture[..., ::-1].transpose(2, 0, 1).copy())


def _jpeg(rgb: np.ndarray, quality: int) -> np.ndarray:
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].ravel()


def _png(gray: np.ndarray) -> np.ndarray:
    return cv2.imencode(".png", gray, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].ravel()


# ------------------------------------------------------------------------------------------------
# From the prepared sets
# ------------------------------------------------------------------------------------------------


def prepared_rows(path: Path, *names: str, most: int | None = None, split: str = "train"):
    """Arrays `names` of a prepared set's items of a split, one tuple an item; of `most` items, evenly spread."""
    index = json.loads(path.with_suffix(".json").read_text())["items"]
    rows = [row for row, item in enumerate(index) if item["split"] == split]
    if most is not None:
        rows = rows[:: max(1, -(-len(rows) // max(most, 1)))][:most]
    with safe_open(str(path), "np") as file:
        slices = [file.get_slice(name) for name in names]
        for row in rows:
            yield tuple(part[row : row + 1][0] for part in slices)


def read_light(folder: Path, painted: int) -> dict[str, np.ndarray]:
    """The panoramas of a folder, some of them held out, and as many painted ones as asked for."""
    good, _ = read_panoramas(folder)
    names = sorted(good)
    held_out = set(names[3::8][:HELD_OUT_PANORAMAS])
    rng = np.random.default_rng(5)

    def shrunk(panoramas, height):
        return np.stack(
            [
                cv2.resize(np.minimum(one, BRIGHTEST), (2 * height, height), interpolation=cv2.INTER_AREA)
                for one in panoramas
            ]
        )

    return {
        "photographed": shrunk([good[n] for n in names if n not in held_out], PHOTOGRAPHED_HEIGHT),
        "photographed_held_out": shrunk([good[n] for n in sorted(held_out)], PHOTOGRAPHED_HEIGHT),
        "painted": shrunk([paint_panorama(rng) for _ in range(painted)], PAINTED_HEIGHT),
    }


def read_people(path: Path, most: int):
    """Pictures, visibility and scenes of training people that show enough of their face, at most `most`."""
    people = list(prepared_rows(path, "rgb", "seen", "scene", most=most))
    people = [person for person in people if person[1].mean() >= 255 * LEAST_SEEN]
    return (
        [rgb for rgb, _, _ in people],
        [_small_mask(seen) for _, seen, _ in people],
        [scene for _, _, scene in people],
    )


def read_captures(path: Path, most: int):
    """Rows (phone texture, truth, visibility, scene) of at most `most` rendered captures of training people, if there are
    any that have all of it."""
    if most and path.exists() and {"registered", "scene"} <= set(safe_open(str(path), "np").keys()):
        yield from prepared_rows(path, "rgb", "registered", "seen", "scene", most=most)


@torch.no_grad()
def read_validated(path: Path, pipeline: StudioTexturePipeline):
    """Rows (phone texture, visibility, both as the tone estimator gets them, scene, L*a*b* of the truth) of captures of
    validation people."""
    weight = resized(pipeline.tone_estimator.tone_weight, VALIDATED_SIZE)
    for rgb, seen, scene, target in prepared_rows(path, "rgb", "seen", "scene", "target", split="validation"):
        phone, seen = as_texture(rgb), as_mask(seen)
        _, cover = pipeline.uncovered(phone, seen)
        phone, seen = (resized(one, VALIDATED_SIZE) for one in pipeline.seen_by_tone(phone, seen, cover))
        lab = measure_tone(resized(as_texture(target), VALIDATED_SIZE), weight)[0].numpy()
        yield as_picture(phone), (seen[0, 0] * 255).round().byte().numpy(), scene, lab


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m studio_avatar.data.prepare pack",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with light/")
    parser.add_argument("--prepared", type=Path, required=True, help="folder of the prepared sets")
    parser.add_argument("--transfer", type=Path, required=True, help="written by tools.bake_transfer")
    parser.add_argument(
        "--identity", type=Path, required=True, help="MobileFaceNet (tools.convert_mobilefacenet)"
    )
    parser.add_argument(
        "--features", type=Path, required=True, help="written by studio_avatar.training.perceptual"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--head", default="weights_card", help="folder or Hub id whose subfolder `head` has the head"
    )
    parser.add_argument(
        "--weights", help="folder or Hub id of the networks that relight (default: the embedded)"
    )
    parser.add_argument("--people", type=int, default=140, help="at most so many portraits")
    parser.add_argument("--relit", type=int, default=300, help="at most so many of them relit, for tone")
    parser.add_argument("--painted", type=int, default=240, help="painted panoramas")
    parser.add_argument("--captures", type=int, default=60, help="at most so many rendered captures")
    parser.add_argument(
        "--validation",
        type=Path,
        help="folder with captures of validation people under held-out light (prepare --stage captures --lights 0)",
    )
    parser.add_argument(
        "--most-mb", type=float, default=MOST_BYTES / 1e6, help="size of the file that is an error"
    )
    return parser


def read_contents(options: argparse.Namespace) -> PackContents:
    """What the options of the command line name."""
    prepared = options.prepared
    pipeline = StudioTexturePipeline.from_pretrained(find_weights(options.weights))
    real = prepared_rows(prepared / "people.safetensors", "rgb", "seen", "scene", most=options.relit)
    portraits, seen, scenes = read_people(prepared / "people.safetensors", options.people)
    return PackContents(
        studio=(rgb for (rgb,) in prepared_rows(prepared / "studio.safetensors", "rgb")),
        augmented=(rgb for (rgb,) in prepared_rows(prepared / "studio_augmented.safetensors", "rgb")),
        portraits=portraits,
        seen=seen,
        scenes=scenes,
        light=read_light(options.data / "light", options.painted),
        transfer=dict(np.load(options.transfer)),
        masks=texel_masks(HeadModel.from_pretrained(options.head, subfolder="head"), MASK_SIZE),
        relit=relit_textures(real, pipeline),
        captures=read_captures(prepared / "captures.safetensors", options.captures),
        validated=read_validated(options.validation / "captures.safetensors", pipeline)
        if options.validation
        else (),
        networks={"identity": load_file(options.identity), "features": load_file(options.features)},
    )


def main(arguments=None) -> None:
    """`prepare pack`.

    Raises:
        InvalidInputError: an input is missing, or the file is larger than allowed.
    """
    options = _parser().parse_args(arguments)
    contents = read_contents(options)
    size = write_pack(options.out, contents)
    print(f"{options.out}: {size / 1e6:.1f} MB, {len(contents.portraits)} portraits")
    if size > options.most_mb * 1e6:
        raise InvalidInputError(
            f"{options.out} has {size / 1e6:.1f} MB: with smaller --people, --captures or --painted it gets under "
            f"{options.most_mb:.0f}; where it does not travel, --most-mb allows more."
        )
