"""What the capture says of a folder of clips and photos, a line each: `python benchmarks/inputs.py FOLDER [FOLDER ...]`.

Verdict, pictures used of those looked at, height of the face, seconds, and the advice; or the sentence with which a file
is refused. An exception that is not ours ends the command.
"""

import sys
import time
from pathlib import Path


def main() -> None:
    from studio_avatar.capture import observe
    from studio_avatar.head.model import HeadModel
    from studio_avatar.imaging.native_logs import quiet_native_logs
    from studio_avatar.models import Registrar

    if len(sys.argv) < 2:
        raise SystemExit("Name the folders whose clips and photos to look at.")
    files = [path for folder in sys.argv[1:] for path in sorted(Path(folder).iterdir()) if path.is_file()]
    head = HeadModel.from_pretrained("weights_card", subfolder="head")
    registrar = Registrar.from_pretrained("weights_card", subfolder="registrar")
    print("| file | verdict | pictures | face [px] | seconds | what it says |\n|---|---|---:|---:|---:|---|")
    for path in files:
        begin = time.monotonic()
        with quiet_native_logs():
            verdict, pictures, height, says = looked_at(
                lambda path=path: observe(path, head, 512, registrar=registrar)
            )
        print(
            f"| {path.name} | {verdict} | {pictures} | {height} | {time.monotonic() - begin:.1f} | {says} |",
            flush=True,
        )


def looked_at(observe) -> tuple[str, str, str, str]:
    """Verdict, pictures used, face height and words of what `observe()` returns or refuses."""
    from studio_avatar.errors import StudioAvatarError

    try:
        report = observe().texture.report
    except StudioAvatarError as error:
        return "refused", "", "", f"{type(error).__name__}: {error}"
    values = {finding.name: finding.value for finding in report.findings}
    pictures = f"{report.frames_used} of {report.frames_sampled}"
    return report.verdict, pictures, f"{values['face_height']:.0f}", " ".join(report.advice)


if __name__ == "__main__":
    main()
