"""What the tables measure, to be looked at: one capture of each held-out person, a row a method."""

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from ..files import write_atomically
from ..images import unit_to_uint8
from .tables import StudioPair

TILE = 144  # pixels a texture
CAPTION_HEIGHT = 16  # pixels above each row
QUALITY = 85


def method_rows(pairs: list[StudioPair], methods: list[Callable]) -> dict[str, list[np.ndarray]]:
    """Row name → textures (TILE, TILE, 3) float in [0, 1] of the first capture of each subject; the truth last.

    Args:
        methods: functions of (rgb, seen) → {row name: texture (H, W, 3)}, as for `studio_table`.
    """
    first = {pair.subject: pair for pair in reversed(pairs)}
    rows: dict[str, list[np.ndarray]] = {}
    for subject in dict.fromkeys(pair.subject for pair in pairs):
        pair = first[subject]
        textures = {name: texture for method in methods for name, texture in method(pair.rgb, pair.seen).items()}
        for name, texture in (textures | {"truth": pair.truth}).items():
            shrunk = cv2.resize(texture.astype(np.float32), (TILE, TILE), interpolation=cv2.INTER_AREA)
            rows.setdefault(name, []).append(shrunk)
    return rows


def draw_grid(rows: dict[str, list[np.ndarray]]) -> Image.Image:
    """All rows under each other, each under its name."""
    width = TILE * max(len(row) for row in rows.values())
    grid = Image.new("RGB", (width, len(rows) * (TILE + CAPTION_HEIGHT)), "white")
    pen = ImageDraw.Draw(grid)
    for place, (name, row) in enumerate(rows.items()):
        top = place * (TILE + CAPTION_HEIGHT)
        pen.text((4, top + 2), name, fill="black")
        grid.paste(Image.fromarray(unit_to_uint8(np.concatenate(row, axis=1))), (0, top + CAPTION_HEIGHT))
    return grid


def write_grid(rows: dict[str, list[np.ndarray]], path: Path) -> None:
    """`draw_grid` as a JPEG; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    draw_grid(rows).save(buffer, format="JPEG", quality=QUALITY)
    write_atomically(path, buffer.getvalue())
