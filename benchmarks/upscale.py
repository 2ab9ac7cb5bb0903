"""What the gradient-guided upscaler adds: `PYTHONPATH=. python benchmarks/upscale.py --prepared DIR`.

DIR holds the sets of `python -m studio_avatar.data.prepare`; the held-out people's simulated captures are used. Prints
Markdown tables, and writes a picture if asked:

detail: the upscaler alone (its base is the true texture's average over base texels) and after the whole pipeline, over the
    seen face, ears, lips and brows, against the true studio texture at the captures' size: as the capture registers it
    (`true_places.py`), which is where the phone texture's detail lies, and, in the columns `own place`, with every
    texel at its own place, where a registration that is some texels off counts as wrong detail. `other person`: the
    gradients come from the capture of the next subject. `correlation`: of luma gradients with the true texture's; `with
    the other's`: with the true texture of the person whose gradients were given. KID: see `studio_avatar.evaluation`. The
    blurred truth says what the columns could reach if the capture were perfect but for the blur of phone and codec.
light: hard lamps from both sides shine on the true textures, once with and once without the shadows the head casts on
    itself. What the two results differ by is light that leaked. `energy`: of the gradients of that difference at the
    shadows' edges, as a share of the same in the two phone textures. Measured with the upscaler alone, base clean.
tiles: steps between neighbouring columns of an enlarged flat base: the largest would stand at a tile's border.
speed: seconds a step, memory, and the time that the network's multiplications would take at the speed of a large
    matrix product, measured in the same run.
"""

import argparse
import resource
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch.utils.flop_counter import FlopCounterMode

from studio_avatar.evaluation import held_out, metrics
from studio_avatar.evaluation.identity import DlibIdentity, kernel_distance
from studio_avatar.evaluation.methods import REFINEMENT_STEPS
from studio_avatar.evaluation.tables import SEEN, StudioPair
from studio_avatar.head.layout import region_mask, texel_map
from studio_avatar.imaging.color import linear_to_srgb
from studio_avatar.imaging.image_io import encode_png, unit_to_uint8
from studio_avatar.pipeline.studio_texture_pipeline import StudioTexturePipeline, to_array, to_tensor
from studio_avatar.pipeline.upscale import TILE, luma, predict_clean_tiled, upscale
from studio_avatar.rendering import Lamp, Light, Skin, TexturedMesh, look_at, render_texels
from studio_avatar.weights.locate import find_weights

REGIONS = ("face", "ears", "lips", "brows")
STEPS, GUIDANCE = 4, 0.0  # the pipeline's defaults
WITH_GRADIENTS = "with gradients (default)"
SHADOW_EDGE = 0.02  # per texel: a luma gradient of the cast shadow from which on a texel is on its edge
LAMPS = ((-60.0, 15.0), (60.0, 15.0), (0.0, 65.0))  # azimuth, elevation [degrees]
CROP = ((300, 556), (380, 636))  # of 1024: what the picture shows, rows and columns


@dataclass(frozen=True)
class Case:
    """A capture with its truth as it registers it, and the same truth at its own place (H, W, 3).

    base: the studio base to start from, (1, 3, r, r); other: the capture that lends its gradients.
    """

    pair: StudioPair
    own_place: np.ndarray
    base: torch.Tensor
    other: StudioPair


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--prepared", type=Path, required=True, help="folder written by studio_avatar.data.prepare"
    )
    parser.add_argument("--weights", help="weights folder or Hub id (default: the embedded weights)")
    parser.add_argument("--captures", type=int, default=8, help="how many, over the held-out people in turn")
    parser.add_argument(
        "--validation", action="store_true", help="only the first table, of validation people: for settings"
    )
    parser.add_argument(
        "--picture", type=Path, help="PNG to write: base, bicubic, without and with gradients, truth"
    )
    options = parser.parse_args()
    pipeline = StudioTexturePipeline.from_pretrained(find_weights(options.weights))
    pipeline.set_progress_bar_config(disable=True)
    if options.validation:
        pairs = held_out.validation_details(options.prepared, options.captures)
        own_places = [pair.truth for pair in pairs]
    else:
        pairs = held_out.studio_pairs(options.prepared, options.captures, "registered")
        own_places = [pair.truth for pair in held_out.studio_pairs(options.prepared, options.captures)]
    embed = DlibIdentity(pipeline.head).embed
    faces = held_out.studio_faces(options.prepared, embed)
    with torch.no_grad():
        alone = [
            Case(p, own, true_base(p, pipeline), other_of(p, pairs)) for p, own in zip(pairs, own_places)
        ]
        print_detail("Detail, the upscaler alone", detail(pipeline, alone, variants, embed, faces))
        if options.validation:
            return
        whole = [replace(case, base=pipeline_base(case.pair, pipeline)) for case in alone]
        print_detail("Detail, after the whole pipeline", detail(pipeline, whole, textures, embed, faces))
        print_light(pipeline, {case.pair.subject: case.own_place for case in alone})
        print_tiles(pipeline)
        print_speed(pipeline, whole[0])
        if options.picture:
            options.picture.write_bytes(picture(pipeline, whole[0]))


def true_base(pair: StudioPair, pipeline) -> torch.Tensor:
    return F.adaptive_avg_pool2d(to_tensor(pair.truth), pipeline.base_resolution)


def pipeline_base(pair: StudioPair, pipeline) -> torch.Tensor:
    """As `StudioTexturePipeline.__call__` makes it."""
    phone, seen = to_tensor(pair.rgb), torch.from_numpy(pair.seen)[None, None]
    tone, _ = pipeline.tone(phone, seen, None)
    inversion = pipeline.invert(phone, seen, REFINEMENT_STEPS, lambda *_: None)
    return pipeline.personalise(pipeline.generate(inversion), phone, seen, tone)


def other_of(pair: StudioPair, pairs: list[StudioPair]) -> StudioPair:
    """The next capture of somebody else."""
    index = next(i for i, p in enumerate(pairs) if p is pair)
    return next(p for p in pairs[index:] + pairs[:index] if p.subject != pair.subject)


def run(pipeline, base, phone, seen, steps=STEPS, guidance=GUIDANCE) -> np.ndarray:
    """The upscaler on arrays: phone (H, W, 3), seen (H, W) in [0, 1] → texture (H, W, 3)."""
    mask = torch.from_numpy(np.ascontiguousarray(seen, np.float32))[None, None]
    noise = torch.Generator().manual_seed(0)
    return to_array(
        upscale(base, to_tensor(phone), mask, pipeline.unet, pipeline.scheduler, steps, guidance, noise)
    )


def enlarged(base: torch.Tensor, size: int, mode: int) -> np.ndarray:
    """mode: a resampling filter of Pillow, applied to each channel in float."""
    channels = [Image.fromarray(c).resize((size, size), mode) for c in to_array(base).transpose(2, 0, 1)]
    return np.stack([np.asarray(channel) for channel in channels], axis=-1).clip(0, 1)


def textures(pipeline, case: Case) -> dict[str, np.ndarray]:
    """Row of the table → texture."""
    pair, size = case.pair, len(case.pair.rgb)
    return {
        "bicubic": enlarged(case.base, size, Image.Resampling.BICUBIC),
        "Lanczos": enlarged(case.base, size, Image.Resampling.LANCZOS),
        "without gradients": run(pipeline, case.base, pair.rgb, np.zeros_like(pair.seen)),
        WITH_GRADIENTS: run(pipeline, case.base, pair.rgb, pair.seen),
    }


def variants(pipeline, case: Case) -> dict[str, np.ndarray]:
    """Rows for other gradients and other settings."""
    pair = case.pair
    return textures(pipeline, case) | {
        "other person's gradients": run(pipeline, case.base, case.other.rgb, case.other.seen),
        "guidance 0.1": run(pipeline, case.base, pair.rgb, pair.seen, guidance=0.1),
        "guidance 0.5": run(pipeline, case.base, pair.rgb, pair.seen, guidance=0.5),
        "1 step (turbo)": run(pipeline, case.base, pair.rgb, pair.seen, steps=1),
        "8 steps (best)": run(pipeline, case.base, pair.rgb, pair.seen, steps=8),
        "the truth, blurred by 1 texel": gaussian_filter(pair.truth, (1, 1, 0)),
        "the truth, blurred by 2 texels": gaussian_filter(pair.truth, (2, 2, 0)),
    }


def detail(pipeline, cases: list[Case], rows, embed, faces) -> dict[str, dict[str, float]]:
    """Row → column → mean over the cases. rows: `textures` or `variants`."""
    values, descriptors = {}, {}
    inside = region_mask(pipeline.head, len(cases[0].pair.rgb), *REGIONS)
    for case in cases:
        pair, seen = case.pair, inside & (case.pair.seen >= SEEN)
        both = seen & (case.other.seen >= SEEN)
        for name, texture in rows(pipeline, case).items():
            scores = {
                "PSNR [dB]": metrics.psnr(texture, pair.truth, seen),
                "SSIM": metrics.ssim(texture, pair.truth, seen),
                "correlation": metrics.gradient_correlation(texture, pair.truth, seen),
                "own place: PSNR [dB]": metrics.psnr(texture, case.own_place, seen),
                "own place: SSIM": metrics.ssim(texture, case.own_place, seen),
                "own place: correlation": metrics.gradient_correlation(texture, case.own_place, seen),
                "with the other's": metrics.gradient_correlation(texture, case.other.truth, both),
            }
            for column, value in scores.items():
                values.setdefault(name, {}).setdefault(column, []).append(value)
            descriptors.setdefault(name, []).append(embed(texture))
    means = {name: {column: float(np.mean(v)) for column, v in row.items()} for name, row in values.items()}
    for name, row in means.items():
        row["KID × 1000"] = 1000 * kernel_distance(np.array(descriptors[name]), faces)
    return means


def print_detail(title: str, rows: dict[str, dict[str, float]]) -> None:
    columns = list(next(iter(rows.values())))
    print(f"## {title}\n\n| | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    for name, row in rows.items():
        print(f"| {name} | {' | '.join(f'{row[column]:.3f}' for column in columns)} |")
    print(flush=True)


def lit(head, truth: np.ndarray, azimuth: float, elevation: float, shadow: bool) -> np.ndarray:
    """The texture under a hard lamp and a dim surround, (S, S, 3) sRGB: what a perfect capture would unroll."""
    angles = np.radians([azimuth, elevation])
    towards = (
        np.sin(angles[0]) * np.cos(angles[1]),
        np.sin(angles[1]),
        np.cos(angles[0]) * np.cos(angles[1]),
    )
    lamp = Lamp(towards, (1.0, 1.0, 1.0), spread=0.01, shadow=shadow)
    light = Light(0.45 * Light.even().environment, (lamp,))
    mesh = TexturedMesh.of_head(head, head.neutral.cpu().numpy())
    camera = look_at(np.array([0.0, 0.0, 0.8]), np.zeros(3), 1000.0, (720, 960))
    linear, _ = render_texels(mesh, texel_map(head, len(truth)), truth, camera, light, Skin(specular=0.0))
    return linear_to_srgb(linear.clip(0, 1)).astype(np.float32)


def print_light(pipeline, subjects: dict[str, np.ndarray]) -> None:
    """The table of what leaks through; one row a lamp."""
    inside = region_mask(pipeline.head, len(next(iter(subjects.values()))), *REGIONS)
    print("## Light\n\n| lamp: azimuth, elevation | energy at shadow edges that survives [%] |\n|---|---:|")
    shares = []
    for lamp in LAMPS:
        energy = np.zeros(2)
        for truth in subjects.values():
            base = F.adaptive_avg_pool2d(to_tensor(truth), pipeline.base_resolution)
            phones = [lit(pipeline.head, truth, *lamp, shadow) for shadow in (True, False)]
            results = [run(pipeline, base, phone, np.ones(truth.shape[:2], np.float32)) for phone in phones]
            before, after = (gradient_energy(a - b) for a, b in (phones, results))
            edge = inside & (before > SHADOW_EDGE**2)
            energy += before[edge].sum(), after[edge].sum()
        shares.append(energy[1] / energy[0])
        print(f"| {lamp[0]:.0f}°, {lamp[1]:.0f}° | {100 * shares[-1]:.1f} |")
    print(f"| **mean** | **{100 * np.mean(shares):.1f}** |\n", flush=True)


def gradient_energy(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) → (H, W) squared luma gradient, from forward differences."""
    brightness = picture @ metrics.LUMA
    along = np.diff(brightness, axis=1, append=brightness[:, -1:])
    down = np.diff(brightness, axis=0, append=brightness[-1:])
    return along**2 + down**2


def print_tiles(pipeline) -> None:
    """A flat base at twice the tile's size: is there a grid?"""
    size = 2 * TILE
    given = torch.zeros(1, 6, size, size)
    given[:, 5] = -1.0
    noise = 0.25 * torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    clean = luma(predict_clean_tiled(pipeline.unet, noise, torch.ones(1), given))[0, 0].numpy()
    steps = np.abs(np.diff(clean, axis=1)).mean(axis=0)
    print("## Tiles\n\nMean step between neighbouring columns of an enlarged flat base: ", end="")
    print(f"median {np.median(steps):.5f}, largest {steps.max():.5f}\n")


def print_speed(pipeline, case: Case) -> None:
    size = len(case.pair.rgb)
    began = time.perf_counter()
    run(pipeline, case.base, case.pair.rgb, case.pair.seen, steps=STEPS)
    seconds = time.perf_counter() - began
    noise, given = torch.randn(1, 3, size, size), torch.zeros(1, 6, size, size)
    with FlopCounterMode(display=False) as counter:
        predict_clean_tiled(pipeline.unet, noise, torch.ones(1), given)
    limit = counter.get_total_flops() / matrix_speed()
    print(
        "## Speed\n\n| size | steps | s in all | s a step | GFLOP a step | s a step as a matrix product | GB |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    work = f"{counter.get_total_flops() / 1e9:.0f} | {limit:.2f}"
    print(
        f"| {size}² | {STEPS} | {seconds:.1f} | {seconds / STEPS:.2f} | {work} | {memory:.1f} (whole benchmark) |\n"
    )


def matrix_speed(size: int = 2048) -> float:
    """Multiplications and additions a second of a float32 matrix product, best of five."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - began)
    return 2 * size**3 / min(times)


def picture(pipeline, case: Case) -> bytes:
    """A PNG: base, bicubic, without gradients, with them, truth, side by side, cut out around an eye."""
    made = textures(pipeline, case)
    size = len(case.pair.rgb)
    shown = [
        case.pair.rgb, enlarged(case.base, size, Image.Resampling.NEAREST), made["bicubic"], made["without gradients"],
        made[WITH_GRADIENTS], case.pair.truth,
    ]  # fmt: skip
    rows, columns = (slice(*(size * v // 1024 for v in bounds)) for bounds in CROP)
    return encode_png(unit_to_uint8(np.concatenate([texture[rows, columns] for texture in shown], axis=1)))


if __name__ == "__main__":
    main()
