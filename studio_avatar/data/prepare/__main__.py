"""Pack both training domains: `python -m studio_avatar.data.prepare --data ../shared/data --out RUNS/data`.

The one file for a borrowed machine is made of them: `python -m studio_avatar.data.prepare pack --help`.
"""

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from studio_avatar.data.prepare.config import PrepareConfig
from studio_avatar.data.prepare.pack import main as pack
from studio_avatar.data.prepare.sets import STAGES, prepare, sets_of
from studio_avatar.errors import StudioAvatarError


def main(argv=None) -> int:
    """Run the command line; 2 and one sentence on stderr when something that was given cannot work."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        if argv[:1] == ["pack"]:
            pack(argv[1:])
        else:
            options = vars(_parser().parse_args(argv))
            stage = options.pop("stage")
            prepare(PrepareConfig(**options), sets_of(stage))
    except StudioAvatarError as error:
        print(f"prepare: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    """Its options are the fields of `PrepareConfig`, which has their defaults, and the stage."""
    parser = argparse.ArgumentParser(
        prog="python -m studio_avatar.data.prepare", description=__doc__.splitlines()[0]
    )
    default = {field.name: field.default for field in fields(PrepareConfig)}

    def add(option, **given):
        name = option.removeprefix("--").replace("-", "_")
        parser.add_argument(option, default=default[name], **given)

    parser.add_argument("--data", type=Path, required=True, help="folder with portraits/ and studio/")
    parser.add_argument("--out", type=Path, required=True, help="folder for the packed sets")
    add("--head", help="folder or Hub id whose subfolder `head` has the head")
    add("--registrar", help="folder or Hub id whose subfolder `registrar` has the capture's own")
    add("--workers", type=int, help="processes, one core each; 1: this one")
    add("--variants", type=int, help="augmented textures a studio subject")
    add("--lights", type=int, help="simulated captures a training subject")
    add("--fits", type=int, help="fitted captures a training subject, for the registrar")
    add("--everybody", action="store_true", help="with views: heads of both shape spaces, phones' lenses")
    add("--texel-lights", type=int, help="the same in texture space")
    add(
        "--environments",
        type=Path,
        help="folder of .hdr or .exr panoramas that light the simulated captures, too",
    )
    parser.add_argument("--stage", choices=(*STAGES, "all"), default="all")
    return parser


if __name__ == "__main__":
    sys.exit(main())
