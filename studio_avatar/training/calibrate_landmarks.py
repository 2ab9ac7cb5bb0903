"""Measure how the landmark detector errs on heads whose truth is known.

`python -m studio_avatar.training.calibrate_landmarks --prepared DIR --out studio_avatar/capture/landmark_errors.npz`

Random heads with the skins of the prepared studio set are photographed from all sides by the simulator, and the
detected landmarks are compared with the true ones. What repeats over heads at a given yaw and pitch is the bias; what
is left is described by its principal components (neighbouring landmarks err together) and the rest.
The 24 subjects that benchmarks/capture.py films are left out.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from studio_avatar.capture.landmark_errors import LandmarkErrors, pose_terms, upright
from studio_avatar.capture.landmarks import NUM_SURFACE_LANDMARKS, Face, FaceLandmarker
from studio_avatar.rendering import look_at
from studio_avatar.training.phone_camera import expose
from studio_avatar.training.simulate import (
    HEAD_HEIGHT,
    phone_for,
    photograph,
    sample_expression,
    sample_scene,
)

BENCHMARK_SUBJECTS = 24
PICTURE = (360, 640)  # pixels; the detector itself looks at 256
MAX_YAW_DEG, MAX_PITCH_DEG, ROLL_DEG = 55.0, 20.0, 6.0
NUM_COMPONENTS = 24
WRONG = 0.12  # over face height: a mean error of this size is no face at all


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prepared", type=Path, required=True, help="folder with studio.safetensors and studio.json")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--heads", type=int, default=300)
    parser.add_argument("--views", type=int, default=3, help="photos of each head")
    parser.add_argument("--head", default="weights_card", help="folder or Hub id with the subfolder `head`")
    options = parser.parse_args()
    from studio_avatar.head.model import HeadModel

    head = HeadModel.from_pretrained(options.head, subfolder="head")
    faces, truths = [], []
    with FaceLandmarker() as landmarker:
        for number in range(options.heads):
            rng = np.random.default_rng([2, number])
            for face, truth in photographed(head, options.prepared, rng, options.views, landmarker):
                faces.append(face)
                truths.append(truth)
            if number % 20 == 19:
                summarise(faces, truths).save(options.out)
                print(f"{number + 1} heads, {len(faces)} faces", flush=True)


def photographed(head, prepared: Path, rng: np.random.Generator, views: int, landmarker: FaceLandmarker):
    """Detected faces and their true landmarks (468, 2) pixels, for one random head from random sides."""
    import torch

    texture = _texture(prepared, rng)
    names = list(head.config.expression_names)
    scene = sample_scene(head, texture, rng, sample_expression(rng, names), PICTURE)
    scene = replace(scene, glasses=None, strands=None)  # their landmarks would be guesses
    phone = phone_for(scene, rng, min(PICTURE))
    for _ in range(views):
        camera = _camera(rng)
        shot = photograph(scene, sample_expression(rng, names), camera, int(rng.integers(2**31)))
        found = landmarker.detect(expose(shot.linear, phone, rng))
        truth = camera.project(head.landmarks(torch.from_numpy(shot.vertices)).numpy())
        if found and np.abs(found[0].points[:NUM_SURFACE_LANDMARKS] - truth).mean() < WRONG * found[0].height_px:
            yield found[0], truth


def _texture(prepared: Path, rng: np.random.Generator) -> np.ndarray:
    from safetensors import safe_open

    count = len(json.loads((prepared / "studio.json").read_text())["items"])
    filmed = {number * count // BENCHMARK_SUBJECTS for number in range(BENCHMARK_SUBJECTS)}
    index = int(rng.choice(sorted(set(range(count)) - filmed)))
    with safe_open(prepared / "studio.safetensors", "np") as file:
        return file.get_slice("rgb")[index].astype(np.float32) / 255


def _camera(rng: np.random.Generator):
    yaw, pitch = np.radians(rng.uniform(-1, 1, 2) * (MAX_YAW_DEG, MAX_PITCH_DEG))
    focal_px = rng.uniform(0.9, 1.6) * max(PICTURE)
    distance = HEAD_HEIGHT * focal_px / (rng.uniform(0.6, 0.85) * PICTURE[0] * 1.15)
    direction = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    target = rng.normal((0.0, -0.01, 0.03), 0.01)
    return look_at(
        target + direction * distance, target, focal_px, PICTURE, np.radians(rng.normal(0, ROLL_DEG))
    )


def summarise(faces: list[Face], truths: list[np.ndarray]) -> LandmarkErrors:
    """Bias by pose, principal components of the rest, and what those leave."""
    errors = np.stack(
        [upright(f, f.points[:NUM_SURFACE_LANDMARKS] - truth) / f.height_px for f, truth in zip(faces, truths)]
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
