"""What a user can choose, declared once, and from paths and settings to a pipeline call."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import get_args

from studio_avatar.errors import InvalidInputError, MediaNotFoundError

STAGE_TITLES = {
    "load": "Loading the networks",
    "landmarks": "Finding the face",
    "fit": "Fitting the head",
    "unwrap": "Unwrapping",
    "fuse": "Fusing the views",
    "capture": "Capturing",
    "invert": "Inverting",
    "studio": "Studio base",
    "relight": "Relighting",
    "upscale": "Adding detail",
    "avatar": "Building the head",
    "save": "Saving",
    "export": "Writing files",
}

# The styles of the weights: MakeHuman's by its names, and our own short ones.
HAIR = (
    "auto", "afro01", "bob01", "bob02", "braid01", "crop01", "curls01", "fringe01", "long01", "ponytail01", "short01",
    "short02", "short03", "short04", "slick01", "swept01", "none",
)  # fmt: skip

SHAPES = ("arkit", "arkit+oculus")  # of the head's expressions; see `studio_avatar.avatar.shapes.visemes`
RIGS = ("none", "mixamo")

ProgressCallback = Callable[[str, float], None]
PreviewCallback = Callable[[str, object], None]  # see `StudioTexturePipeline.__call__`


@dataclass(frozen=True)
class Setting:
    """Everything that is said about one field of `CreationSettings`.

    The options of the command line and of batch, the page's controls and the API's parameters are made from it: a new
    setting is a new field and the place that uses it.

    Attributes:
        name: of the field, hence of the option and of the API's parameter.
        type: int, float or str.
        default: None where the setting may stay unset.
        argument: its name at `StudioTexturePipeline.__call__`.
        label: what the page calls it.
        help: half a sentence that follows the option in `--help`; the page shows it as a sentence.
        limits: (lowest, highest) that the API takes, None where the pipeline's own check says more.
        possible: (lowest, highest, multiple) that any weights can work with, so that others are refused before they load.
        slider: (lowest, highest, step) of the page's slider.
        choices: values that the page offers instead of a slider; of texts, there are no others.
        metavar: what the value is, for `--help`.
        pattern: regular expression of texts that are no choices.
        in_presets: whether a preset of the page sets it.
        unset: (label, help) of the page's tick without which an unset setting stays so, and where its slider starts.
    """

    name: str
    type: type
    default: float | str | None
    argument: str
    label: str
    help: str
    limits: tuple[float | None, float | None] = (None, None)
    possible: tuple[float | None, float | None, int | None] = (None, None, None)
    slider: tuple[float, float, float] | None = None
    choices: tuple[int | str, ...] = ()
    metavar: str | None = None
    pattern: str | None = None
    in_presets: bool = False
    unset: tuple[str, str, float] | None = None

    @property
    def option(self) -> str:
        """As typed on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def sentence(self) -> str:
        return f"{self.help[0].upper()}{self.help[1:]}."

    def read(self, value: object) -> float | str | None:
        """A value from outside, such as a slider's 4.0, as the field's type; None is the default."""
        return self.default if value is None else self.type(value)

    def check(self, value: float | str | None) -> None:
        """Raises `InvalidInputError` where no weights can work with a value, in the words of the command line."""
        lowest, highest, multiple = self.possible
        if self.pattern and not re.fullmatch(self.pattern, value):
            raise InvalidInputError(f"{self.option} is {self.help.split(';')[0]}, or auto, not {value!r}.")
        if lowest is not None and value < lowest:
            raise InvalidInputError(f"{self.option} must be at least {lowest}, not {value}.")
        if highest is not None and value > highest:
            raise InvalidInputError(f"{self.option} must be at most {highest}, not {value}.")
        if multiple is not None and value % multiple:
            raise InvalidInputError(f"{self.option} must be a multiple of {multiple}, not {value}.")


def _declare(default: float | str | None, **said) -> float | str:
    """A field of `CreationSettings`; see `Setting` for what can be said about it."""
    return field(default=default, metadata=said)


@dataclass(frozen=True)
class CreationSettings:
    """What a user can choose; the defaults are the pipeline's own."""

    seed: int = _declare(
        0, argument="seed", label="Seed", help="same capture, seed and machine, same result to the byte"
    )
    steps: int = _declare(
        4,
        argument="num_inference_steps",
        label="Upscaler steps",
        help="steps of the upscaler, which adds the fine detail",
        limits=(1, 8),
        possible=(1, None, None),
        slider=(1, 8, 1),
        in_presets=True,
    )
    inversion_steps: int = _declare(
        30,
        argument="num_inversion_steps",
        label="Inversion steps",
        help="steps that fit the networks to this face; more keeps it closer",
        limits=(0, 300),
        possible=(0, None, None),
        slider=(0, 300, 5),
        in_presets=True,
    )
    guidance: float = _declare(
        0.0,
        argument="gradient_guidance_scale",
        label="Guidance scale",
        help="pulls harder than the network does towards the capture's own pores and hairs, and its noise, 0 to 1",
        limits=(0, 1),
        possible=(0, 1, None),
        slider=(0, 1, 0.05),
        in_presets=True,
    )
    size: int = _declare(
        1024,
        argument="output_size",
        label="Output size",
        help="width and height of the texture in texels; 2048 takes four times as long",
        limits=(128, 2048),
        possible=(64, None, 64),
        choices=(512, 1024, 2048),
    )
    skin_tone: float | None = _declare(
        None,
        argument="skin_tone",
        label="Skin tone",
        help="individual typology angle of the skin from -60° to 65°: 55° very light, 41° light, 28° intermediate, 10° tan, "
        "-30° brown, below dark",
        slider=(-60, 65, 1),
        metavar="DEGREES",
        unset=(
            "Set the skin tone",
            "Otherwise it is estimated from the capture: a phone's exposure and white balance hide it.",
            30,
        ),
    )

    hair: str = _declare(
        "auto",
        argument="hair",
        label="Hair",
        help="auto takes the style most like the hair in the pictures, none leaves the head bare",
        choices=HAIR,
    )
    shapes: str = _declare(
        "arkit",
        argument="shapes",
        label="Shapes",
        help="expressions of the head: ARKit's 52, or with the 15 Oculus visemes and five more for lip-sync libraries",
        choices=SHAPES,
    )
    rig: str = _declare(
        "none",
        argument="rig",
        label="Skeleton",
        help="bones in the GLB under Mixamo's names, which neck, head and eyes follow",
        choices=RIGS,
    )
    hair_color: str = _declare(
        "auto",
        argument="hair_color",
        label="Hair color",
        help="red, green and blue of the hair, such as #3b2616; auto takes its color from the pictures",
        metavar="COLOR",
        pattern="auto|#[0-9a-fA-F]{6}",
    )

    def pipeline_arguments(self) -> dict:
        """The settings under the names that `StudioTexturePipeline.__call__` gives them."""
        return {setting.argument: getattr(self, name) for name, setting in SETTINGS.items()}

    @classmethod
    def chosen(cls, values: Mapping[str, object]) -> "CreationSettings":
        """Settings from values of any number type by name; what is missing or None has its default."""
        return cls(**{name: setting.read(values.get(name)) for name, setting in SETTINGS.items()})


def _setting(declared: Field) -> Setting:
    value_type, *_ = get_args(declared.type) or (declared.type,)  # the first of `float | None`
    return Setting(declared.name, value_type, declared.default, **declared.metadata)


SETTINGS = {declared.name: _setting(declared) for declared in fields(CreationSettings)}

# Turbo is for a first look; best takes about twice as long as standard.
PRESETS = {
    "turbo": CreationSettings(inversion_steps=10, steps=1),
    "standard": CreationSettings(),
    "best": CreationSettings(inversion_steps=100, steps=8),
}


def stage_title(stage: str) -> str:
    """What a user reads for a stage's name."""
    return STAGE_TITLES.get(stage, stage.replace("_", " ").capitalize())


def capture_arguments(paths: Sequence[str | os.PathLike]) -> dict:
    """The pipeline's `video=` or `images=` for one video, or one or more photos of one person.

    Raises:
        MediaNotFoundError: a path is no file.
        InvalidInputError: no path, several videos, or a video among photos.
        UnreadableMediaError: a file is empty, or a camera's raw data.
    """
    from studio_avatar.capture.io.animation import is_still

    if not paths:
        raise InvalidInputError("Give one video, or one or more photos of the same person.")
    for path in paths:
        if not Path(path).is_file():
            raise MediaNotFoundError(f"There is no file '{path}': check the path.")
    others = [path for path in paths if not is_still(Path(path))]
    if not others:
        return {"images": [str(path) for path in paths]}
    if len(paths) == 1:
        return {"video": str(paths[0])}
    raise InvalidInputError(
        f"'{Path(others[0]).name}' is not a photo: give one video alone, or several photos of the same person."
    )


def create_avatar(
    pipeline,
    paths: Sequence[str | os.PathLike],
    settings: CreationSettings,
    progress: ProgressCallback | None = None,
    preview: PreviewCallback | None = None,
    capture=None,
    found=None,
    inversion=None,
):
    """Run the pipeline on one person's video or photos.

    Args:
        pipeline: a loaded `StudioTexturePipeline`.
        paths: one video, or one or more photos.
        settings: seed, steps, size.
        progress: called with (stage name, fraction of that stage in [0, 1]).
        preview: called with "phone_texture", "base" and "relit" and the texture as soon as it exists.
        capture: the finished `PhoneTexture` of `paths`, at the size of `settings`; they are not read again then.
        found: instead, the `FoundPerson` of `paths`, as from `load_and_find`; they are not read again either.
        inversion: that of an earlier output for the same paths, size and inversion steps.
    Returns:
        `StudioTextureOutput` with an avatar and a capture.
    Raises:
        StudioAvatarError: the input cannot become an avatar; the message says what to do.
    """
    if capture is not None:
        source = {"capture": capture}
    else:
        source = capture_arguments(paths) if found is None else {"video": found}
    output = pipeline(
        **source,
        **settings.pipeline_arguments(),
        inversion=inversion,
        progress_callback=progress,
        preview_callback=preview,
    )
    if found is not None:
        output.timings["capture"] += found.seconds
    return output


def load_and_find(
    weights: str, paths: Sequence[str | os.PathLike], progress: ProgressCallback, mirrored: bool = False
):
    """Load the networks while the person is looked for in the pictures, which needs none of them.

    mirrored: the pictures are stored as in a mirror, and are turned back.
    Returns:
        the `StudioTexturePipeline` and the `FoundPerson` for `create_avatar`.
    Raises:
        StudioAvatarError: the weights cannot be loaded, or nobody is found; the message says what to do.
    """
    from studio_avatar.capture import find_person

    (source,) = capture_arguments(paths).values()
    with ThreadPoolExecutor(1) as background:
        loading = background.submit(load_pipeline, weights)
        found = find_person(source, progress=progress, mirrored=mirrored)
        progress("load", 0.0)  # what is left of it
        return loading.result(), found


def load_pipeline(weights: str):
    """Load `StudioTexturePipeline` from a folder or Hub repository onto the GPU if there is one."""
    import torch

    from studio_avatar.pipeline.studio_texture_pipeline import StudioTexturePipeline

    pipeline = StudioTexturePipeline.from_pretrained(weights)
    pipeline.set_progress_bar_config(disable=True)  # progress is shown through the callback
    return pipeline.to("cuda" if torch.cuda.is_available() else "cpu")
