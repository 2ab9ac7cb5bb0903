"""The mean of the weights of trained networks of one shape: `python -m tools.mean_weights --out OUT A=0.5 B=0.5`.

A and B are folders that a stage wrote, such as published weights and what training made of them. Configuration and buffers
are the first's.
"""

import argparse
import json
import sys
from pathlib import Path

import diffusers

from studio_avatar import models
from studio_avatar.errors import InvalidInputError, StudioAvatarError
from studio_avatar.training.networks import mean_parameters


def load_network(folder: Path):
    """The network in a folder that a stage wrote, float32, of the class that its configuration names.

    Raises:
        InvalidInputError: there is none.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise InvalidInputError(f"There is no network in {folder}: it has no config.json.")
    name = json.loads(config.read_text()).get("_class_name", "")
    kind = getattr(models, name, None) or getattr(diffusers, name, None)
    if kind is None:
        raise InvalidInputError(f"The network in {folder} is of an unknown class: {name}.")
    return kind.from_pretrained(folder).float()


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.mean_weights", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the mean")
    parser.add_argument("networks", nargs="+", metavar="FOLDER=SHARE")
    options = parser.parse_args(arguments)
    try:
        folders, shares = zip(*(_share(text) for text in options.networks))
        mean_parameters([load_network(folder) for folder in folders], shares).save_pretrained(options.out)
    except (StudioAvatarError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _share(text: str) -> tuple[Path, float]:
    folder, _, share = text.rpartition("=")
    try:
        return Path(folder), float(share)
    except ValueError:
        raise InvalidInputError(f"{text} is not a folder and its share, such as RUNS/relight=0.7.") from None


if __name__ == "__main__":
    sys.exit(main())
