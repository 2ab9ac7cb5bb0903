"""Export of avatars: seconds, megabytes, and what the Khronos glTF validator says; as a Markdown table.

    python benchmarks/avatar.py --texture out/selfie/texture.png

20 random identities wear one texture; with --example a finished avatar.glb is validated as well.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]  # the validator is installed by the tests' own helper

from helpers.node_tools import NodeMissing, install_node_tools, validate  # noqa: E402

from studio_avatar.avatar import LEVELS, Avatar  # noqa: E402
from studio_avatar.avatar.shapes.mesh import avatar_mesh  # noqa: E402
from studio_avatar.head.model import HeadModel  # noqa: E402
from studio_avatar.weights.locate import find_weights  # noqa: E402

IDENTITIES = 20
COLUMNS = ("level", "triangles", "seconds, median", "seconds, worst", "CPU seconds, median", "MB, worst",
           "validator errors", "warnings", "infos")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--texture", type=Path, default="examples/selfie_studio.png", help="square head-v1 texture"
    )
    parser.add_argument("--example", type=Path, help="the avatar.glb of a finished capture: validated too")
    options = parser.parse_args()
    head = HeadModel.from_pretrained(find_weights(), subfolder="head")
    texture = np.asarray(Image.open(options.texture).convert("RGB"))
    try:
        node_folder = install_node_tools()
    except NodeMissing as reason:
        node_folder = None
        print(f"Without the validator: {reason}.")

    avatar_mesh(head, np.zeros(100))  # finds lids, lips and texels once for the head
    print(f"Texture {texture.shape[1]} x {texture.shape[0]}, {IDENTITIES} random identities.")
    print("CPU seconds do not count what else the machine does.\n")
    print(f"| {' | '.join(COLUMNS)} |")
    print("|---|" + "---:|" * (len(COLUMNS) - 1))
    with tempfile.TemporaryDirectory() as folder:
        for level in LEVELS:
            print(row(head, texture, level, Path(folder), node_folder))
    if options.example is not None and node_folder is not None:
        issues = validate(options.example.resolve(), node_folder)["issues"]
        print(f"\n{options.example.name}: {issues['numErrors']} errors, {issues['numWarnings']} warnings.")


def row(head, texture, level, folder, node_folder) -> str:
    """One line of the table: every avatar is built, exported and validated."""
    seconds, cpu_seconds, sizes, counts = [], [], [], np.zeros(3, int)
    for seed in range(IDENTITIES):
        avatar = Avatar(head, np.random.default_rng(seed).normal(size=100), texture)
        start, cpu_start = time.perf_counter(), time.process_time()
        path = avatar.export(folder / f"{level}.glb", level)
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
        sizes.append(path.stat().st_size / 1e6)
        if node_folder is not None:
            report = validate(path, node_folder)
            issues, triangles = report["issues"], report["info"]["totalTriangleCount"]
            counts += [issues["numErrors"], issues["numWarnings"], issues["numInfos"]]
    checked = [*map(str, counts)] if node_folder is not None else ["-"] * 3
    return (
        f"| {level} | {triangles if node_folder is not None else '-'} | {statistics.median(seconds):.2f} |"
        f" {max(seconds):.2f} | {statistics.median(cpu_seconds):.2f} | {max(sizes):.1f} | {' | '.join(checked)} |"
    )


if __name__ == "__main__":
    main()
