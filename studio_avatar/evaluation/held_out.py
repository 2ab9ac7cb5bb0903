"""The held-out people, read from prepared sets or prepared on the spot."""

import json
from pathlib import Path

import numpy as np

from studio_avatar.data.prepare.config import PrepareConfig
from studio_avatar.data.prepare.make import light_of_variant
from studio_avatar.data.prepare.packing import StoredScene, head_mark
from studio_avatar.data.prepare.sets import prepare
from studio_avatar.errors import InvalidInputError

from .tables import PhoneTextures, StudioPair

SETS = ("portraits", "studio", "captures_held_out")
WORKERS = 2  # processes that prepare, one core each


def prepare_sets(data: Path, out: Path, weights: str) -> None:
    """Make those sets of `studio_avatar.data.prepare` that evaluation reads; finished items are kept.

    All portraits, as the linear models are trained on those not held out; all studio textures for their mean;
    captures of held-out subjects only. Needs the extra [train].

    Args:
        data: folder with portraits/ and studio/. out: folder for the sets.
        weights: folder or Hub id whose subfolders `head` and `registrar` have what captures are made with.

    Raises:
        InvalidInputError: `data` lacks portraits or the studio set.
    """
    prepare(PrepareConfig(data, out, head=weights, registrar=weights, workers=WORKERS), SETS)


def check_head(prepared: Path, head) -> None:
    """Raises `InvalidInputError` when a set was prepared for another head, so for other texture coordinates."""
    for name in SETS:
        if _index(prepared, name)["head"] != head_mark(head):
            raise InvalidInputError(f"{name} in {prepared} was made for another head: prepare it again.")


def portraits(prepared: Path, resolution: int, split: str, limit: int | None = None) -> PhoneTextures:
    """Portraits of `split` ("train" or "held_out"), averaged to `resolution` as the networks see them."""
    from studio_avatar.training.datasets import load_textures

    if all(item["split"] != split for item in _index(prepared, "portraits")["items"]):
        raise InvalidInputError(f"There is no {split} portrait: evaluation needs more than 40 portraits.")
    textures = load_textures(prepared / "portraits.safetensors", resolution, split)
    rgb = textures.rgb[:limit].permute(0, 2, 3, 1).numpy()
    return PhoneTextures(_unit(rgb), _unit(textures.seen[:limit, 0].numpy()))


def mean_studio_texture(prepared: Path) -> np.ndarray:
    """Mean of the training subjects' studio textures, (H, W, 3) float32 sRGB in [0, 1]."""
    tensors, items = _open(prepared, "studio")
    rows = [row for row, item in enumerate(items) if item["split"] == "train"]
    return (sum(tensors["rgb"][row].astype(np.float32) for row in rows) / (255 * len(rows))).astype(
        np.float32
    )


def studio_faces(prepared: Path, embed) -> np.ndarray:
    """Face descriptors (N, D) of the training subjects' studio textures; `embed`: texture (H, W, 3) → (D,)."""
    tensors, items = _open(prepared, "studio")
    rows = [row for row, item in enumerate(items) if item["split"] == "train"]
    return np.array([embed(_unit(tensors["rgb"][row])) for row in rows])


def studio_pairs(prepared: Path, limit: int | None = None) -> list[StudioPair]:
    """Simulated captures of held-out subjects with their true studio textures, at the stored size."""
    return _pairs(prepared, "captures_held_out", "held_out", limit)


def _pairs(prepared: Path, name: str, split: str, limit: int | None) -> list[StudioPair]:
    tensors, items = _open(prepared, name)
    rows = [row for row, item in enumerate(items) if item["split"] == split][:limit]
    return [
        StudioPair(
            items[row]["subject"],
            *(_unit(tensors[key][row]) for key in ("rgb", "seen", "target")),
            scene=StoredScene(np.asarray(tensors["scene"][row])) if "scene" in tensors else None,
            registered=_unit(tensors["registered"][row]) if "registered" in tensors else None,
            light=light_of_variant(items[row].get("variant", 0)),
        )
        for row in rows
    ]


def skipped(prepared: Path) -> dict[str, int]:
    """How many items of each set could not be captured."""
    return {name: len(_index(prepared, name)["skipped"]) for name in SETS}


def _open(prepared: Path, name: str):
    """A set's arrays by key, memory-mapped row by row, and its items."""
    from safetensors import safe_open

    items = _index(prepared, name)["items"]
    file = safe_open(prepared / f"{name}.safetensors", "np")
    return {key: file.get_slice(key) for key in file.keys()}, items  # noqa: SIM118 (no iterator in safe_open)


def _index(prepared: Path, name: str) -> dict:
    path = prepared / f"{name}.json"
    if not path.is_file():
        raise InvalidInputError(
            f"{path} is missing: leave out --prepared, or run studio_avatar.data.prepare."
        )
    return json.loads(path.read_text())


def _unit(values: np.ndarray) -> np.ndarray:
    """uint8 [0, 255] → float32 [0, 1]."""
    return values.astype(np.float32) / 255
