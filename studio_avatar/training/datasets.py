"""Prepared texture sets (written by `studio_avatar.data.prepare`) as tensors at a stage's resolution."""

import dataclasses
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open

from studio_avatar.errors import InvalidInputError


@dataclasses.dataclass(frozen=True)
class TextureSet:
    """`rgb` (N, 3, R, R) uint8 sRGB, `seen` (N, 1, R, R) uint8, `target` as `rgb` or None, `items` N index entries."""

    rgb: torch.Tensor
    seen: torch.Tensor
    target: torch.Tensor | None
    items: list

    def __len__(self):
        return len(self.items)

    def rows(self, indices):
        """The items at `indices`, in that order."""
        indices = list(indices)
        target = None if self.target is None else self.target[indices]
        return TextureSet(self.rgb[indices], self.seen[indices], target, [self.items[i] for i in indices])


def _shrink(array, resolution):
    """(H, W[, C]) uint8 → (C, R, R) uint8 by area averaging; premultiplied masks are the caller's business."""
    tensor = array.permute(2, 0, 1) if array.ndim == 3 else array[None]
    if tensor.shape[-1] == resolution:
        return tensor.contiguous()
    if tensor.shape[-1] % resolution:
        raise InvalidInputError(f"Textures of {tensor.shape[-1]} texels cannot be averaged to {resolution}.")
    factor = tensor.shape[-1] // resolution
    return F.avg_pool2d(tensor[None].float(), factor)[0].round().to(torch.uint8)


def load_textures(path: str | Path, resolution: int, split: str) -> TextureSet:
    """Reads one prepared set; keeps the entries of `split` ("train", "validation" or "held_out")."""
    path = Path(path)
    if not path.exists():
        raise InvalidInputError(f"{path} is missing: run `python -m studio_avatar.data.prepare` first.")
    index = json.loads(path.with_suffix(".json").read_text())["items"]
    rows = [i for i, item in enumerate(index) if item["split"] == split]
    with safe_open(path, "pt") as file:
        keys = set(file.keys())

        def read(name):
            tensor = file.get_slice(name)
            return torch.stack([_shrink(tensor[i : i + 1][0], resolution) for i in rows])

        rgb = read("rgb")
        seen = read("seen") if "seen" in keys else torch.full_like(rgb[:, :1], 255)
        target = read("target") if "target" in keys else None
    return TextureSet(rgb, seen, target, [index[i] for i in rows])


def to_float(rgb):
    """uint8 [0, 255] → float32 [-1, 1]."""
    return rgb.float() / 127.5 - 1.0


def to_mask(seen):
    """uint8 [0, 255] → float32 [0, 1]."""
    return seen.float() / 255.0


def join(*sets):
    """Concatenates the phone side (rgb, seen) of several sets."""
    return TextureSet(
        torch.cat([s.rgb for s in sets]),
        torch.cat([s.seen for s in sets]),
        None,
        [item for s in sets for item in s.items],
    )


def mirror(*images, flip):
    """Flips those samples of each (B, C, H, W) tensor left to right whose `flip` (B,) is true: head-v1 is symmetric."""
    return tuple(torch.where(flip[:, None, None, None], image.flip(-1), image) for image in images)


def drop_regions(seen, probability, draws=torch):
    """Hides a random half-plane or box of some masks (B, 1, H, W), so that an encoder copes with any coverage.

    draws: where random numbers come from, `torch` or the loop's `Draws`.
    """
    batch, _, height, width = seen.shape
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    angle = draws.rand(batch, 1, 1) * 2 * torch.pi
    offset = draws.rand(batch, 1, 1) * 0.6
    half_plane = (torch.cos(angle) * x + torch.sin(angle) * y) < offset
    center, size = draws.rand(batch, 2, 1, 1) * 1.2 - 0.6, 0.1 + 0.3 * draws.rand(batch, 2, 1, 1)
    box = ((x - center[:, 0]).abs() > size[:, 0]) | ((y - center[:, 1]).abs() > size[:, 1])
    keep = torch.where(draws.rand(batch, 1, 1) < 0.5, half_plane, box)
    keep = keep | (draws.rand(batch, 1, 1) >= probability)
    return seen * keep[:, None].to(seen.device)
