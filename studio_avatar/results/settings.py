"""From paths and settings to a pipeline call: what the command line and the web demo share."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from studio_avatar.errors import InvalidInputError, MediaNotFoundError

STAGE_TITLES = {
    "load": "Loading the networks",
    "landmarks": "Finding the face",
    "fit": "Fitting the head",
    "unwrap": "Unwrapping",
    "fuse": "Fusing the views",
    "capture": "Capturing",
    "invert": "Inverting",
    "studio": "Relighting",
    "upscale": "Adding detail",
    "avatar": "Building the head",
    "save": "Saving",
}

ProgressCallback = Callable[[str, float], None]
PreviewCallback = Callable[[str, object], None]  # see `StudioTexturePipeline.__call__`


@dataclass(frozen=True)
class CreationSettings:
    """What a user can choose; the defaults are the pipeline's own."""

    seed: int = 0  # same seed, machine and weights: same bytes
    steps: int = 4  # denoising steps of the upscaler
    inversion_steps: int = 30  # optimiser steps that refine W+
    guidance: float = 0.0  # pull towards the capture's image gradients, 0 to 1
    size: int = 1024  # width and height of the texture [texels]
    skin_tone: float | None = None  # individual typology angle that the user gives [degrees]; None: estimated

    def pipeline_arguments(self) -> dict:
        """The settings under the names that `StudioTexturePipeline.__call__` gives them."""
        return {
            "seed": self.seed,
            "num_inference_steps": self.steps,
            "num_inversion_steps": self.inversion_steps,
            "gradient_guidance_scale": self.guidance,
            "output_size": self.size,
            "skin_tone": self.skin_tone,
        }


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
):
    """Run the pipeline on one person's video or photos.

    Args:
        pipeline: a loaded `StudioTexturePipeline`.
        paths: one video, or one or more photos.
        settings: seed, steps, size.
        progress: called with (stage name, fraction of that stage in [0, 1]).
        preview: called with "phone_texture" and "base" and the texture as soon as it exists.
        capture: the finished `PhoneTexture` of `paths`, at the size of `settings`; they are not read again then.
    Returns:
        `StudioTextureOutput` with an avatar and a capture.
    Raises:
        StudioAvatarError: the input cannot become an avatar; the message says what to do.
    """
    return pipeline(
        **(capture_arguments(paths) if capture is None else {"capture": capture}),
        **settings.pipeline_arguments(),
        progress_callback=progress,
        preview_callback=preview,
    )


def load_pipeline(weights: str):
    """Load `StudioTexturePipeline` from a folder or Hub repository onto the GPU if there is one."""
    import torch

    from studio_avatar.pipeline.studio_texture_pipeline import StudioTexturePipeline

    pipeline = StudioTexturePipeline.from_pretrained(weights)
    pipeline.set_progress_bar_config(disable=True)  # progress is shown through the callback
    return pipeline.to("cuda" if torch.cuda.is_available() else "cpu")
