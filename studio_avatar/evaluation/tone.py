"""How the skin tone estimator does on people it never saw, under light of each kind: thousands of captures in texture space.

    python -m studio_avatar.evaluation.tone --pack RUNS/pack.safetensors --prepared RUNS/data

Prints a Markdown table: mean absolute error of the individual typology angle in degrees by tone of the person, signed in
brackets (positive: too light), and the share of L*, a*, b* within one standard deviation. The captures are those of the
stage that trains it, harsher than clips (caps, masks, hands, two stops), with held-out people and held-out light; the twenty
rendered and fitted captures of `studio_avatar.evaluation` are the other half of the answer.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from safetensors import safe_open

from studio_avatar.data.prepare.pack import Pack
from studio_avatar.data.simulate.draw import Draw
from studio_avatar.errors import StudioAvatarError
from studio_avatar.models import ToneEstimator
from studio_avatar.training.packed import make_simulator
from studio_avatar.training.stages.tone import BANDS, HELD_OUT, error_row, estimates
from studio_avatar.weights.locate import find_weights

SEED, BATCH, BANK = 77, 64, 64
TITLES = {"middle": "intermediate or tan"}  # of `BANDS`, where other words are better
ROWS = (  # title, family of light, held-out tone curve, scene told
    ("light and cameras of the training", "photographed", False, True),
    ("painted rooms", "painted", False, True),
    ("unseen panoramas and camera", HELD_OUT, True, True),
    ("the same, without the scene", HELD_OUT, True, False),
)


def held_out_textures(prepared: Path, size: int) -> torch.Tensor:
    """(N, 3, size, size) uint8 studio textures of the people that are held out."""
    path = prepared / "studio.safetensors"
    items = json.loads(path.with_suffix(".json").read_text())["items"]
    with safe_open(str(path), "pt") as file:
        whole = file.get_slice("rgb")
        rows = [whole[n].permute(2, 0, 1) for n, item in enumerate(items) if item["split"] == "held_out"]
    small = torch.nn.functional.interpolate(torch.stack(rows).float(), size=(size, size), mode="area")
    return small.round().to(torch.uint8)


def measure(
    net: ToneEstimator, simulator, family: str, held_out_curve: bool, scene_told: bool, batches: int
) -> dict:
    """`error_row` of batches × BATCH captures; rows of one light are the same captures."""
    size = batches, BATCH
    return error_row(*estimates(net, simulator, Draw(SEED, "cpu"), size, family, held_out_curve, scene_told))


def line(title: str, row: dict) -> str:
    """A row of the table."""
    bands = " | ".join(f"{row[name]:.1f} ({row[f'{name}_signed']:+.1f})" for name in BANDS)
    return f"| {title} | **{row['mean']:.1f}** | {bands} | {row['within_one_std']:.2f} |"


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m studio_avatar.evaluation.tone",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--pack", type=Path, required=True, help="written by `prepare pack`: light, heads, covers"
    )
    parser.add_argument("--prepared", type=Path, required=True, help="folder with the prepared set `studio`")
    parser.add_argument(
        "--weights", help="folder or Hub id with tone_estimator (default: the embedded weights)"
    )
    parser.add_argument("--batches", type=int, default=12, help=f"of {BATCH} captures for each row")
    options = parser.parse_args(arguments)
    try:
        net = (
            ToneEstimator.from_pretrained(find_weights(options.weights), subfolder="tone_estimator")
            .float()
            .eval()
        )
        textures = held_out_textures(options.prepared, net.config.resolution)
        simulator = make_simulator(Pack(options.pack), textures, net.config.resolution, BANK, "cpu", share=8)
        bands = " | ".join(TITLES.get(name, name) for name in BANDS)
        print(f"| held-out people under | mean | {bands} | within one σ |")
        print("|---|" + "---:|" * (len(BANDS) + 2))
        for title, *how in ROWS:
            print(line(title, measure(net, simulator, *how, options.batches)), flush=True)
    except StudioAvatarError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
