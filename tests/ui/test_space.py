"""What a Hugging Face Space reads: front matter, requirements, and the time slice of ZeroGPU."""

import re
from pathlib import Path

import spaces
import yaml
from huggingface_hub import SpaceHardware

from studio_avatar.results.settings import CreationSettings
from studio_avatar.ui.zerogpu import gpu_seconds, on_gpu
from studio_avatar.weights.locate import DEFAULT_REPOSITORY

ROOT = Path(__file__).parents[2]
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
SHORTEST_DESCRIPTION_LIMIT = 60  # characters the Hub shows


def requirements() -> dict[str, str]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_front_matter_describes_a_gradio_space():
    front = yaml.safe_load(re.match(r"---\n(.*?)\n---\n", (ROOT / "README.md").read_text(), re.DOTALL)[1])
    assert front["sdk"] == "gradio" and front["sdk_version"] == requirements()["gradio"]
    assert (ROOT / front["app_file"]).is_file()
    assert front["suggested_hardware"] in {hardware.value for hardware in SpaceHardware}
    assert {front["colorFrom"], front["colorTo"]} <= COLOURS
    assert len(front["short_description"]) <= SHORTEST_DESCRIPTION_LIMIT
    assert front["models"] == [DEFAULT_REPOSITORY] and front["license"] == "apache-2.0"
    major, minor = map(int, front["python_version"].split(".")[:2])
    assert (major, minor) >= (3, 11)  # as pyproject.toml asks


def test_requirements_are_pinned_and_hold_what_a_space_needs():
    assert {
        "gradio",
        "spaces",
        "torch",
        "diffusers",
        "accelerate",
        "mediapipe",
        "av",
    } <= requirements().keys()
    assert (ROOT / "packages.txt").read_text().split() == ["libegl1", "libgles2", "libgl1", "libglib2.0-0"]


def test_off_zerogpu_functions_stay_as_they_are(monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    monkeypatch.setenv("SPACE_ID", "org/cpu-space")
    assert on_gpu(gpu_seconds) is gpu_seconds


def test_the_time_slice_follows_the_settings():
    default = gpu_seconds(["selfie.mp4"], CreationSettings(), "session")
    longest = gpu_seconds(["selfie.mp4"], CreationSettings(inversion_steps=300, steps=8), "session")
    assert 20 <= default < longest <= 60  # the Hub's default is 60 s


def test_on_zerogpu_the_duration_is_asked_of_spaces(monkeypatch):
    """The real decorator needs a CUDA build of torch there, so only what it is given can be seen here."""
    asked = {}
    monkeypatch.setattr(spaces, "GPU", lambda **options: asked.update(options) or (lambda function: function))
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    on_gpu(gpu_seconds)
    assert asked == {"duration": gpu_seconds}
