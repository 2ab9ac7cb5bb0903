"""Options that several commands share."""

import argparse
from pathlib import Path

from studio_avatar.results.exports import FORMATS, ExportSettings
from studio_avatar.results.settings import SETTINGS, CreationSettings


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


def add_mirrored(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mirrored", action="store_true", help="the pictures are stored as in a mirror: turn them back"
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """One option for each of `SETTINGS`; `settings` reads them."""
    for name in SETTINGS:
        add_setting(parser, name)


def add_setting(parser: argparse.ArgumentParser, name: str) -> None:
    """The option of one of `SETTINGS`."""
    setting = SETTINGS[name]
    default = "estimated" if setting.default is None else setting.default
    parser.add_argument(
        setting.option,
        type=setting.type,
        choices=setting.choices or None if setting.type is str else None,
        default=setting.default,
        metavar=setting.metavar,
        help=f"{setting.help} (default: {default})",
    )


def settings(options: argparse.Namespace) -> CreationSettings:
    """What the user chose with the options of `add_settings`.

    Raises:
        InvalidInputError: a value that no weights can work with.
    """
    chosen = CreationSettings.chosen(vars(options))
    for name, setting in SETTINGS.items():
        setting.check(getattr(chosen, name))
    return chosen


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
    add("--light", action="store_true", help="also a GLB with at most 5,000 triangles, and those of the hair")
    add("--animation", action="store_true", help="replay the capture's expressions and head pose in the GLB")
    add(
        "--turntable",
        action="store_true",
        help="also a looping video of the head (about a minute on one core)",
    )
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
