"""What the capture says of a folder of clips and photos, a line each: `python benchmarks/inputs.py FOLDER [FOLDER ...]`.

Verdict, pictures used of those looked at, height of the face, seconds, and the advice; or the sentence with which a file
is refused. With `--like FILE`, for folders of the same recording stored in many ways: how far the phone texture is from
that of FILE, which shows what words do not, such as wrong colors or a face upside down. An exception that is not ours
ends the command.
"""

import argparse
import time
from pathlib import Path

SIZE = 512  # texels
SEEN = 0.5  # visibility from which on textures are compared


def main() -> None:
    from studio_avatar.capture import observe
    from studio_avatar.head.model import HeadModel
    from studio_avatar.imaging.native_logs import quiet_native_logs
    from studio_avatar.models import Registrar

    arguments = _arguments()
    files = [path for folder in arguments.folders for path in sorted(folder.iterdir()) if path.is_file()]
    head = HeadModel.from_pretrained("weights_card", subfolder="head")
    registrar = Registrar.from_pretrained("weights_card", subfolder="registrar")

    def look_at(path: Path):
        with quiet_native_logs():
            return observe(path, head, SIZE, registrar=registrar).texture

    like = look_at(arguments.like) if arguments.like else None
    print("| file | verdict | pictures | face [px] | ΔE2000 | seconds | what it says |")
    print("|---|---|---:|---:|---:|---:|---|")
    for path in files:
        begin = time.monotonic()
        verdict, pictures, height, difference, says = looked_at(lambda path=path: look_at(path), like)
        seconds = time.monotonic() - begin
        print(
            f"| {path.name} | {verdict} | {pictures} | {height} | {difference} | {seconds:.1f} | {says} |",
            flush=True,
        )


def looked_at(look, like=None) -> tuple[str, str, str, str, str]:
    """Verdict, pictures used, face height, difference from `like`, and words of what `look()` returns or refuses."""
    from studio_avatar.errors import StudioAvatarError

    try:
        texture = look()
    except StudioAvatarError as error:
        return "refused", "", "", "", f"{type(error).__name__}: {error}"
    report = texture.report
    pictures = f"{report.frames_used} of {report.frames_sampled}"
    height = f"{report.finding('face_height').value:.0f}"
    difference = "" if like is None else f"{_difference(texture, like):.1f}"
    return report.verdict, pictures, height, difference, " ".join(report.advice)


def _difference(texture, like) -> float:
    """Mean ΔE2000 of two phone textures where both are seen."""
    from studio_avatar.evaluation.metrics import skin_delta_e

    return skin_delta_e(texture.rgb, like.rgb, (texture.seen > SEEN) & (like.seen > SEEN))


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument(
        "--like", type=Path, metavar="FILE", help="the recording that the files are made from"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
