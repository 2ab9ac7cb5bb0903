"""Options that several commands share."""

import argparse
from pathlib import Path

from studio_avatar.results.exports import FORMATS, ExportSettings
from studio_avatar.results.settings import CreationSettings


def add_output(parser: argparse.ArgumentParser, help_text: str) -> None:
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("out"), metavar="FOLDER", help=f"{help_text} (default: out)"
    )


def add_weights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights", help="weights folder or Hugging Face repository (default: the embedded ones)"
    )


def add_quiet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")


def add_settings(parser: argparse.ArgumentParser) -> None:
    """The options behind `CreationSettings`; `settings` reads them."""
    defaults = CreationSettings()
    add = parser.add_argument
    add("--seed", type=int, default=defaults.seed, help="same seed, same result (default: %(default)s)")
    add("--steps", type=int, default=defaults.steps, help="steps of the upscaler (default: %(default)s)")
    add(
        "--inversion-steps",
        type=int,
        default=defaults.inversion_steps,
        help="steps that fit the networks to the capture (default: %(default)s)",
    )
    add(
        "--guidance",
        type=float,
        default=defaults.guidance,
        help="how much harder than the network does to pull towards the capture's own detail, 0 to 1 (default: %(default)s)",
    )
    add("--size", type=int, default=defaults.size, help="texture width and height (default: %(default)s)")
    add(
        "--skin-tone",
        type=float,
        metavar="DEGREES",
        help="individual typology angle of the skin, from -60 (dark) to 65 (light), instead of the estimate",
    )


def settings(options: argparse.Namespace) -> CreationSettings:
    """What the user chose with the options of `add_settings`."""
    return CreationSettings(
        seed=options.seed,
        steps=options.steps,
        inversion_steps=options.inversion_steps,
        guidance=options.guidance,
        size=options.size,
        skin_tone=options.skin_tone,
    )


def add_exports(parser: argparse.ArgumentParser) -> None:
    """The options behind `ExportSettings`; `exports` reads them."""
    add = parser.add_argument
    add(
        "--also",
        type=lambda text: tuple(text.split(",")),
        default=(),
        metavar="FORMATS",
        help=f"formats beside GLB, separated by commas: {', '.join(FORMATS)}",
    )
    add("--light", action="store_true", help="also a GLB with at most 5,000 triangles")
    add("--animation", action="store_true", help="replay the capture's expressions and head pose in the GLB")
    add("--turntable", action="store_true", help="also a looping video of the head (about 15 s on one core)")
    add("--no-preview", action="store_true", help="no picture of the head under three lights")


def exports(options: argparse.Namespace) -> ExportSettings:
    """What the user chose with the options of `add_exports`."""
    return ExportSettings(
        also=options.also,
        light=options.light,
        animation=options.animation,
        preview=not options.no_preview,
        turntable=options.turntable,
    )
