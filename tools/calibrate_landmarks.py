"""Measure how the landmark detector errs on heads whose truth is known.

`python -m tools.calibrate_landmarks --prepared DIR --out studio_avatar/capture/detection/landmark_errors.safetensors`

Random heads with blends of two skins of the prepared studio set are rendered from all sides, and the detected landmarks
are compared with the true ones. What repeats over heads at a given yaw and pitch is the bias; what is left is described
by its principal components (neighboring landmarks err together) and the rest. Rooms and phones are simple here (a lamp
and light from all around, a little noise): what the detector makes of a head depends on its shape far more than on them.
Validation and held-out people are left out.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from studio_avatar.capture.detection.landmark_errors import LandmarkErrors, pose_terms, upright
from studio_avatar.capture.detection.landmarks import Face, FaceLandmarker
from studio_avatar.data.simulate.room import direction
from studio_avatar.data.simulate.simulation import (
    EVERYBODY,
    HEAD_HEIGHT,
    MAKEHUMAN,
    Population,
    sample_expression,
    sample_identity,
    shaped_mesh,
)
from studio_avatar.head.landmark_ids import NUM_SURFACE_LANDMARKS
from studio_avatar.rendering import Camera, Lamp, Light, look_at, render

PICTURE = (384, 512)  # pixels; the detector itself looks at 256
HEAD_PX = 283  # chin to crown
MAX_YAW_DEG, MAX_PITCH_DEG, ROLL_DEG = 52.0, 20.0, 4.0
NOISE = 0.01
NUM_COMPONENTS = 24
WRONG = 0.12  # over face height: a mean error of this size is no face at all


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--prepared", type=Path, required=True, help="folder with studio.safetensors and studio.json"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--heads", type=int, default=1500)
    parser.add_argument("--everybody", action="store_true", help="heads of both shape spaces, phones' lenses")
    parser.add_argument("--head", default="weights_card", help="folder or Hub id with the subfolder `head`")
    options = parser.parse_args(argv)
    from studio_avatar.head.model import HeadModel

    head = HeadModel.from_pretrained(options.head, subfolder="head")
    skins = _skins(options.prepared)
    open_sky = shaped_mesh(head, np.zeros(head.config.num_identity, np.float32), _resting(head)).occlusion
    population, found = EVERYBODY if options.everybody else MAKEHUMAN, []
    with FaceLandmarker() as landmarker:
        for number in range(options.heads):
            rng = np.random.default_rng([2, number])
            picture, truth = photographed(head, skins, open_sky, rng, population)
            faces = landmarker.detect(picture)
            if (
                faces
                and np.abs(faces[0].points[:NUM_SURFACE_LANDMARKS] - truth).mean()
                < WRONG * faces[0].height_px
            ):
                found.append((faces[0], truth))
    summarize(*zip(*found)).save(options.out)
    print(f"{len(found)} faces on {options.heads} pictures")


def photographed(
    head, skins: np.ndarray, open_sky: np.ndarray, rng: np.random.Generator, population: Population
) -> tuple[np.ndarray, np.ndarray]:
    """A picture (H, W, 3) uint8 sRGB of a random head, and its true landmarks (468, 2) pixels.

    skins: (N, S, S, 3) uint8; open_sky: (V,) ambient occlusion, about the same on every head.
    """
    import torch

    identity = sample_identity(rng, head.config.num_identity, population)
    mesh = shaped_mesh(head, identity, sample_expression(rng, list(head.config.expression_names)), open_sky)
    one, other = skins[rng.choice(len(skins), 2, replace=False)].astype(np.float32) / 255
    share, camera = np.float32(rng.random()), _camera(rng, population)
    background = np.tile(rng.uniform(0.05, 0.95, 3).astype(np.float32), (*camera.size[::-1], 1))
    shown = render(mesh, share * one + (1 - share) * other, camera, _light(rng), background=background).rgb
    noisy = shown + rng.normal(0, NOISE, shown.shape)
    truth = camera.project(head.landmarks(torch.from_numpy(mesh.vertices)).numpy())
    return np.rint(255 * np.clip(noisy, 0, 1)).astype(np.uint8), truth


def _resting(head) -> np.ndarray:
    return np.zeros(len(head.config.expression_names), np.float32)


def _skins(prepared: Path) -> np.ndarray:
    """(N, S, S, 3) uint8 of the training people, half the size they are stored in."""
    from safetensors import safe_open

    items = json.loads((prepared / "studio.json").read_text())["items"]
    with safe_open(prepared / "studio.safetensors", "np") as file:
        stored = file.get_slice("rgb")
        return np.stack([stored[i][::2, ::2] for i, item in enumerate(items) if item["split"] == "train"])


def _camera(rng: np.random.Generator, population: Population) -> Camera:
    yaw, pitch = rng.uniform(-1, 1, 2) * (MAX_YAW_DEG, MAX_PITCH_DEG)
    focal_px = (
        rng.uniform(*population.focal) * 1.25 * max(PICTURE)
    )  # phones crop nothing, here only the head is drawn
    distance = HEAD_HEIGHT * focal_px / HEAD_PX
    target = rng.normal((0.0, -0.01, 0.03), 0.01)
    roll = np.radians(rng.normal(0, ROLL_DEG))
    return look_at(target + direction(yaw, pitch) * distance, target, focal_px, PICTURE, roll)


def _light(rng: np.random.Generator) -> Light:
    """White light from all around and a lamp somewhere in front, together about as bright as they should be."""
    towards = rng.normal(0, 1, 3)
    towards[2] = abs(towards[2]) + 0.3
    around = rng.uniform(0.35, 1.0)
    strength = 1.5 * (1.1 - around) * rng.uniform(0.7, 1.2)
    lamp = Lamp(tuple(towards / np.linalg.norm(towards)), (strength,) * 3, spread=0.3, shadow=False)
    return replace(Light.even(around * rng.uniform(0.7, 1.1)), lamps=(lamp,))


def summarize(faces: Sequence[Face], truths: Sequence[np.ndarray]) -> LandmarkErrors:
    """Bias by pose, principal components of the rest, and what those leave."""
    errors = np.stack(
        [
            upright(f, f.points[:NUM_SURFACE_LANDMARKS] - truth) / f.height_px
            for f, truth in zip(faces, truths)
        ]
    )
    terms = np.stack([pose_terms(face) for face in faces])  # (N, terms)
    bias = np.linalg.lstsq(terms, errors.reshape(len(errors), -1), rcond=None)[0]
    rest = errors.reshape(len(errors), -1) - terms @ bias
    # Wild detections must not shape the components.
    sane = np.square(rest).mean(1) < 9.0 * np.median(np.square(rest).mean(1))
    _, spread, axes = np.linalg.svd(rest[sane], full_matrices=False)
    components = axes[:NUM_COMPONENTS] * spread[:NUM_COMPONENTS, None] / np.sqrt(sane.sum())
    left = rest[sane] - rest[sane] @ axes[:NUM_COMPONENTS].T @ axes[:NUM_COMPONENTS]
    shape = (-1, NUM_SURFACE_LANDMARKS, 2)
    return LandmarkErrors(
        bias=bias.reshape(shape).astype(np.float32),
        components=components.reshape(shape).astype(np.float32),
        sigma=np.sqrt(np.square(left).reshape(shape).mean((0, 2))).astype(np.float32),
    )


if __name__ == "__main__":
    main()
