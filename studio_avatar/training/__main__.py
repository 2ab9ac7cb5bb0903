"""Train one network: `python -m studio_avatar.training STAGE --help`.

accelerate launch -m studio_avatar.training phone --data RUNS/data --run RUNS/phone
python -m studio_avatar.training all --budget 8m --pack RUNS/pack.safetensors --run RUNS

Cover, tone, relight and upscaler train for a budget of time, in one process on one device.
"""

import argparse
import sys
from importlib import import_module

# In the order of training; each is a module of `stages/` with a `main(arguments)`.
STAGES = {
    "registrar": "what places the points of the skin in a capture",
    "phone": "generator and encoder of phone textures",
    "refine_codes": "W+ codes for the next stage, for weights that come without",
    "studio": "generator of studio textures",
    "cover": "what lies in front of the skin",
    "tone": "estimator of the skin tone",
    "join_tone": "several trained estimators of the skin tone in one",
    "relight": "from the light of the phone to that of the studio",
    "upscaler": "gradient-guided diffusion upscaler",
    "all": "cover, tone, relight and upscaler in turn within one budget of time",
    "plain_unet": "a baseline of the evaluation, part of no pipeline",
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m studio_avatar.training",
        usage="python -m studio_avatar.training STAGE [options]",
        description="Train one network.",
        epilog="Options of a stage: python -m studio_avatar.training STAGE --help",
    )
    stages = parser.add_subparsers(dest="stage", title="stages", metavar="STAGE", required=True)
    for name, text in STAGES.items():
        stages.add_parser(name, help=text, add_help=False)
    arguments = sys.argv[1:] if arguments is None else arguments
    stage = parser.parse_args(arguments[:1]).stage
    import_module(f"studio_avatar.training.stages.{stage}").main(arguments[1:])


if __name__ == "__main__":
    main()
