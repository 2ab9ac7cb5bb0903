"""A finished head that the page can show at once, to be made again after new weights.

    python -m tools.make_example_head examples/selfie.mp4 --out examples/heads/example
    python -m tools.make_example_head examples/person_1.jpg --hair auto --out examples/heads/person_1

Writes what the viewer reads: `avatar.glb` (the light head, textures of 512²), `phone.jpg` (the phone texture as the
head wears it) and `seen.png` (white: seen by the phone), all as the page makes them of the same capture; and
`picture.jpg`, which stands on the head's button.
"""

import argparse
from pathlib import Path

from PIL import Image

from studio_avatar.imaging.image_io import unit_to_uint8
from studio_avatar.results.settings import CreationSettings, create_avatar, load_pipeline

SIDE, QUALITY = 512, 85
PICTURE_PIXELS, YAW_DEGREES = 192, -18.0


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("capture", type=Path, help="a video or photo")
    parser.add_argument("--out", type=Path, required=True, help="folder for the four files")
    parser.add_argument("--hair", default="none", help="style, auto or none")
    parser.add_argument("--weights", default="weights_card", help="folder or Hub id")
    options = parser.parse_args(argv)
    pipeline = load_pipeline(options.weights)
    output = create_avatar(pipeline, [str(options.capture)], CreationSettings(hair=options.hair))
    phone = pipeline.build_avatar(output.capture, output.capture.rgb, hair="none").texture
    options.out.mkdir(parents=True, exist_ok=True)
    output.avatar.export(options.out / "avatar.glb", level="light")
    small(phone).save(options.out / "phone.jpg", quality=QUALITY)
    small(unit_to_uint8(output.provenance)).save(options.out / "seen.png")
    view = output.avatar.render(yaw=YAW_DEGREES, size=(PICTURE_PIXELS, PICTURE_PIXELS))
    Image.fromarray(view).save(options.out / "picture.jpg", quality=QUALITY)
    for path in sorted(options.out.iterdir()):
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def small(picture):
    """A uint8 array as a PIL image of `SIDE` pixels."""
    return Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
