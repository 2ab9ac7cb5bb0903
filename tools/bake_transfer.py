"""What light in texture space needs of heads: `python -m tools.bake_transfer --out RUNS/transfer.npz`.

The transfer bank (`studio_avatar/data/simulate/sky.py`): for some random heads, the normal of every texel and which of 256
directions it sees. And alpha maps of glasses and strands, each as one camera sees them on one head. Takes a few minutes of
one core; `python -m studio_avatar.data.prepare pack` takes the file.
"""

import argparse
import io
from pathlib import Path

import numpy as np
import torch

from studio_avatar.data.simulate.covers import cover_alpha
from studio_avatar.data.simulate.simulation import sample_expression, sample_identity
from studio_avatar.head.layout import texel_map, texel_normals, texel_positions
from studio_avatar.head.model import HeadModel
from studio_avatar.imaging.files import write_atomically
from studio_avatar.rendering import TexturedMesh, open_directions

GLASSES_OF_FIVE = 3  # covers of five that are glasses; the others are strands of hair


def fibonacci_sphere(count: int) -> np.ndarray:
    """(count, 3) nearly even unit directions, float32."""
    number = np.arange(count) + 0.5
    y = 1 - 2 * number / count
    angle = np.pi * (1 + 5**0.5) * number
    radius = np.sqrt(1 - y * y)
    return np.stack([radius * np.cos(angle), y, radius * np.sin(angle)], 1).astype(np.float32)


def bake_heads(head, count: int, size: int = 256, num_directions: int = 256, seed: int = 7) -> dict:
    """`count` heads, the first of mean identity, as the arrays that `TransferBank` takes.

    normals: (K, 3, S, S) int8, 127 is one. bits: (K, S·S, D / 8) uint8. directions: (D, 3). covered: (S, S) bool.
    """
    rng, texels = np.random.default_rng(seed), texel_map(head, size)
    directions, covered = fibonacci_sphere(num_directions), np.flatnonzero(texels.covered)
    normals = np.zeros((count, 3, size, size), np.int8)
    bits = np.zeros((count, size * size, num_directions // 8), np.uint8)
    for row in range(count):
        identity = sample_identity(rng) if row else np.zeros(100, np.float32)
        expression = sample_expression(rng, head.config.expression_names)
        with torch.no_grad():
            vertices = head.vertices(torch.from_numpy(identity), torch.from_numpy(expression)).numpy()
        normal = texel_normals(texels, head, vertices)
        points = texel_positions(texels, head, vertices).reshape(-1, 3)[covered]
        mesh = TexturedMesh.of_head(head, vertices)
        is_open = open_directions(mesh, points, normal.reshape(-1, 3)[covered], directions)
        bits[row][covered] = np.packbits(is_open, 1)
        normals[row] = np.rint(normal.transpose(2, 0, 1) * 127)
    return {"normals": normals, "bits": bits, "directions": directions, "covered": texels.covered}


def bake_covers(head, count: int, size: int = 512, seed: int = 11) -> np.ndarray:
    """(count, S, S) uint8, 255 where glasses or strands hide skin from a camera that would see it."""
    rng, texels = np.random.default_rng(seed), texel_map(head, size)
    covers = np.zeros((count, size, size), np.uint8)
    for row in range(count):
        covers[row] = cover_alpha(rng, head, texels, glasses=row % 5 < GLASSES_OF_FIVE)
    return covers


def save(path: Path, arrays: dict) -> None:
    """One compressed .npz, whole or not at all."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomically(path, buffer.getvalue())


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tools.bake_transfer", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="the .npz to write, outside of the repository"
    )
    parser.add_argument(
        "--weights", default="weights_card", help="folder or Hub id whose subfolder `head` has it"
    )
    parser.add_argument("--heads", type=int, default=16)
    parser.add_argument("--covers", type=int, default=90)
    options = parser.parse_args(arguments)
    head = HeadModel.from_pretrained(options.weights, subfolder="head")
    covers = bake_covers(head, options.covers)
    save(options.out, bake_heads(head, options.heads) | {"covers": covers})


if __name__ == "__main__":
    main()
