"""What the tables measure, to be looked at: one capture of each held-out person, a row a method."""

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from studio_avatar.imaging.files import write_atomically
from studio_avatar.imaging.image_io import unit_to_uint8

from .tables import StudioPair

TILE = 144  # pixels a texture
CAPTION_HEIGHT = 16  # pixels above each row
QUALITY = 85


class MethodGrid:
    """Keeps every method's texture of the first capture of each subject while a table is made."""

    def __init__(self):
        self._rows: dict[str, dict[str, np.ndarray]] = {}  # row name → subject → tile
        self._truths: dict[str, np.ndarray] = {}  # subject → tile

    def add(self, pair: StudioPair, name: str, texture: np.ndarray) -> None:
        """One method's `texture` (H, W, 3) in [0, 1]; further captures of a subject change nothing."""
        for tiles, picture in ((self._rows.setdefault(name, {}), texture), (self._truths, pair.truth)):
            if pair.subject not in tiles:
                tiles[pair.subject] = cv2.resize(
                    picture.astype(np.float32), (TILE, TILE), interpolation=cv2.INTER_AREA
                )

    def draw(self) -> Image.Image:
        """All rows under each other, each under its name; the truth last."""
        rows = self._rows | {"truth": self._truths}
        grid = Image.new("RGB", (TILE * len(self._truths), len(rows) * (TILE + CAPTION_HEIGHT)), "white")
        pen = ImageDraw.Draw(grid)
        for place, (name, tiles) in enumerate(rows.items()):
            top = place * (TILE + CAPTION_HEIGHT)
            pen.text((4, top + 2), name, fill="black")
            row = np.concatenate(list(tiles.values()), axis=1)
            grid.paste(Image.fromarray(unit_to_uint8(row)), (0, top + CAPTION_HEIGHT))
        return grid

    def write(self, path: Path) -> None:
        """`draw` as a JPEG; the folder is made."""
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        self.draw().save(buffer, format="JPEG", quality=QUALITY)
        write_atomically(path, buffer.getvalue())
