"""Command line: `studio-avatar selfie.mp4 -o out/` writes one person's avatar into out/selfie/."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .creation import CreationSettings, capture_arguments, create_avatar, load_pipeline, stage_title
from .errors import InvalidInputError, StudioAvatarError
from .files import new_folder
from .results import ResultFiles, save_results
from .version import __version__
from .weights import find_weights, weights_revision

DEFAULT_COMMAND = "create"
USER_ERROR_EXIT = 2  # as argparse
INTERRUPTED_EXIT = 130  # 128 + SIGINT, as shells have it
BAR_CELLS = 24


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; a user's error is one sentence on stderr, no traceback."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(_with_command(arguments))
    try:
        return COMMANDS[options.command].run(options)
    except StudioAvatarError as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"Cannot read or write '{error.filename}': {error.strerror}.")
    except KeyboardInterrupt:
        print("\nstudio-avatar: stopped; nothing was written.", file=sys.stderr)
        return INTERRUPTED_EXIT


def _with_command(arguments: list[str]) -> list[str]:
    """`studio-avatar selfie.mp4` is the short form of `studio-avatar create selfie.mp4`."""
    if not arguments:
        return ["--help"]
    return (
        arguments
        if arguments[0] in {*COMMANDS, "-h", "--help", "--version"}
        else [DEFAULT_COMMAND, *arguments]
    )


def _refuse(sentence: str) -> int:
    print(f"studio-avatar: {sentence}", file=sys.stderr)
    return USER_ERROR_EXIT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="studio-avatar",
        usage="studio-avatar FILE [FILE ...] [-o FOLDER] [options]\n       studio-avatar COMMAND --help",
        description="A selfie video, or photos of one person, become a studio-lit face texture on an "
        "animatable head. Nothing leaves this machine.",
        epilog=f"The options of the short form are those of `studio-avatar {DEFAULT_COMMAND} --help`.",
    )
    parser.add_argument("--version", action="version", version=f"studio-avatar {__version__}")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="", prog="studio-avatar")
    for name, command in COMMANDS.items():
        command.add_arguments(commands.add_parser(name, help=command.help, description=command.help))
    return parser


# ---------------------------------------------------------------------------------------------- create


def _add_create_arguments(parser: argparse.ArgumentParser) -> None:
    defaults = CreationSettings()
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="one video, or one or more photos of the same person"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("out"),
        metavar="FOLDER",
        help="folder that gets a folder named after the first file (default: out)",
    )
    parser.add_argument(
        "--seed", type=int, default=defaults.seed, help="same seed, same result (default: %(default)s)"
    )
    parser.add_argument(
        "--steps", type=int, default=defaults.steps, help="steps of the upscaler (default: %(default)s)"
    )
    parser.add_argument(
        "--inversion-steps",
        type=int,
        default=defaults.inversion_steps,
        help="steps that fit the networks to the capture (default: %(default)s)",
    )
    parser.add_argument(
        "--guidance",
        type=float,
        default=defaults.guidance,
        help="how strongly the capture's own detail is kept from 0 to 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--size", type=int, default=defaults.size, help="texture width and height (default: %(default)s)"
    )
    parser.add_argument(
        "--weights", help="weights folder or Hugging Face repository (default: the embedded ones)"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")


def _create(options: argparse.Namespace) -> int:
    """Everything that can be refused cheaply is refused before the networks are loaded."""
    capture_arguments(options.files)
    target = options.output / Path(options.files[0]).stem
    _check_target(target)
    weights = find_weights(options.weights)
    settings = CreationSettings(
        seed=options.seed,
        steps=options.steps,
        inversion_steps=options.inversion_steps,
        guidance=options.guidance,
        size=options.size,
    )
    with StageBar(hidden=options.quiet) as bar:
        bar("load", 0.0)
        pipeline = load_pipeline(weights)
        output = create_avatar(pipeline, options.files, settings, bar)
    with new_folder(target) as folder:
        save_results(output, folder, settings, weights_revision(weights))
    if not options.quiet:
        print(target)
    return 0


def _check_target(target: Path) -> None:
    """Refuse a place that cannot be written, or whose files are not ours to replace."""
    existing = next(folder for folder in (target, *target.parents) if folder.exists())
    if not existing.is_dir():
        raise InvalidInputError(f"'{existing}' is a file: choose another folder with --output.")
    if not os.access(existing, os.W_OK):
        raise InvalidInputError(f"'{existing}' cannot be written: choose another folder with --output.")
    if existing == target and not {path.name for path in target.iterdir()} <= ResultFiles.names():
        raise InvalidInputError(f"'{target}' has other files in it: choose another folder with --output.")


class StageBar:
    """A progress callback that draws one line a stage on stderr.

    On a terminal the line of the running stage is redrawn in place; elsewhere each stage is written once,
    when it is done, so that logs stay short.
    """

    def __init__(self, hidden: bool = False):
        self._hidden = hidden
        self._live = sys.stderr.isatty()
        self._stage: str | None = None
        self._started = 0.0

    def __enter__(self) -> "StageBar":
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is None:
            self._finish()
        elif self._live and self._stage and not self._hidden:
            print(file=sys.stderr)  # leave the unfinished line as it is; the error comes below it

    def __call__(self, stage: str, fraction: float) -> None:
        if stage != self._stage:
            self._finish()
            self._stage, self._started = stage, time.monotonic()
        if self._live:
            filled = round(min(max(fraction, 0.0), 1.0) * BAR_CELLS)
            self._write(f"\r  {stage_title(stage):<22} {'━' * filled}{'─' * (BAR_CELLS - filled)}")

    def _finish(self) -> None:
        if self._stage:
            seconds = time.monotonic() - self._started
            if self._live:
                self(self._stage, 1.0)
            self._write(
                f" {seconds:6.1f} s\n"
                if self._live
                else f"  {stage_title(self._stage):<22} {seconds:6.1f} s\n"
            )

    def _write(self, text: str) -> None:
        if not self._hidden:
            sys.stderr.write(text)
            sys.stderr.flush()


@dataclass(frozen=True)
class Command:
    """One word of the command line: its help, its options and what it does (returns the exit code)."""

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


COMMANDS = {
    "create": Command("make an avatar from a video or photos (the default)", _add_create_arguments, _create),
}
