"""The landmark calibration on a few heads, and its fit to errors that are known."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image
from safetensors.numpy import load_file, save_file

from studio_avatar.capture.detection.landmark_errors import landmark_errors, pose_terms, rolled
from tools import calibrate_landmarks

ROOT = Path(__file__).parents[2]
TERMS = 7  # of `pose_terms`


def test_calibration_measures_rendered_heads(tmp_path, monkeypatch):
    with Image.open(ROOT / "examples" / "selfie_studio.png") as picture:
        texture = np.asarray(picture.convert("RGB").resize((512, 512), Image.Resampling.BOX))
    skins = np.stack([texture, (255 * (texture / 255) ** 1.3).astype(np.uint8), np.zeros_like(texture)])
    save_file({"rgb": skins}, tmp_path / "studio.safetensors")
    splits = ("train", "train", "held_out")  # the last one is no face
    index = {"items": [{"id": str(i), "split": split} for i, split in enumerate(splits)]}
    (tmp_path / "studio.json").write_text(json.dumps(index))
    monkeypatch.setattr(calibrate_landmarks, "NUM_COMPONENTS", 4)
    out = tmp_path / "errors.safetensors"
    given = {"--prepared": tmp_path, "--out": out, "--heads": 12, "--head": ROOT / "weights_card"}
    calibrate_landmarks.main([str(part) for pair in given.items() for part in pair])
    measured, published = load_file(out), landmark_errors()
    assert measured["bias"].shape == published.bias.shape == (TERMS, 468, 2)
    assert measured["components"].shape == (4, 468, 2) and measured["sigma"].shape == (468,)
    # On twelve heads the error of a frontal face is already a few percent of its height, as in the published file.
    assert np.abs(measured["bias"][0]).mean() < 0.05 and 0 < measured["sigma"].mean() < 0.02


def test_a_known_bias_and_a_common_error_are_found_again():
    rng = np.random.default_rng(0)
    bias = 0.01 * rng.standard_normal((TERMS, 468, 2))
    axis = rng.standard_normal((468, 2))
    axis *= 0.02 / np.linalg.norm(axis)
    faces, truths = [], []
    for _ in range(400):
        yaw, pitch = rng.uniform(-1, 1, 2) * (50, 20)
        face = SimpleNamespace(roll=rng.uniform(-0.2, 0.2), yaw_deg=yaw, pitch_deg=pitch, height_px=200.0)
        error = np.einsum("t,tnd->nd", pose_terms(face), bias) + rng.standard_normal() * axis
        truths.append(rng.uniform(0, 300, (468, 2)))
        face.points = truths[-1] + face.height_px * rolled(face, error)
        faces.append(face)
    found = calibrate_landmarks.summarize(faces, truths)
    np.testing.assert_allclose(found.bias, bias, atol=2e-3)
    component = found.components[0].ravel()
    cosine = component @ axis.ravel() / np.linalg.norm(component) / np.linalg.norm(axis)
    assert abs(cosine) > 0.99
    assert np.linalg.norm(component) / np.linalg.norm(axis) < 1.2
