"""The command line all training stages share."""

import argparse
import dataclasses
from pathlib import Path

from .config import load_config, override

CONFIGS = Path(__file__).parent / "configs"


@dataclasses.dataclass(frozen=True)
class StageOptions:
    data: Path
    run: Path
    config: object
    weights: dict  # further inputs of the stage by name → path


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
    path = Path(options.config)
    config = getattr(load_config(path if path.suffix else CONFIGS / f"{path}.yaml"), section)
    config = override(config, options.set)
    options.run.mkdir(parents=True, exist_ok=True)
    return StageOptions(
        options.data,
        options.run,
        config,
        {name: getattr(options, name.replace("-", "_")) for name, _ in inputs},
    )
