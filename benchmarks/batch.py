"""The batch on 8 clips with the embedded weights: one process, two, and two that are killed half-way and started again.

    python benchmarks/batch.py [--clips 8] [options of `studio-avatar batch`, such as --inversion-steps 20]

The clips are stretches of the example capture. Prints a Markdown table; exits with 1 when the bytes differ.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import psutil

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "selfie.mp4"
CLIP_FRAMES = 24
LAUNCH = [
    "-m",
    "accelerate.commands.launch",
    "--multi_gpu",
    "--num_processes",
    "2",
    "--main_process_port",
    "0",
]
BYTE_FILES = ("texture.png", "phone_texture.png", "provenance.png", "avatar.glb")  # report.json has timings


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=8)
    options, settings = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        cut_clips(folder / "clips", options.clips)
        rows = [
            measure("one process", [], folder, settings),
            measure("two processes", LAUNCH, folder, settings),
            measure(
                "two processes, killed half-way, started again",
                LAUNCH,
                folder,
                settings,
                kill_at=options.clips // 2,
            ),
        ]
    print("| run | seconds | done | skipped | same bytes as one process |")
    print("|---|---:|---:|---:|---|")
    for name, seconds, counts, digest in rows:
        same = "yes" if digest == rows[0][3] else "NO"
        print(f"| {name} | {seconds:.0f} | {counts.count('done')} | {counts.count('skipped')} | {same} |")
    return 0 if len({digest for *_, digest in rows}) == 1 else 1


def cut_clips(folder: Path, count: int) -> None:
    """`count` stretches of the example, evenly spread over it, as H.264."""
    folder.mkdir()
    with av.open(str(EXAMPLE)) as container:
        rate = container.streams.video[0].average_rate
        frames = [frame.to_image() for frame in container.decode(video=0)]
    for number in range(count):
        start = number * (len(frames) - CLIP_FRAMES) // max(1, count - 1)
        with av.open(str(folder / f"clip_{number}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=rate, options={"crf": "16"})
            stream.width, stream.height = frames[0].size
            stream.pix_fmt = "yuv420p"
            for image in frames[start : start + CLIP_FRAMES]:
                container.mux(stream.encode(av.VideoFrame.from_image(image)))
            container.mux(stream.encode(None))


def measure(
    name: str, launcher: list[str], folder: Path, settings: list[str], kill_at: int | None = None
) -> tuple:
    """Name, seconds, status of every clip in the (last) run, digest of all results."""
    output = folder / name.replace(" ", "_")
    started = time.monotonic()
    if kill_at is not None:
        process = start(launcher, folder, output, settings)
        for _, _line in zip(range(kill_at), process.stdout):
            pass
        for child in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            child.kill()
        process.wait()
    process = start(launcher, folder, output, settings)
    printed, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"the batch failed: {name}")
    counts = [json.loads(line)["status"] for line in printed.splitlines()]
    return name, time.monotonic() - started, counts, digest_of(output)


def start(launcher: list[str], folder: Path, output: Path, settings: list[str]) -> subprocess.Popen:
    command = [
        sys.executable,
        *launcher,
        "-m",
        "studio_avatar",
        "batch",
        folder / "clips",
        "-o",
        output,
        *settings,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        list(map(str, command)), cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )


def digest_of(output: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(output.rglob("*")):
        if path.name in BYTE_FILES:
            digest.update(path.relative_to(output).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    raise SystemExit(main())
