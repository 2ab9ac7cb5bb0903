"""Photo examples of generated people, cut out of the held-out portraits of faker-js/assets-person-portrait (CC0).

    python -m tools.make_photo_examples --data ../shared/data --out examples

None of them was trained on, and none is a real person. Each is cut closer and written anew as a JPEG.
"""

import argparse
from pathlib import Path

from studio_avatar.data.prepare.sets import GENERATED_HELD_OUT_EVERY
from studio_avatar.errors import InvalidInputError

# name of the example → portrait, and the square that is cut out: left, top, side, as shares of the picture
PEOPLE = {
    "person_1.jpg": ("m020", (0.06, 0.02, 0.88)),
    "person_2.jpg": ("f018", (0.08, 0.0, 0.84)),
    "person_3.jpg": ("f048", (0.0, 0.0, 0.94)),
}
SIDE = 720


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with portraits_generated/")
    parser.add_argument("--out", type=Path, required=True, help="folder for the examples")
    options = parser.parse_args(argv)
    held_out = sorted((options.data / "portraits_generated").glob("*.webp"))[::GENERATED_HELD_OUT_EVERY]
    portraits = {path.stem: path for path in held_out}
    for name, (portrait, square) in PEOPLE.items():
        if portrait not in portraits:
            raise InvalidInputError(f"Portrait {portrait} is not among the held-out ones of {options.data}.")
        cut_out(portraits[portrait], square).save(options.out / name, quality=88)
        print(options.out / name)


def cut_out(path: Path, square: tuple[float, float, float]):
    """A square of a picture, `SIDE` pixels wide, as a PIL image."""
    from PIL import Image

    with Image.open(path) as picture:
        left, top, side = (share * picture.width for share in square)
        box = (left, top, left + side, top + side)
        return picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS, box=box)


if __name__ == "__main__":
    main()
