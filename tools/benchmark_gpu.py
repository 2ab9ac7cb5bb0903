"""Everything after the capture on a GPU, against what the GPU can do: `python -m tools.benchmark_gpu`.

Prints, as Markdown: the ceilings of a matrix product and of a copy; seconds per stage at batch 1, peak memory, and how far
the texture is from the CPU's; G and the upscaler's network at batch 1 and 16, with and without torch.compile, with their
share of the matrix ceiling. It stops beginning new rows after `--minutes`. Runs on a CPU, too, where it says little.

For a machine that cannot capture, `--keep FILE.npz` stores what the pipeline takes of a capture, and ends; there FILE.npz
stands in for the video.
"""

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from studio_avatar.imaging.image_io import unit_to_uint8
from studio_avatar.pipeline.upscale import OVERLAP, PATCH, TILE, tile_side

EXAMPLE = Path(__file__).parents[1] / "examples" / "selfie.mp4"
FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
SEED = 0


@dataclasses.dataclass(frozen=True)
class Extent:
    """How much is measured: side of the matrices, bytes copied, pictures in a batch, runs of which the median counts."""

    matrix: int = 8192
    copied: int = 1 << 30
    batch: int = 16
    runs: int = 5


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    from studio_avatar.pipeline.studio_texture_pipeline import StudioTexturePipeline
    from studio_avatar.weights.locate import find_weights

    weights = find_weights(options.weights)

    def load(dtype: torch.dtype) -> StudioTexturePipeline:
        pipe = StudioTexturePipeline.from_pretrained(weights, dtype=dtype)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    if options.capture.suffix == ".npz":
        phone = read_phone(options.capture)
    else:
        seen = load(torch.float32).capture(options.capture, None, 1024, None)
        phone = {"phone_texture": seen.rgb, "seen": seen.seen, "scene": seen.scene}
    if options.keep:
        keep_phone(options.keep, phone)
        return
    for line in report(load, phone, torch.device(options.device), options.minutes):
        print(line, flush=True)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "capture", type=Path, nargs="?", default=EXAMPLE, help="a selfie video, or what --keep stored"
    )
    parser.add_argument("--keep", type=Path, metavar="FILE.npz", help="store the capture, and end")
    parser.add_argument("--weights", help="weights folder or repository id")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--minutes", type=float, default=6.0, help="default: %(default)s")
    return parser.parse_args(arguments)


def keep_phone(path: Path, phone: dict) -> None:
    """Store `phone_texture`, `seen` and the scene's statistics."""
    scene = dataclasses.asdict(phone["scene"])
    arrays = {
        f"scene_{name}": np.asarray(value, np.float32) for name, value in scene.items() if value is not None
    }
    texture = unit_to_uint8(phone["phone_texture"])
    np.savez_compressed(path, phone_texture=texture, seen=phone["seen"].astype(np.float16), **arrays)


def read_phone(path: Path) -> dict:
    """What `keep_phone` stored."""
    from studio_avatar.capture.scene import SceneStatistics

    with np.load(path) as stored:
        scene = {
            name.removeprefix("scene_"): stored[name].tolist() for name in stored if name.startswith("scene_")
        }
        texture = stored["phone_texture"].astype(np.float32) / 255
        return {
            "phone_texture": texture,
            "seen": stored["seen"].astype(np.float32),
            "scene": SceneStatistics(**scene),
        }


def report(
    load: Callable,
    phone: dict,
    device: torch.device,
    minutes: float,
    extent: Extent = Extent(),
    formats: tuple[str, ...] = tuple(FORMATS),
    compiled: tuple[bool, ...] = (False, True),
) -> Iterator[str]:
    """Lines of Markdown.

    Args:
        load: dtype → `StudioTexturePipeline` on the CPU.
        phone: `phone_texture`, `seen` and what else of a capture goes to the pipeline.
    """
    end = time.monotonic() + 60.0 * minutes
    yield f"{_name(device)}, torch {torch.__version__}\n"
    yield "| format | matrix product [TFLOP/s] | copy [GB/s] |\n|---|---:|---:|"
    ceilings = {name: matrix_ceiling(FORMATS[name], device, extent) for name in formats}
    for name, ceiling in ceilings.items():
        yield f"| {name} | {ceiling / 1e12:.2f} | {copy_ceiling(FORMATS[name], device, extent) / 1e9:.1f} |"

    yield (
        "\n| format | invert [s] | studio | relight | upscale | all | peak memory [GB] | ΔE2000 to the CPU |"
        "\n|---|---:|---:|---:|---:|---:|---:|---:|"
    )
    truth = load(torch.float32)(**phone, seed=SEED, output_type="np").texture
    for name in formats:
        if time.monotonic() < end:
            yield f"| {name} | {stage_row(load(FORMATS[name]).to(device), phone, truth, device, extent)} |"

    yield (
        "\n| network | format | compiled | batch | ms | pictures/s | share of the matrix product | first call [s] |"
        "\n|---|---|---|---:|---:|---:|---:|---:|"
    )
    networks = {name: calls(load(FORMATS[name]).to(device), len(phone["seen"]), device) for name in formats}
    # What needs no compiler comes first: compiling may take the rest of the time.
    for compile_it, name in ((c, n) for c in compiled for n in formats):
        for network, make in networks[name].items():
            for batch in (1, extent.batch):
                if time.monotonic() < end:
                    numbers = network_row(make, batch, compile_it, ceilings[name], device, extent)
                    yield f"| {network} | {name} | {'yes' if compile_it else 'no'} | {batch} | {numbers} |"
    if time.monotonic() >= end:
        yield f"\nStopped after {minutes:g} minutes: rows are missing."


def matrix_ceiling(dtype: torch.dtype, device: torch.device, extent: Extent) -> float:
    """Operations a second of a large matrix product."""
    a, b = (torch.randn(extent.matrix, extent.matrix, device=device).to(dtype) for _ in range(2))
    return 2 * extent.matrix**3 / seconds(lambda: a @ b, device, extent)


def copy_ceiling(dtype: torch.dtype, device: torch.device, extent: Extent) -> float:
    """Bytes a second, read and written, of a large copy."""
    source = torch.zeros(extent.copied // dtype.itemsize, dtype=dtype, device=device)
    target = torch.empty_like(source)
    return 2 * extent.copied / seconds(lambda: target.copy_(source), device, extent)


def stage_row(pipe, phone: dict, truth: np.ndarray, device: torch.device, extent: Extent) -> str:
    """Seconds per stage, memory, and the difference to the CPU's texture (H, W, 3) in float32."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    def on_step(*_) -> dict:
        _wait(device)  # or the stage would seem to end when its work is only asked for
        return {}

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    runs = [
        pipe(**phone, seed=SEED, output_type="np", callback_on_step_end=on_step)
        for _ in range(extent.runs + 1)
    ][1:]
    stages = [
        statistics.median(run.timings[stage] for run in runs)
        for stage in ("invert", "studio", "relight", "upscale")
    ]
    memory = f"{torch.cuda.max_memory_allocated() / 1e9:.2f}" if device.type == "cuda" else ""
    distance = deltaE_ciede2000(rgb2lab(runs[0].texture), rgb2lab(truth)).mean()
    return " | ".join([*(f"{value:.3f}" for value in (*stages, sum(stages))), memory, f"{distance:.2f}"])


def calls(pipe, size: int, device: torch.device) -> dict[str, Callable]:
    """Name → ((batch, wrapper of the network) → a function without arguments that runs it on so many pictures)."""
    generator, unet = (network.requires_grad_(False) for network in (pipe.studio_generator, pipe.unet))
    dtype = unet.dtype
    multiple = PATCH * 2 ** (len(unet.config.block_out_channels) - 1)
    side = tile_side(size, TILE, OVERLAP, multiple) // PATCH

    def generate(function, batch: int) -> Callable:
        code = torch.randn(batch, generator.num_ws, generator.config.w_dim, device=device, dtype=dtype)
        return lambda: function(code, noise_mode="const")

    def sharpen(function, batch: int) -> Callable:
        shape = (batch, unet.config.in_channels, side, side)
        patches = torch.randn(shape, device=device, dtype=dtype).to(memory_format=torch.channels_last)
        return lambda: function(patches, torch.full((batch,), 500.0, device=device, dtype=dtype)).sample

    return {
        "G": lambda batch, wrap: generate(wrap(generator.synthesize), batch),
        f"upscaler, a tile of {side * PATCH}": lambda batch, wrap: sharpen(wrap(unet), batch),
    }


@torch.no_grad()
def network_row(
    make: Callable, batch: int, compile_it: bool, ceiling: float, device: torch.device, extent: Extent
) -> str:
    """Milliseconds, pictures a second, share of `ceiling`, and seconds of the first call."""
    with FlopCounterMode(display=False) as counter:
        make(batch, lambda function: function)()
    run = make(batch, partial(torch.compile, dynamic=False) if compile_it else lambda function: function)
    began = time.perf_counter()
    run()
    _wait(device)
    first = time.perf_counter() - began
    taken = seconds(run, device, extent)
    share = counter.get_total_flops() / taken / ceiling
    return f"{1e3 * taken:.2f} | {batch / taken:.1f} | {100 * share:.0f} % | {first:.1f}"


def seconds(run: Callable, device: torch.device, extent: Extent) -> float:
    """Median of one call, after one that does not count."""
    taken = []
    for _ in range(extent.runs + 1):
        _wait(device)
        began = time.perf_counter()
        run()
        _wait(device)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type}: no GPU"


if __name__ == "__main__":
    main()
