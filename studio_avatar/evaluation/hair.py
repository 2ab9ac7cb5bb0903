"""Heads with hair beside the photos they were made of, and how well their outlines agree.

    python -m studio_avatar.evaluation.hair --data ../shared/data --cache RUNS/people

writes docs/heads.jpg: held-out generated portraits and the example, each as a photo and as the head from the front and in
three-quarter view; and prints for all of them, and for the other held-out portraits, real and generated, the intersection
over union of the head's silhouette with the segmented one, with hair and bald, and how far dlib's recognition network finds
the head, in the photo's view, from the photo, with hair and bald.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from studio_avatar.avatar.hair.outline import LONGEST
from studio_avatar.avatar.hair.views import HeadView, head_views
from studio_avatar.avatar.preview import BACKGROUND, Scene
from studio_avatar.capture.fitting.head_fit import HeadFit
from studio_avatar.capture.hair import find_hair
from studio_avatar.capture.phone_texture import PhoneTexture
from studio_avatar.capture.scene import measure_scene
from studio_avatar.errors import InvalidInputError, StudioAvatarError
from studio_avatar.head.geometry import geometry
from studio_avatar.head.landmark_ids import FACE_OVAL, NUM_SURFACE_LANDMARKS
from studio_avatar.rendering import Camera
from studio_avatar.results.settings import PRESETS

from .identity import FaceDescriptor
from .people import captured_parts, held_out

SHOWN = (
    "f000",
    "f036",
    "f048",
    "f084",
    "f018",
    "m032",
    "m080",
    "m098",
)  # generated people (CC0) in the picture
EXAMPLE = Path("examples/selfie.mp4")
TILE = (240, 300)  # width, height [px]
SIZE = 512  # texels
YAW = 40.0  # degrees, of the three-quarter view
BESIDE = tuple(round(255 * share) for share in BACKGROUND)  # where a photo ends


def silhouettes(view: HeadView, head, oval: np.ndarray, cover: np.ndarray | None) -> float:
    """Intersection over union of the model's head with the segmented one, in a small picture.

    Segmented: hair, the oval of the detected face, which ends at the middle of the forehead, and what lies between the two;
    down to the end of the model's neck. Ears and neck, which nobody segments, count where either has hair.

    Args:
        oval: (36, 2) small pixels. cover: (S, S) bool, the model's hair, or None for a bald head.
    """
    shape, hair = geometry(head), view.hair & view.inside
    mask = np.zeros(hair.shape, np.uint8)
    cv2.fillPoly(mask, [np.rint((oval - 0.5) * 16).astype(np.int32)], 1, shift=4)
    face = mask.astype(bool)
    below_hair, above_face = (np.maximum.accumulate(part, 0) for part in (hair, face[::-1]))
    segmented = hair | face | (below_hair & above_face[::-1] & face.any(0))
    worn = np.zeros_like(hair) if cover is None else cover
    open_question = np.isin(view.region, [shape.region("ears"), shape.region("neck")]) & ~segmented & ~worn
    model = (view.region >= 0) | worn
    row, column = np.indices(hair.shape)
    height = view.height(np.stack([column.ravel() + 0.5, row.ravel() + 0.5], 1)).reshape(hair.shape)
    counted = view.inside & ~open_question & (height > LONGEST)
    return float((segmented & model & counted).sum() / max(((segmented | model) & counted).sum(), 1))


def outline_agreement(head, capture: PhoneTexture, points: np.ndarray, worn, neutral) -> tuple[float, float]:
    """Intersection over union with hair and bald, in the most frontal picture; points: (478, 2) landmarks in it."""
    view = head_views(head, capture, neutral)[0]
    oval = (points[FACE_OVAL] - capture.hair.corner[0]) * capture.hair.scale[0]
    cover = None
    if worn.hair is not None:
        cover = view.covered(worn.hair.points)
    return silhouettes(view, head, oval, cover), silhouettes(view, head, oval, None)


def load_capture(path: Path, pipeline, cache: Path | None) -> tuple[PhoneTexture, np.ndarray, np.ndarray]:
    """A portrait's capture with its hair, the photo (H, W, 3) uint8 and its landmarks (478, 2)."""
    from studio_avatar.head.layout import region_mask

    parts, photo = captured_parts(path, pipeline, cache)
    fit = HeadFit(
        parts["identity"], parts["expression"], parts["rotation"], parts["translation"], float(parts["focal"]),
        photo.shape[1::-1], 0.0, 0.0, np.zeros(1, np.float32),
    )  # fmt: skip
    rgb, seen = (parts[key].astype(np.float32) / 255 for key in ("rgb", "seen"))
    scene = measure_scene(
        [photo], [parts["points"]], rgb, seen, region_mask(pipeline.head, len(seen), "face")
    )
    hair = find_hair([photo], [parts["points"]], fit.rotation, pipeline.hair_segmenter)
    return PhoneTexture(rgb, seen, fit, None, scene, hair), photo, parts["points"]


def portrait(photo: np.ndarray, points: np.ndarray, size: tuple[int, int], room: float) -> Image.Image:
    """The part of a photo (H, W, 3) uint8 around the face, scaled to `size` (width, height).

    points: (478, 2) landmarks in pixels. room: half the height of what is shown, over the height of the landmarks.
    """
    low, high = points[:NUM_SURFACE_LANDMARKS].min(0), points[:NUM_SURFACE_LANDMARKS].max(0)
    reach = (high - low)[1] * room
    middle = (low + high) / 2 - (0, 0.1 * reach)
    half = reach * np.array([size[0] / size[1], 1])
    left, top = (int(c) for c in np.rint(middle - half))
    tile = Image.new("RGB", tuple(int(c) for c in np.rint(2 * half)), BESIDE)
    tile.paste(Image.fromarray(photo), (-left, -top))
    return tile.resize(size, Image.Resampling.LANCZOS)


def tiles(photo: np.ndarray, points: np.ndarray, avatar) -> Image.Image:
    """Photo, front and three-quarter view in a row."""
    from studio_avatar.avatar.preview import studio_light

    row = Image.new("RGB", (3 * TILE[0], TILE[1]))
    row.paste(portrait(photo, points, TILE, 1.1), (0, 0))
    scene = Scene(avatar)
    for number, yaw in enumerate((0.0, YAW)):
        view = scene.view(avatar.texture, yaw, studio_light(), TILE)
        row.paste(Image.fromarray(view), ((number + 1) * TILE[0], 0))
    return row


def example(pipeline) -> tuple[PhoneTexture, np.ndarray, np.ndarray]:
    """As `load_capture`, of the simulated example's most frontal key frame."""
    from studio_avatar.capture import observe

    networks = {"registrar": pipeline.registrar, "hair_segmenter": pipeline.hair_segmenter}
    seen = observe(EXAMPLE, pipeline.head, size=1024, **networks)
    frame = seen.keyframes[seen.texture.hair.keyframe[0]]
    return seen.texture, frame.frame.rgb, frame.face.points


def likeness(describe: FaceDescriptor, photo: np.ndarray, points: np.ndarray, capture, avatar) -> float:
    """dlib's distance of a photo (H, W, 3) and the avatar in its view; points: (478, 2) landmarks in both."""
    fit = capture.fit
    expression = dict(zip(avatar.head.config.expression_names, fit.expression[0].tolist(), strict=True))
    camera = Camera(fit.focal_px, fit.rotation[0], fit.translation[0], fit.image_size)
    drawn = Scene(avatar, expression).photographed(avatar.texture, camera)
    return float(np.linalg.norm(describe(photo, points) - describe(drawn, points)))


def measure(pipeline, captures, preset: str, tell=print):
    """captures: name → function that gives capture, photo, landmarks. → rows (name, silhouette with hair, bald, distance to
    the photo with hair, bald), and the tiles of those in `SHOWN` and of the example."""
    rows, shown, describe = [], {}, FaceDescriptor()
    for name, load in captures.items():
        try:
            capture, photo, points = load()
        except StudioAvatarError as error:
            tell(f"{name}: {error}")
            continue
        if name in SHOWN or name == "example":
            settings = PRESETS[preset].pipeline_arguments()
            avatar = pipeline(
                capture=shrunk_capture(capture, SIZE), **settings | {"output_size": SIZE, "hair": "auto"}
            ).avatar
            shown[name] = tiles(photo, points, avatar)
        else:
            avatar = pipeline.build_avatar(capture, capture.rgb, hair="auto")
        share = outline_agreement(pipeline.head, capture, points, avatar.worn, avatar.full_mesh.vertices)
        bald = dataclasses.replace(avatar, worn=None)
        far = [likeness(describe, photo, points, capture, one) for one in (avatar, bald)]
        rows.append((name, *share, *far))
        style = avatar.hair.style if avatar.hair else f"none ({avatar.worn.reason})"
        tell(
            f"{name}: silhouette {share[0]:.3f}, bald {share[1]:.3f}; distance to the photo {far[0]:.3f}, "
            f"bald {far[1]:.3f}; hair {style}"
        )
    return rows, shown


def shrunk_capture(capture: PhoneTexture, size: int) -> PhoneTexture:
    """At `size` texels: as many as a picture can show."""
    small = {
        name: cv2.resize(getattr(capture, name), (size, size), interpolation=cv2.INTER_AREA)
        for name in ("rgb", "seen")
    }
    return dataclasses.replace(capture, **small)


def sheet(shown: dict[str, Image.Image]) -> Image.Image:
    """Three people a row."""
    picture = Image.new("RGB", (9 * TILE[0], -(-len(shown) // 3) * TILE[1]), "white")
    for number, row in enumerate(shown.values()):
        picture.paste(row, (number % 3 * 3 * TILE[0], number // 3 * TILE[1]))
    return picture


def people_parser(description: str, picture: Path, **more) -> argparse.ArgumentParser:
    """Options of the commands that draw heads of held-out generated portraits and of the example.

    picture: where it goes, if nothing else is said. more: for the parser.
    """
    parser = argparse.ArgumentParser(description=description, **more)
    parser.add_argument("--data", type=Path, required=True, help="folder with portraits_generated/")
    parser.add_argument("--cache", type=Path, help="folder that keeps the captures for the next time")
    parser.add_argument("--weights", help="weights folder or Hub id (default: the embedded weights)")
    parser.add_argument(
        "--preset", choices=list(PRESETS), default="standard", help="of the heads that are shown"
    )
    parser.add_argument(
        "--no-example", action="store_true", help="leave the example out, whose capture takes longest"
    )
    parser.add_argument("--picture", type=Path, default=picture)
    return parser


def load_people(options, wanted, also_others: bool = False):
    """The pipeline, and name → function that gives capture, photo and landmarks, as the options say.

    wanted: names of held-out generated portraits. also_others: after them all others.
    Raises:
        InvalidInputError: a portrait is not there. WeightsError: the weights cannot be loaded.
    """
    from studio_avatar.pipeline import StudioTexturePipeline
    from studio_avatar.weights.locate import find_weights

    pipeline = StudioTexturePipeline.from_pretrained(find_weights(options.weights))
    pipeline.set_progress_bar_config(disable=True)
    paths = {path.stem: path for people in held_out(options.data).values() for path in people}
    missing = [name for name in wanted if name not in paths]
    if missing:
        raise InvalidInputError(f"{options.data} lacks the held-out generated portrait {missing[0]}.")
    names = dict.fromkeys([*wanted, *(paths if also_others else ())])
    captures = {name: lambda name=name: load_capture(paths[name], pipeline, options.cache) for name in names}
    if not options.no_example:
        captures["example"] = lambda: example(pipeline)
    return pipeline, captures


def main(arguments=None) -> int:
    parser = people_parser(
        __doc__.splitlines()[0], Path("docs/heads.jpg"), prog="python -m studio_avatar.evaluation.hair"
    )
    parser.add_argument("--shown", action="store_true", help="only those in the picture")
    options = parser.parse_args(arguments)
    try:
        pipeline, captures = load_people(options, SHOWN, also_others=not options.shown)
        rows, shown = measure(pipeline, captures, options.preset, lambda line: print(line, flush=True))
    except StudioAvatarError as error:
        print(error, file=sys.stderr)
        return 2
    real = {path.stem for path in held_out(options.data)["portraits"]}
    for kind in ("real", "generated"):
        if group := [row for row in rows if (row[0] in real) == (kind == "real")]:
            haired, bald, near, far = np.array([row[1:] for row in group]).mean(0)
            print(
                f"mean of {len(group)} {kind}: silhouette {haired:.3f}, bald {bald:.3f}; "
                f"distance {near:.3f}, bald {far:.3f}"
            )
    sheet(shown).save(options.picture, quality=85)
    return 0


if __name__ == "__main__":
    sys.exit(main())
