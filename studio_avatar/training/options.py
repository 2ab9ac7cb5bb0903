"""The command line all training stages share."""

import argparse
import dataclasses
from pathlib import Path

from .budget import parse_duration
from .config import load_config, override

CONFIGS = Path(__file__).parent / "configs"


@dataclasses.dataclass(frozen=True)
class StageOptions:
    data: Path
    run: Path
    config: object
    weights: dict  # further inputs of the stage by name → path


@dataclasses.dataclass(frozen=True)
class BudgetOptions:
    """Of a stage that trains for a budget of time [seconds] on the packed file."""

    pack: Path
    run: Path
    config: object
    seconds: float
    weights: str  # folder or Hub id of the networks before it
    more: argparse.Namespace  # options of the stage alone


def budget_parser(section: str, description: str) -> argparse.ArgumentParser:
    """`--pack --run --budget --weights --config --set`; stages add their own."""
    parser = argparse.ArgumentParser(
        prog=f"python -m studio_avatar.training {section}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--budget", required=True, help="time to train: 90s, 8m, 2h; making ready is part of it"
    )
    parser.add_argument("--pack", type=Path, required=True, help="written by studio_avatar.data.prepare pack")
    parser.add_argument(
        "--run", type=Path, required=True, help="folder for checkpoints, previews and results; resumed from"
    )
    parser.add_argument(
        "--weights", default="weights_card", help="folder or Hub id with head, encoder and studio generator"
    )
    parser.add_argument("--config", default="small", help="small, or the path of a YAML file")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings that differ from the config"
    )
    return parser


def parse_budget_options(section: str, parser: argparse.ArgumentParser, arguments=None) -> BudgetOptions:
    """The options of one stage; its run folder is made."""
    options = parser.parse_args(arguments)
    config = override(getattr(load_config(config_path(options.config)), section), options.set)
    seconds = parse_duration(options.budget)
    options.run.mkdir(parents=True, exist_ok=True)
    return BudgetOptions(options.pack, options.run, config, seconds, options.weights, options)


def config_path(name: str) -> Path:
    """A tier's file, or the path that was given."""
    path = Path(name)
    return path if path.suffix else CONFIGS / f"{path}.yaml"


def parse_stage_options(section, description, arguments=None, inputs=()) -> StageOptions:
    """`--data --run --config [--set KEY=VALUE …]` and one `--NAME` for each of `inputs` (name, help)."""
    parser = argparse.ArgumentParser(
        prog=f"python -m studio_avatar.training {section}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder written by studio_avatar.data.prepare"
    )
    parser.add_argument(
        "--run", type=Path, required=True, help="folder for checkpoints, previews and results"
    )
    parser.add_argument("--config", default="small", help="small, or the path of a YAML file")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings that differ from the config"
    )
    for name, text in inputs:
        parser.add_argument(f"--{name}", type=Path, required=True, help=text)
    options = parser.parse_args(arguments)
    config = getattr(load_config(config_path(options.config)), section)
    config = override(config, options.set)
    options.run.mkdir(parents=True, exist_ok=True)
    return StageOptions(
        options.data,
        options.run,
        config,
        {name: getattr(options, name.replace("-", "_")) for name, _ in inputs},
    )
