"""Where the time of `studio-avatar` goes: `python benchmarks/performance.py [--runs 5] [--only command]`.

Prints the tables of docs/performance.md: the command on the bundled example stage by stage, the same beside a process that
keeps one core busy, and how it grows with seconds of video, resolution and texture size. Each run is a process of its own.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from capture_speed import EXAMPLE, enlarge, repeat

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("command", "growth")
STAGE_LINE = re.compile(r"^  (\S.*?) +([0-9.]+) s$", re.MULTILINE)
WHOLE, CPU, MEMORY = "whole process", "CPU seconds", "peak memory [GB]"


@dataclass(frozen=True)
class Run:
    """One run of the command: seconds by stage, in order, then `WHOLE`, `CPU` and `MEMORY`."""

    numbers: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--runs", type=int, default=5, help="of which the median counts (default: %(default)s)"
    )
    parser.add_argument("--only", choices=PARTS, help="one part of the tables")
    options = parser.parse_args()
    print(
        f"{os.cpu_count()} cores, load before {os.getloadavg()[0]:.1f}; medians of {options.runs}", flush=True
    )
    if options.only in (None, "command"):
        columns = {"alone": measured(EXAMPLE, options.runs)}
        with busy_process():
            columns["beside a busy process"] = measured(EXAMPLE, options.runs)
        print(table("the example", columns), flush=True)
    if options.only in (None, "growth"):
        with tempfile.TemporaryDirectory() as folder:
            for title, columns in growth(Path(folder), options.runs):
                print(table(title, columns), flush=True)


def growth(folder: Path, runs: int) -> Iterator[tuple[str, dict[str, Run]]]:
    """Three points each: seconds of video, resolution, texture size."""
    clips = {f"{5 * times} s": folder / f"{times}.mp4" for times in (1, 2, 4)}
    for times, clip in zip((1, 2, 4), clips.values(), strict=True):
        repeat(EXAMPLE, clip, times)
    yield "video", {name: measured(clip, runs) for name, clip in clips.items()}
    sizes = ((360, 640), (720, 1280), (1080, 1920))
    clips = {f"{width} x {height}": folder / f"{height}.mp4" for width, height in sizes}
    for size, clip in zip(sizes, clips.values(), strict=True):
        enlarge(EXAMPLE, clip, size, frames=60)
    yield "resolution, 2 s", {name: measured(clip, runs) for name, clip in clips.items()}
    yield "texture", {f"{size}²": measured(EXAMPLE, runs, "--size", str(size)) for size in (512, 1024, 2048)}


def measured(clip: Path, runs: int, *options: str) -> Run:
    """The median of each number over several runs."""
    done = [run(clip, *options) for _ in range(runs)]
    return Run({name: statistics.median(one.numbers[name] for one in done) for name in done[0].numbers})


def run(clip: Path, *options: str) -> Run:
    """One run, from the start of the process to its end."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "studio_avatar", clip, "-o", Path(folder, "out"), *options]
        began = os.times().elapsed
        process = subprocess.Popen(
            list(map(str, command)), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        printed = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        whole = os.times().elapsed - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(printed)
    stages = {name: float(seconds) for name, seconds in STAGE_LINE.findall(printed)}
    cpu, memory = used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6
    return Run({**stages, WHOLE: whole, CPU: cpu, MEMORY: memory})


@contextmanager
def busy_process() -> Iterator[None]:
    """Another process that never rests."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def table(title: str, columns: dict[str, Run]) -> str:
    """Stages down, runs across, seconds."""
    lines = ["", f"| {title} | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for name in next(iter(columns.values())).numbers:
        values = " | ".join(f"{column.numbers.get(name, 0.0):.1f}" for column in columns.values())
        lines.append(f"| {name} | {values} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
