"""The commands of `studio-avatar`, one module each.

A command is a module with three names: `HELP`, one line for the list of commands; `add_arguments(parser)`; and
`run(options) -> int`, the exit code, which raises `StudioAvatarError` for what the user can mend. Modules import
torch, gradio and the like inside `run`: the command line must answer `--help` and a typing error at once.
"""

from types import ModuleType

from studio_avatar.cli.commands import batch, capture, create, demo, publish, resample

COMMANDS: dict[str, ModuleType] = {
    "create": create,
    "capture": capture,
    "batch": batch,
    "demo": demo,
    "publish": publish,
    "resample": resample,
}
DEFAULT_COMMAND = "create"
