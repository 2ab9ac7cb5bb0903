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
from studio_avatar.errors import InvalidInputError, StudioAvatarError
from studio_avatar.evaluation.hair import example, load_capture, shrunk_capture
from studio_avatar.evaluation.people import held_out
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
    tiles = [portrait(photo, points)]
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


def portrait(photo: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The part of the photo around the face, (250, 200, 3) uint8."""
    low, high = points[:468].min(0), points[:468].max(0)
    reach = (high - low)[1] * 1.05
    half = reach * np.array([TILE[0] / TILE[1], 1])
    middle = (low + high) / 2 - (0, 0.1 * reach)
    crop = Image.fromarray(photo).crop(tuple(np.rint([*(middle - half), *(middle + half)]).astype(int)))
    return np.asarray(crop.resize(TILE, Image.Resampling.LANCZOS))


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
    from studio_avatar.pipeline import StudioTexturePipeline
    from studio_avatar.weights.locate import find_weights

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with portraits_generated/")
    parser.add_argument("--cache", type=Path, help="folder that keeps the captures for the next time")
    parser.add_argument("--weights", help="weights folder or Hub id (default: the embedded weights)")
    parser.add_argument("--preset", choices=list(PRESETS), default="standard")
    parser.add_argument("--people", nargs="+", default=PEOPLE, help="names of held-out generated portraits")
    parser.add_argument("--no-example", action="store_true", help="leave the example out")
    parser.add_argument("--picture", type=Path, default=Path("docs/faces.jpg"))
    options = parser.parse_args(arguments)
    try:
        pipeline = StudioTexturePipeline.from_pretrained(find_weights(options.weights))
        pipeline.set_progress_bar_config(disable=True)
        paths = {path.stem: path for path in held_out(options.data)["generated"]}
        for name in options.people:
            if name not in paths:
                raise InvalidInputError(f"{options.data} lacks the held-out generated portrait {name}.")
        captures = {
            name: lambda name=name: load_capture(paths[name], pipeline, options.cache)
            for name in options.people
        }
        if not options.no_example:
            captures["example"] = lambda: example(pipeline)
        rows = faces(pipeline, captures, options.preset, lambda line: print(line, flush=True))
    except StudioAvatarError as error:
        print(error, file=sys.stderr)
        return 2
    sheet(rows).save(options.picture, quality=86)
    return 0


if __name__ == "__main__":
    sys.exit(main())
