"""The GPU's benchmark runs from end to end, here on a CPU and on tiny networks."""

import re

import numpy as np
import torch
from helpers.tiny_weights import phone, tiny_pipeline

from studio_avatar.capture.scene import SceneStatistics
from tools.benchmark_gpu import Extent, keep_phone, read_phone, report

TINY = Extent(matrix=64, copied=1 << 12, batch=2, runs=1)


def test_every_table_has_its_rows():
    given = {name: value for name, value in phone().items() if name != "output_size"}
    pipe = tiny_pipeline()
    lines = list(
        report(
            lambda dtype: pipe, given, torch.device("cpu"), 1.0, TINY, formats=("fp32",), compiled=(False,)
        )
    )
    rows = [re.split(r" *\| *", line.strip("| ")) for line in lines if line.startswith("| fp32")]
    ceiling, stages = rows
    assert float(ceiling[1]) >= 0 and float(ceiling[2]) > 0
    *_, whole, memory, distance = stages
    assert (
        float(whole) > 0 and memory == "" and distance == "0.00"
    )  # the same machine and format as the truth
    networks = [re.split(r" *\| *", line.strip("| ")) for line in lines if "| fp32 | no |" in line]
    assert [(row[0].split(",")[0], row[3]) for row in networks] == [
        ("G", "1"), ("G", "2"), ("upscaler", "1"), ("upscaler", "2"),
    ]  # fmt: skip
    assert all(float(row[5]) > 0 for row in networks)


def test_no_row_is_begun_after_the_time():
    given = {name: value for name, value in phone().items() if name != "output_size"}
    pipe = tiny_pipeline()
    lines = list(report(lambda dtype: pipe, given, torch.device("cpu"), 0.0, TINY, formats=("fp32",)))
    assert lines[-1].strip().startswith("Stopped after 0 minutes") and not [
        line for line in lines if "| fp32 | no |" in line
    ]


def test_a_kept_capture_stands_in_for_the_video(tmp_path):
    scene = SceneStatistics(sclera=(0.5, 0.4, 0.3), levels=(0.1, 0.2, 0.3), clipped=0.25)
    texture = np.random.default_rng(0).random((8, 8, 3), np.float32)
    keep_phone(tmp_path / "phone.npz", {"phone_texture": texture, "seen": texture[..., 0], "scene": scene})
    read = read_phone(tmp_path / "phone.npz")
    assert np.abs(read["phone_texture"] - texture).max() < 0.51 / 255
    assert np.abs(read["seen"] - texture[..., 0]).max() < 1e-3
    assert np.allclose(read["scene"].vector, scene.vector) and read["scene"].teeth is None
