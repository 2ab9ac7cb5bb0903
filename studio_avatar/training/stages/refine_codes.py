"""W+ residuals of the phone set for the studio stage, by the refinement that the pipeline itself does.

Stage 1 writes them as it trains. This makes them for weights that come without, such as published ones, whose residuals
are never published: they belong to people.

    python -m studio_avatar.training refine_codes --data RUNS/data --phone RUNS/phone --pairs 250 --steps 20
"""

import argparse
import functools
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save

from studio_avatar.imaging.files import write_atomically
from studio_avatar.models import InversionEncoder, StyleGAN2Generator
from studio_avatar.pipeline.inversion import invert
from studio_avatar.training.codes import save_residuals
from studio_avatar.training.config import PhoneConfig
from studio_avatar.training.datasets import to_float, to_mask
from studio_avatar.training.pairs import load_phone_set

SAVE_EVERY = 100  # codes


@functools.lru_cache(maxsize=1)
def load_networks(phone: Path) -> tuple[InversionEncoder, StyleGAN2Generator]:
    """The networks of a run folder, ready to use; kept, as every code of a process needs them."""
    torch.set_num_threads(1)  # one core a process: a single small picture does not keep two busy
    generator = StyleGAN2Generator.from_pretrained(phone / "phone_generator").eval().requires_grad_(False)
    encoder = InversionEncoder.from_pretrained(phone / "encoder").eval().requires_grad_(False)
    return encoder, generator


def refine(texture: tuple[np.ndarray, np.ndarray], phone: Path, num_steps: int) -> torch.Tensor:
    """What refinement adds to the encoder's code of a texture: (num_ws, w_dim).

    Args:
        texture: (3, R, R) and visibility (1, R, R), uint8.
        phone: folder with phone_generator/ and encoder/.
        num_steps: of the refinement.
    """
    rgb, seen = (torch.from_numpy(part)[None] for part in texture)
    found = invert(to_float(rgb), to_mask(seen), *load_networks(phone), num_steps=num_steps)
    return (found.w_plus - found.encoded)[0]


def with_mirrors(textures, start: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each texture and its mirror image with their visibility, as `refine` takes them, from number `start` on."""
    for row in range(start, 2 * len(textures)):
        parts = textures.rgb[row // 2], textures.seen[row // 2]
        yield tuple((part.flip(-1) if row % 2 else part).numpy() for part in parts)


def refine_all(textures, phone: Path, num_steps: int, workers: int) -> torch.Tensor:
    """Residuals (2N, num_ws, w_dim) of all textures and their mirrors. A stopped run goes on from its last hundred."""
    partial, codes, total = phone / f".partial_{num_steps}_{len(textures)}.safetensors", [], 2 * len(textures)
    if partial.exists():
        codes = list(load_file(partial)["codes"])
    work = functools.partial(refine, phone=phone, num_steps=num_steps)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for code in pool.map(work, with_mirrors(textures, len(codes))):
            codes.append(code)
            if len(codes) % SAVE_EVERY == 0 or len(codes) == total:
                write_atomically(partial, save({"codes": torch.stack(codes)}))
                print(f"refined {len(codes)}/{total}", flush=True)
    partial.unlink(missing_ok=True)
    return torch.stack(codes)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m studio_avatar.training refine_codes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder written by studio_avatar.data.prepare"
    )
    parser.add_argument("--phone", type=Path, required=True, help="folder with phone_generator/ and encoder/")
    parser.add_argument(
        "--pairs", type=int, default=PhoneConfig.pairs, help="simulated captures beside all portraits"
    )
    parser.add_argument("--steps", type=int, default=20, help="of the refinement")
    parser.add_argument("--workers", type=int, default=2, help="processes, one core each")
    options = parser.parse_args(arguments)
    resolution = StyleGAN2Generator.load_config(options.phone / "phone_generator")["resolution"]
    textures = load_phone_set(options.data, resolution, options.pairs)
    save_residuals(refine_all(textures, options.phone, options.steps, options.workers), options.phone)
