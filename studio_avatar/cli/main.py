"""Command line: `studio-avatar selfie.mp4 -o out/` writes one person's avatar into out/selfie/.

What each command takes and does is in its module of `studio_avatar.cli.commands`.
"""

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from studio_avatar.errors import StudioAvatarError, first_line
from studio_avatar.version import __version__

from .commands import COMMANDS, DEFAULT_COMMAND

USER_ERROR_EXIT = 2  # as argparse
FAULT_EXIT = 70  # EX_SOFTWARE of sysexits.h: the fault is ours
INTERRUPTED_EXIT = 130  # 128 + SIGINT, as shells have it
TRACEBACK_VARIABLE = "STUDIO_AVATAR_TRACEBACK"  # set: show where in the code it failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; an error is one sentence on stderr, no traceback."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    dashed = next((name for name in arguments if name.startswith("-") and Path(name).is_file()), None)
    if dashed:
        return _refuse(f"'{dashed}' begins like an option: write ./{dashed} if you mean the file.")
    options = _parser().parse_args(_with_command(arguments))
    try:
        return COMMANDS[options.command].run(options)
    except StudioAvatarError as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(_os_sentence(error))
    except KeyboardInterrupt:
        print("\nstudio-avatar: stopped; nothing was written.", file=sys.stderr)
        return INTERRUPTED_EXIT
    except Exception as error:
        # A fault of ours, or a library's: the user gets a sentence with a next step all the same.
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        said = f"{type(error).__name__}: {first_line(error, 'no reason given')}"
        _refuse(
            f"This should not have happened ({said}). Nothing was written. Please try another file or other options; with "
            f"{TRACEBACK_VARIABLE}=1 the same command shows what a report needs."
        )
        return FAULT_EXIT


def _os_sentence(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "The disk is full: free some space, or choose another folder with --output."
    reason = error.strerror or str(error).strip() or type(error).__name__
    return (
        f"Cannot read or write '{error.filename}': {reason}."
        if error.filename
        else f"Cannot go on: {reason}."
    )


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
        command.add_arguments(commands.add_parser(name, help=command.HELP, description=command.HELP))
    return parser
