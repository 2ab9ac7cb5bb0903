"""docs/faces.jpg: how heads look and move, of the example and of held-out generated portraits.

    python -m tools.make_faces --data ../shared/data --cache RUNS/people

A row for each person: the photo, the face at rest from the front, in three-quarter view and in profile; four expressions.
`--people` chooses them, `--no-example` leaves the example out, whose capture takes longest.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from studio_avatar.avatar.preview import Scene, studio_light
from studio_avatar.errors import StudioAvatarError
from studio_avatar.evaluation.hair import load_people, people_parser, portrait, shrunk_capture
from studio_avatar.results.settings import PRESETS

PEOPLE = ("f036", "m032", "f084", "m098", "f000", "m080")  # generated (CC0)
TILE = (200, 250)  # width, height [px]
CAPTION = 22  # pixels of the line of captions
SIZE = 1024  # texels
SMILE = {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "cheekSquintLeft": 0.4, "cheekSquintRight": 0.4}
SHOWN = (  # caption, expression, turn of the head in degrees
    ("at rest", {}, 0.0),
    ("three-quarter view", {}, 40.0),
    ("profile", {}, 90.0),
    ("blink", {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}, 0.0),
    ("smile", SMILE, 0.0),
    ("jaw open", {"jawOpen": 0.7}, 0.0),
    ("look up", {"eyeLookUpLeft": 1.0, "eyeLookUpRight": 1.0}, 0.0),
)
ENLARGED = 1.6  # pictures are so much larger than their tiles, which show the face
MIDDLE, TURNED = (
    (0.5, 0.5),
    0.12,
)  # of the picture: the tiles' middle, and how far it moves with the face to the side


def row(photo: np.ndarray, points: np.ndarray, avatar) -> Image.Image:
    """A person: photo (H, W, 3) uint8 with landmarks (478, 2), and the avatar as `SHOWN` says."""
    tiles = [np.asarray(portrait(photo, points, TILE, 1.05))]
    for _, expression, turn in SHOWN:
        tiles.append(face(Scene(avatar, expression), avatar.texture, turn))
    return Image.fromarray(np.concatenate(tiles, axis=1))


def face(scene: Scene, texture: np.ndarray, turn: float) -> np.ndarray:
    """The face without most of skull and neck, (250, 200, 3) uint8."""
    size = np.rint(np.array(TILE) * ENLARGED).astype(int)
    picture = scene.view(texture, turn, studio_light(), tuple(size.tolist()))
    middle = size * (MIDDLE + np.array([TURNED * np.sin(np.radians(turn)), 0]))
    left, top = np.rint(middle - np.array(TILE) / 2).astype(int)
    return picture[top : top + TILE[1], left : left + TILE[0]]


def sheet(rows: list[Image.Image]) -> Image.Image:
    """The rows under a line of captions."""
    captions = ["photo", *(caption for caption, _, _ in SHOWN)]
    picture = Image.new("RGB", (len(captions) * TILE[0], CAPTION + len(rows) * TILE[1]), "white")
    draw = ImageDraw.Draw(picture)
    for number, caption in enumerate(captions):
        draw.text((number * TILE[0] + 8, 3), caption, fill=(60, 60, 60), font_size=14)
    for number, person in enumerate(rows):
        picture.paste(person, (0, CAPTION + number * TILE[1]))
    return picture


def faces(pipeline, captures, preset: str, tell=print) -> list[Image.Image]:
    """Rows of people; captures: name → function that gives capture, photo and landmarks."""
    rows, settings = [], PRESETS[preset].pipeline_arguments() | {"output_size": SIZE}
    for name, load in captures.items():
        capture, photo, points = load()
        avatar = pipeline(capture=shrunk_capture(capture, SIZE), **settings).avatar
        rows.append(row(photo, points, avatar))
        tell(name)
    return rows


def main(arguments=None) -> int:
    parser = people_parser(
        __doc__, Path("docs/faces.jpg"), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", nargs="+", default=PEOPLE, help="names of held-out generated portraits")
    options = parser.parse_args(arguments)
    try:
        pipeline, captures = load_people(options, options.people)
        rows = faces(pipeline, captures, options.preset, lambda line: print(line, flush=True))
    except StudioAvatarError as error:
        print(error, file=sys.stderr)
        return 2
    sheet(rows).save(options.picture, quality=86)
    return 0


if __name__ == "__main__":
    sys.exit(main())
