"""W+ residuals of the phone set for the studio stage, by the refinement that the pipeline itself does.

Stage 1 writes them as it trains. This makes them for weights that come without, such as published ones, whose residuals
are never published: they belong to people.

    python -m studio_avatar.training refine_codes --data RUNS/data --phone RUNS/phone --pairs 250 --steps 20
"""

import argparse
import functools
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

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


def refine(row: int, textures, encoder, generator, num_steps: int) -> torch.Tensor:
    """What refinement adds to the encoder's code of `textures[row // 2]`, mirrored if `row` is odd: (num_ws, w_dim)."""
    rgb, seen = to_float(textures.rgb[row // 2][None]), to_mask(textures.seen[row // 2][None])
    if row % 2:
        rgb, seen = rgb.flip(-1), seen.flip(-1)
    found = invert(rgb, seen, encoder, generator, num_steps=num_steps)
    return (found.w_plus - found.encoded)[0]


def _start(textures, phone, num_steps):
    """Makes `_refine` in a worker; one core a process, for a single small picture does not keep two busy."""
    global _refine
    torch.set_num_threads(1)
    generator = StyleGAN2Generator.from_pretrained(phone / "phone_generator").eval().requires_grad_(False)
    encoder = InversionEncoder.from_pretrained(phone / "encoder").eval().requires_grad_(False)
    _refine = functools.partial(
        refine, textures=textures, encoder=encoder, generator=generator, num_steps=num_steps
    )


def _do(row):
    return _refine(row)


def refine_all(textures, phone: Path, num_steps: int, workers: int) -> torch.Tensor:
    """Residuals (2N, num_ws, w_dim) of all textures and their mirrors. A stopped run goes on from its last hundred."""
    partial, codes, total = phone / f".partial_{num_steps}_{len(textures)}.safetensors", [], 2 * len(textures)
    if partial.exists():
        codes = list(load_file(partial)["codes"])
    with ProcessPoolExecutor(workers, get_context("spawn"), _start, (textures, phone, num_steps)) as pool:
        for code in pool.map(_do, range(len(codes), total)):
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
