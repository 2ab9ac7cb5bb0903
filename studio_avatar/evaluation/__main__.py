"""Compare the published weights with the trivial floors on people never trained on.

    python -m studio_avatar.evaluation --data ../shared/data --prepared RUNS/data

Prints the tables and writes them as Markdown and JSON.
"""

import argparse
import contextlib
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from ..errors import InvalidInputError, StudioAvatarError
from . import held_out, tables
from .report import Table, to_markdown, write_report

REFINEMENT_STEPS = 100  # the pipeline's default
SKIN_REGIONS = ("face", "ears")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 2 and one sentence on stderr when something that was given cannot work."""
    options = parse(arguments)
    try:
        results, facts = run(options)
    except StudioAvatarError as error:
        print(error, file=sys.stderr)
        return 2
    print(to_markdown(results, facts))
    write_report(results, facts, options.out, options.markdown)
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m studio_avatar.evaluation", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with portraits/ and studio/")
    add("--prepared", type=Path, help="folder written by studio_avatar.training.prepare (without: made anew)")
    add("--cache", type=Path, help="without --prepared: keep what is made here, and start from it next time")
    add("--weights", help="weights folder or Hub id (default: the embedded weights)")
    add("--out", type=Path, default=Path("docs/evaluation.json"))
    add("--markdown", type=Path, default=Path("docs/evaluation.md"))
    add("--identity", type=Path, help="file of training.convert_mobilefacenet: adds the identity distance")
    add("--limit", type=int, help="look at the first N held-out items of each kind only")
    add("--seed", type=int, default=0, help="of the upscaler's noise")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> tuple[list[Table], dict]:
    """Load, prepare and compare: all tables, and the facts they rest on."""
    import torch

    from ..pipeline import StudioTexturePipeline
    from ..weights import find_weights, weights_revision

    if not options.data.is_dir():
        raise InvalidInputError(f"{options.data} is no folder: give the one with portraits/ and studio/.")
    if options.limit is not None and options.limit < 1:
        raise InvalidInputError(f"--limit must be at least 1, not {options.limit}.")
    weights = find_weights(options.weights)
    pipeline = StudioTexturePipeline.from_pretrained(weights)
    pipeline.set_progress_bar_config(disable=True)
    with prepared_folder(options, weights, pipeline.head) as folder:
        facts = {
            "weights": weights_revision(weights),
            "seed": options.seed,
            "CPU threads": torch.get_num_threads(),
            "not captured": ", ".join(
                f"{count} of {name}" for name, count in held_out.skipped(folder).items()
            ),
        }
        embed = identity_embedding(options.identity, pipeline.head) if options.identity else None
        return evaluate(pipeline, folder, options.limit, options.seed, embed), facts


@contextlib.contextmanager
def prepared_folder(options: argparse.Namespace, weights: str, head):
    """The folder with the prepared sets; made when none was given, and deleted unless it is the cache."""
    if options.prepared:
        yield options.prepared
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.cache or Path(temporary)
        held_out.prepare_sets(options.data, folder, weights, head)
        yield folder


def evaluate(pipeline, folder: Path, limit: int | None = None, seed: int = 0, embed=None) -> list[Table]:
    """The three tables: reconstruction, studio texture, studio texture by skin tone.

    Args:
        pipeline: a `StudioTexturePipeline`.
        folder: prepared sets `portraits`, `studio` and `captures_held_out`.
        limit: use the first so many held-out items of each kind.
        embed: texture (H, W, 3) → identity embedding of unit length, for a column of its own.
    """
    from ..head.layout import region_mask

    held_out.check_head(folder, pipeline.head)

    # 1. W+ inversion against linear models.
    portraits = partial(held_out.portraits, folder, pipeline.base_resolution)
    inverters = {
        "ours: encoder": partial(reconstruct, pipeline, num_steps=0),
        f"ours: encoder + {REFINEMENT_STEPS} steps": partial(
            reconstruct, pipeline, num_steps=REFINEMENT_STEPS
        ),
    }
    reconstruction = tables.reconstruction_table(portraits("train"), portraits("held_out", limit), inverters)

    # 2. Studio textures against the floors.
    pairs = held_out.studio_pairs(folder, limit)
    skin = region_mask(pipeline.head, len(pairs[0].truth), *SKIN_REGIONS)
    ours = partial(studio_textures, pipeline, seed=seed)
    methods = tables.studio_methods(held_out.mean_studio_texture(folder), ours)
    studio = tables.studio_table(pairs, skin, methods, embed)
    return [reconstruction, studio, tables.tone_table(studio, pairs, skin)]


def reconstruct(pipeline, rgb: np.ndarray, seen: np.ndarray, num_steps: int) -> np.ndarray:
    """The phone generator's picture of the inverted texture; all (R, R, 3) sRGB in [0, 1], seen (R, R)."""
    import torch

    from ..pipeline import to_array, to_tensor

    mask = torch.from_numpy(seen)[None, None]
    return to_array(pipeline.invert(to_tensor(rgb), mask, num_steps, lambda *_: None).reconstruction)


def studio_textures(pipeline, rgb: np.ndarray, seen: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """The pipeline's studio base, enlarged, and its final texture, both of the size of `rgb`."""
    size = len(rgb)
    result = pipeline(phone_texture=rgb, seen=seen, seed=seed, output_type="np", output_size=size)
    return {"ours: studio base": enlarge(result.base, size), "ours: texture": result.texture}


def enlarge(texture: np.ndarray, size: int) -> np.ndarray:
    """(r, r, 3) in [0, 1] → (size, size, 3), bicubic, as the upscaler enlarges the base."""
    import torch.nn.functional as F

    from ..pipeline import to_array, to_tensor

    return to_array(F.interpolate(to_tensor(texture), size=(size, size), mode="bicubic", align_corners=False))


def identity_embedding(path: Path, head):
    """→ function of a texture (H, W, 3) in [0, 1] to the embedding (192,) of the face cropped from it."""
    import torch

    from ..models.mobilefacenet import MobileFaceNet
    from ..pipeline import to_tensor
    from ..training.face_crop import FaceCrop

    if not path.is_file():
        raise InvalidInputError(
            f"{path} does not exist: make it with studio_avatar.training.convert_mobilefacenet."
        )
    network, crop = MobileFaceNet.from_file(path), FaceCrop(head)

    def embed(texture: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return network.embed(crop(to_tensor(texture)))[0].numpy()

    return embed


if __name__ == "__main__":
    raise SystemExit(main())
