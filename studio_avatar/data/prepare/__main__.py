"""Pack both training domains: `python -m studio_avatar.data.prepare --data ../shared/data --out RUNS/data`.

The one file for a borrowed machine is made of them: `python -m studio_avatar.data.prepare pack --help`.
"""

import argparse
import sys
from pathlib import Path

from studio_avatar.data.prepare.pack import main as pack
from studio_avatar.data.prepare.sets import STAGES, prepare
from studio_avatar.errors import StudioAvatarError


def main(argv=None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["pack"]:
        return _reported(pack, argv[1:])
    parser = argparse.ArgumentParser(
        prog="python -m studio_avatar.data.prepare", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with portraits/ and studio/")
    parser.add_argument("--out", type=Path, required=True, help="folder for the packed sets")
    parser.add_argument(
        "--head", default="weights_card", help="folder or Hub id whose subfolder `head` has the head"
    )
    parser.add_argument(
        "--registrar",
        default="weights_card",
        help="folder or Hub id whose subfolder `registrar` has the capture's own",
    )
    parser.add_argument("--workers", type=int, default=2, help="processes, one core each; 1: this one")
    parser.add_argument("--variants", type=int, default=24, help="augmented textures a studio subject")
    parser.add_argument("--lights", type=int, default=4, help="simulated captures a training subject")
    parser.add_argument(
        "--fits", type=int, default=12, help="fitted captures a training subject, for the registrar"
    )
    parser.add_argument(
        "--everybody", action="store_true", help="with views: heads of both shape spaces, phones' lenses"
    )
    parser.add_argument("--texel-lights", type=int, default=100, help="the same in texture space")
    parser.add_argument(
        "--environments",
        type=Path,
        help="folder of .hdr or .exr panoramas that light the simulated captures, too",
    )
    parser.add_argument("--stage", choices=(*STAGES, "all"), default="all")
    options = parser.parse_args(argv)
    return _reported(prepare, options)


def _reported(work, options) -> int:
    try:
        work(options)
    except StudioAvatarError as error:
        print(f"prepare: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
