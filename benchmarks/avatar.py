"""Export of avatars: seconds, megabytes, and what the Khronos glTF validator says; as a Markdown table.

    python benchmarks/avatar.py --texture out/selfie/texture.png

20 random identities wear one texture, with hair each another style; with --packed the files with hair and all shapes are
packed as docs/recipes.md says and compared; with --example a finished avatar.glb is validated as well.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]  # the validator is installed by the tests' own helper

from helpers.node_tools import NodeMissing, node_tools, validate  # noqa: E402
from helpers.packed import turned, unpacked  # noqa: E402
from helpers.recipes import commands  # noqa: E402

from studio_avatar.avatar import LEVELS, Avatar  # noqa: E402
from studio_avatar.avatar.hair.wear import wear_hair  # noqa: E402
from studio_avatar.avatar.shapes.mesh import avatar_mesh  # noqa: E402
from studio_avatar.avatar.shapes.visemes import ARKIT, ARKIT_AND_OCULUS  # noqa: E402
from studio_avatar.head.hair_styles import HairStyles  # noqa: E402
from studio_avatar.head.model import HeadModel  # noqa: E402
from studio_avatar.weights.locate import find_weights  # noqa: E402

IDENTITIES = 20
COLUMNS = ("level", "hair", "shapes and bones", "triangles, most", "seconds, median", "seconds, worst",
           "CPU seconds, median", "MB, worst", "validator errors", "warnings", "infos")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--texture", type=Path, default="examples/selfie_studio.png", help="square head-v1 texture"
    )
    parser.add_argument("--example", type=Path, help="the avatar.glb of a finished capture: validated too")
    parser.add_argument("--packed", action="store_true", help="also pack files and compare them")
    options = parser.parse_args()
    head = HeadModel.from_pretrained(find_weights(), subfolder="head")
    texture = np.asarray(Image.open(options.texture).convert("RGB"))
    try:
        node_folder = node_tools()
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
            for styles in (None, HairStyles.from_pretrained(find_weights(), subfolder="hair_styles")):
                for rig in ("none", "mixamo"):
                    print(
                        row(people(head, texture, styles, rig), level, Path(folder), node_folder), flush=True
                    )
        if options.packed and node_folder is not None:
            print(f"\n{pack(people(head, texture, styles, 'mixamo'), Path(folder), node_folder)}")
    if options.example is not None and node_folder is not None:
        issues = validate(options.example.resolve(), node_folder)["issues"]
        print(f"\n{options.example.name}: {issues['numErrors']} errors, {issues['numWarnings']} warnings.")


def people(head, texture, styles: HairStyles | None, rig: str):
    """The avatars, one after another."""
    for seed in range(IDENTITIES):
        identity = np.random.default_rng(seed).normal(size=100)
        worn = None
        if styles is not None:
            names = styles.config.names
            rgb, neutral = texture / np.float32(255), avatar_mesh(head, identity).vertices
            seen = SimpleNamespace(hair=None, rgb=rgb, seen=np.ones(rgb.shape[:2], np.float32))
            worn = wear_hair(head, styles, seen, rgb, neutral, names[seed % len(names)])
        shapes = ARKIT if rig == "none" else ARKIT_AND_OCULUS
        yield Avatar(head, identity, texture, worn=worn, shapes=shapes, rig=rig)


def row(avatars, level, folder, node_folder) -> str:
    """One line of the table: every avatar is built, exported and validated."""
    seconds, cpu_seconds, sizes, triangles, counts = [], [], [], [], np.zeros(3, int)
    for avatar in avatars:
        start, cpu_start = time.perf_counter(), time.process_time()
        path = avatar.export(folder / f"{level}.glb", level)
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
        sizes.append(path.stat().st_size / 1e6)
        if node_folder is not None:
            report = validate(path, node_folder)
            issues = report["issues"]
            triangles.append(report["info"]["totalTriangleCount"])
            counts += [issues["numErrors"], issues["numWarnings"], issues["numInfos"]]
    checked = [*map(str, counts)] if node_folder is not None else ["-"] * 3
    what = (
        "no" if avatar.hair is None else "yes",
        avatar.shapes if avatar.rig == "none" else f"{avatar.shapes}, {avatar.rig}",
    )
    return (
        f"| {level} | {' | '.join(what)} | {max(triangles, default='-')} | {statistics.median(seconds):.2f} |"
        f" {max(seconds):.2f} | {statistics.median(cpu_seconds):.2f} | {max(sizes):.1f} | {' | '.join(checked)} |"
    )


def pack(avatars, folder, node_folder) -> str:
    """Packed by the commands of docs/recipes.md: names, bones and triangles are the same, and how far normals turn."""
    (folder / "node_modules").symlink_to(node_folder / "node_modules")
    angles = {"web.glb": [], "small.glb": [], "packed.glb": []}
    for avatar in avatars:
        plain = unpacked(avatar.export(folder / "avatar.glb"), folder)
        for line in commands("npx"):
            subprocess.run(["bash", "-c", line], cwd=folder, check=True, capture_output=True)
        for name, found in angles.items():
            found.append(turned(plain, unpacked(folder / name, folder)))
    angles = {name: np.concatenate(found) for name, found in angles.items()}
    most = ", ".join(
        f"{name} {found.max():.1f}° ({(found > 5).sum()} vertices of {len(found)} by more than 5°)"
        for name, found in angles.items()
    )
    return (
        f"Packed, {IDENTITIES} people: all names, bones and triangles kept; normals turn by at most: {most}."
    )


if __name__ == "__main__":
    main()
