"""The GPU's benchmark runs from end to end, here on a CPU and on tiny networks."""

import re

import torch
from helpers.tiny_weights import phone, tiny_pipeline

from tools.benchmark_gpu import Extent, report

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
