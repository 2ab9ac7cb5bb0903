"""Make and refresh a weights repository.

    python -m studio_avatar.hub export --runs RUNS --out weights_card     new weights from the stages' run folders
    python -m studio_avatar.hub code --out weights_card                   remote code, index and SHA-256 list
    python -m studio_avatar.hub card --out weights_card                   the evaluation's figures in the model card
    python -m studio_avatar.hub variants --weights weights_card --out F   float32 and float16 files of the same weights

`studio-avatar publish` uploads.
"""

import argparse
import sys
from pathlib import Path

from studio_avatar.errors import StudioAvatarError

from .card import CARD_FILE, refresh_card
from .export import export, write_variants
from .repository import complete_repository


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        run(options)
    except StudioAvatarError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m studio_avatar.hub",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=("export", "code", "card", "variants"))
    parser.add_argument("--runs", type=Path, help="folder with the finished runs phone, studio and upscaler")
    parser.add_argument(
        "--weights", type=Path, default=Path("weights_card"), help="folder to make variants of"
    )
    parser.add_argument("--evaluation", type=Path, default=Path("docs/evaluation.json"))
    parser.add_argument("--out", type=Path, default=Path("weights_card"))
    options = parser.parse_args(arguments)
    if options.action == "export" and options.runs is None:
        parser.error("export needs --runs")
    if options.action == "variants" and options.out.resolve() == options.weights.resolve():
        parser.error("variants needs an --out of its own")
    return options


def run(options: argparse.Namespace) -> None:
    if options.action == "export":
        export(options.runs, options.out)
    elif options.action == "code":
        complete_repository(options.out)
    elif options.action == "card":
        refresh_card(options.out / CARD_FILE, options.evaluation)
    else:
        write_variants(options.weights, options.out)


if __name__ == "__main__":
    raise SystemExit(main())
