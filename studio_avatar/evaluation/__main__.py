"""Compare the published weights with baselines on people never trained on.

    python -m studio_avatar.evaluation --data ../shared/data --prepared RUNS/data

Prints the tables and writes them as Markdown and JSON, and a picture of all methods on one capture of each person.
"""

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from studio_avatar.errors import InvalidInputError, StudioAvatarError
from studio_avatar.results.settings import PRESETS

from . import held_out, methods, tables
from .identity import DlibIdentity
from .perceptual import NearLPIPS
from .pictures import MethodGrid
from .report import Table, to_markdown, write_report

SKIN_REGIONS = ("face", "ears")
SURFACE_REGIONS = ("face", "ears", "brows", "lips", "eyelids")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 2 and one sentence on stderr when something that was given cannot work."""
    options, grid = parse(arguments), MethodGrid()
    try:
        results, facts = run(options, grid.add)
    except StudioAvatarError as error:
        print(error, file=sys.stderr)
        return 2
    print(to_markdown(results, facts))
    write_report(results, facts, options.out, options.markdown)
    grid.write(options.picture)
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m studio_avatar.evaluation", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with portraits/ and studio/")
    add("--prepared", type=Path, help="folder written by studio_avatar.data.prepare (without: made anew)")
    add("--cache", type=Path, help="without --prepared: keep what is made here, and start from it next time")
    add("--weights", help="weights folder or Hub id (default: the embedded weights)")
    add("--out", type=Path, default=Path("docs/evaluation.json"))
    add("--markdown", type=Path, default=Path("docs/evaluation.md"))
    add(
        "--picture",
        type=Path,
        default=Path("docs/evaluation.jpg"),
        help="all methods on one capture a person",
    )
    add("--no-identity", action="store_true", help="leave out what needs dlib")
    add("--no-perceptual", action="store_true", help="leave out near-LPIPS (evaluation/perceptual.py)")
    add("--plain-unet", type=Path, help="run folder of training.train_plain_unet: adds this baseline")
    add(
        "--studio",
        nargs="+",
        default=[],
        metavar="NAME=RUN",
        help="run folders of training.train_studio under other settings: a table of their studio generators",
    )
    add("--limit", type=int, help="look at the first N held-out items of each kind only")
    add(
        "--reconstruction-from",
        type=Path,
        metavar="JSON",
        help="an earlier evaluation of the same generators: its first table is taken over",
    )
    add("--seed", type=int, default=0, help="of the upscaler's noise")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace, observe=None) -> tuple[list[Table], dict]:
    """Load, prepare and compare: all tables, and the facts they rest on. `observe`: as for `evaluate`."""
    import torch

    from studio_avatar.pipeline.studio_texture_pipeline import StudioTexturePipeline
    from studio_avatar.weights.locate import find_weights, weights_revision

    if not options.data.is_dir():
        raise InvalidInputError(f"{options.data} is no folder: give the one with portraits/ and studio/.")
    if options.limit is not None and options.limit < 1:
        raise InvalidInputError(f"--limit must be at least 1, not {options.limit}.")
    weights = find_weights(options.weights)
    pipeline = methods.RememberingPipeline.from_pipe(StudioTexturePipeline.from_pretrained(weights))
    pipeline.set_progress_bar_config(disable=True)
    with prepared_folder(options, weights) as folder:
        facts = {
            "weights": weights_revision(weights),
            "seed": options.seed,
            "CPU threads": torch.get_num_threads(),
            "not captured": ", ".join(
                f"{count} of {name}" for name, count in held_out.skipped(folder).items()
            ),
        }
        embed = None if options.no_identity else DlibIdentity(pipeline.head).embed
        perceptual = None if options.no_perceptual else NearLPIPS()
        plain = (
            methods.plain_unet(options.plain_unet, pipeline.base_resolution) if options.plain_unet else None
        )
        generators = {
            name: methods.studio_generator(path) for name, path in named_paths(options.studio).items()
        }
        compared = Comparison(
            limit=options.limit,
            seed=options.seed,
            embed=embed,
            plain_unet=plain,
            generators=generators,
            observe=observe,
            reconstruction=earlier_reconstruction(options.reconstruction_from),
            perceptual=perceptual,
        )
        return evaluate(pipeline, folder, compared), facts


@contextlib.contextmanager
def prepared_folder(options: argparse.Namespace, weights: str):
    """The folder with the prepared sets; made when none was given, and deleted unless it is the cache."""
    if options.prepared:
        yield options.prepared
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.cache or Path(temporary)
        held_out.prepare_sets(options.data, folder, weights)
        yield folder


@dataclass(frozen=True)
class Comparison:
    """What is compared, and by what.

    limit: use the first so many held-out items of each kind; seed: of the upscaler's noise; embed: texture (H, W, 3) → face
    descriptor, for the columns that need one; plain_unet: `StudioPair` → texture (H, W, 3), the baseline trained on the same
    pairs; generators: name → `StyleGAN2Generator`, studio generators trained under other settings; observe: called with
    each `StudioPair`, row name and texture of the studio table, such as `MethodGrid.add`; reconstruction: that table, where
    it is known already; perceptual: (texture, truth, mask) → distance, for the detail table.
    """

    limit: int | None = None
    seed: int = 0
    embed: Callable | None = None
    plain_unet: Callable | None = None
    generators: dict = field(default_factory=dict)
    observe: Callable | None = None
    reconstruction: Table | None = None
    perceptual: Callable | None = None


def evaluate(pipeline, folder: Path, compared: Comparison) -> list[Table]:
    """The tables: reconstruction, studio texture, the same by skin tone and light, detail, stages left out, and studio
    generators compared (by the known textures, then on real people).

    Args:
        pipeline: a `StudioTexturePipeline`.
        folder: prepared sets `portraits`, `studio` and `captures_held_out`.
    """
    from studio_avatar.head.layout import region_mask

    held_out.check_head(folder, pipeline.head)
    reconstruction = compared.reconstruction or reconstruction_of(pipeline, folder, compared.limit)
    pairs = held_out.studio_pairs(folder, compared.limit)
    skin = region_mask(pipeline.head, len(pairs[0].truth), *SKIN_REGIONS)
    faces = None if compared.embed is None else held_out.studio_faces(folder, compared.embed)
    rows = studio_rows(pipeline, folder, compared)
    studio = tables.studio_table(pairs, skin, rows, compared.embed, faces, observe=compared.observe)
    regions = [name for name in SURFACE_REGIONS if name in pipeline.head.config.region_names]
    surface = region_mask(pipeline.head, len(pairs[0].truth), *regions)
    detail = tables.detail_table(pairs, surface, rows, compared.perceptual)
    light = tables.light_table(pairs, partial(methods.estimated_tone, pipeline))
    # Stages left out, and studio generators trained otherwise: at base size, before the upscaler.
    at_base = partial(
        tables.studio_table,
        pairs,
        skin,
        embed=compared.embed,
        studio_faces=faces,
        size=pipeline.base_resolution,
    )
    ablation = at_base(
        [partial(methods.textures_without, pipeline)], title="The relit texture without one stage each"
    )
    results = [reconstruction, studio, tables.tone_table(studio, pairs, skin), light, detail, ablation]
    if compared.generators:
        bases = partial(methods.bases_of, pipeline, compared.generators)
        results.append(
            at_base([bases], title="Studio generators by their training, tone and relighting left out")
        )
        if compared.embed is not None:
            real = held_out.portraits(folder, pipeline.base_resolution, "held_out", compared.limit)
            of_code = partial(methods.pictures_of, pipeline, compared.generators)
            results.append(tables.likeness_table(real, of_code, compared.embed, faces))
    return results


def reconstruction_of(pipeline, folder: Path, limit: int | None) -> Table:
    """W+ inversion against linear models, on the first `limit` held-out portraits."""
    inverters = {"ours: encoder": partial(methods.reconstruct, pipeline, num_steps=0)}
    for preset in ("standard", "best"):
        steps = PRESETS[preset].inversion_steps
        inverters[f"ours: encoder + {steps} steps ({preset})"] = partial(
            methods.reconstruct, pipeline, num_steps=steps
        )
    known, new = (
        held_out.portraits(folder, pipeline.base_resolution, *which)
        for which in (("train",), ("held_out", limit))
    )
    return tables.reconstruction_table(known, new, inverters)


def studio_rows(pipeline, folder: Path, compared: Comparison) -> list[Callable]:
    """The methods that make studio textures, each asked once a pair: baselines, then ours."""
    ours = partial(methods.studio_textures, pipeline, seed=compared.seed)
    rows = tables.studio_methods(held_out.mean_studio_texture(folder), ours)
    if compared.plain_unet is not None:
        rows.insert(-1, lambda pair: {"plain UNet": compared.plain_unet(pair)})
    return [remembering(method) for method in rows]


def remembering(method):
    """The method, asked once a pair: two tables look at its textures."""
    answers = {}

    def ask(pair):
        if id(pair) not in answers:
            answers[id(pair)] = method(pair)
        return answers[id(pair)]

    return ask


def earlier_reconstruction(file: Path | None) -> Table | None:
    """The first table of an earlier evaluation's JSON; None without a file."""
    if file is None:
        return None
    if not file.is_file():
        raise InvalidInputError(f"There is no evaluation '{file}': leave out --reconstruction-from.")
    return Table.from_dict(json.loads(file.read_text())["tables"][0])


def named_paths(pairs: list[str]) -> dict[str, Path]:
    """["name=folder", …] → {name: folder}."""
    if wrong := [pair for pair in pairs if "=" not in pair]:
        raise InvalidInputError(f"--studio takes NAME=RUN, not {wrong[0]!r}.")
    return {name: Path(path) for name, path in (pair.split("=", 1) for pair in pairs)}


if __name__ == "__main__":
    raise SystemExit(main())
