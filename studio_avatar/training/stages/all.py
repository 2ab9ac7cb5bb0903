"""Cover, tone, relight and upscaler in turn within one budget, from the packed file, on whatever device there is.

    python -m studio_avatar.training all --budget 8m --pack RUNS/pack.safetensors --run RUNS

Writes RUNS/cover, RUNS/tone, RUNS/relight and RUNS/upscaler, as `python -m studio_avatar.hub export` takes them. Started
again, it goes on where it was. `--set` takes STAGE.KEY=VALUE here.
"""

from studio_avatar.errors import InvalidInputError
from studio_avatar.training.budget import parse_duration
from studio_avatar.training.options import budget_parser

from . import cover, relight, tone, upscaler

SHARES = {"cover": 0.1, "tone": 0.15, "relight": 0.53, "upscaler": 0.22}  # of the budget
MODULES = {"cover": cover, "tone": tone, "relight": relight, "upscaler": upscaler}


def main(arguments=None):
    options = budget_parser("all", __doc__).parse_args(arguments)
    seconds, settings = parse_duration(options.budget), settings_by_stage(options.set)
    for name, share in SHARES.items():
        given = ["--pack", str(options.pack), "--run", str(options.run / name)]
        given += ["--weights", options.weights, "--config", options.config]
        given += ["--budget", f"{seconds * share:.1f}s"]
        if name == "upscaler":
            given += ["--relight", str(options.run / "relight")]
        if settings[name]:
            given += ["--set", *settings[name]]
        MODULES[name].main(given)


def settings_by_stage(settings: list[str]) -> dict[str, list[str]]:
    """STAGE.KEY=VALUE → the settings of each stage.

    Raises:
        InvalidInputError: a setting names no stage.
    """
    found = {name: [] for name in SHARES}
    for setting in settings:
        stage, dot, rest = setting.partition(".")
        if not dot or stage not in found:
            raise InvalidInputError(
                f"--set {setting}: write STAGE.KEY=VALUE, STAGE one of {', '.join(found)}."
            )
        found[stage].append(rest)
    return found
