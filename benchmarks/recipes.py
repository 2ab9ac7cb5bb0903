"""Pictures of the recipes: `python benchmarks/recipes.py out/selfie/avatar.glb` writes docs/screenshots/recipe_*.jpg.

Runs the blocks of docs/recipes.md as they stand there on a GLB made with `--shapes arkit+oculus --rig mixamo`. Needs
Debian's Chromium, playwright (extra `dev`) and npm; `--blender` names a Python that has bpy, `--godot` a folder with
Godot's web build (tests/helpers/godot.py says where to get it). Without them there is no picture of Blender or Godot.
"""

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageOps

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from helpers.godot import godot_scene  # noqa: E402
from helpers.node_tools import node_tools  # noqa: E402
from helpers.recipes import file_block, recipe_page  # noqa: E402

OUT = ROOT / "docs" / "screenshots"
SIDE = 480
STEP_MS = 40  # as fast as TalkingHead draws
GODOT_STEP_MS = 200
# From moment to moment: a blink, a smile; at rest, two sounds; a blink, a smile.
SMILES_MS, SPEAKS_MS, GODOT_MS = (2000, 2400), (0, 680, 240), (2000, 5400)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("glb", type=Path)
    parser.add_argument("--blender", help="a Python that has bpy")
    parser.add_argument("--godot", type=Path, help="a folder with Godot's web build")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(options.glb, folder / "avatar.glb")
        (folder / "node_modules").symlink_to(node_tools() / "node_modules")
        save("three", moments(folder, "head.html", SMILES_MS))
        save("talk", moments(folder, "talk.html", SPEAKS_MS))
        if options.blender is not None:
            (folder / "smile.py").write_text(file_block("smile.py"))
            subprocess.run([options.blender, "smile.py"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
            save("blender", [Image.open(folder / "smile.png")])
        if options.godot is not None:
            save("godot", frames(folder, options.godot))


def moments(folder: Path, name: str, pauses: tuple[int, ...]) -> list[Image.Image]:
    """The page after each of the pauses, in milliseconds of its own clock; a button on it is clicked after the first."""
    pictures = []
    with recipe_page(name, folder, (SIDE + 16, SIDE + 60)) as page:
        button = page.query_selector("button")
        for number, pause in enumerate(pauses):
            for _ in range(pause // STEP_MS):
                page.clock.fast_forward(STEP_MS)
            page.wait_for_timeout(300)  # until the browser shows what was drawn
            shot = page.screenshot(clip=page.query_selector("canvas").bounding_box())
            pictures.append(ImageOps.fit(Image.open(io.BytesIO(shot)), (SIDE, SIDE)))
            if button and not number:
                page.wait_for_selector("button:enabled")
                button.click()
    return pictures


def frames(folder: Path, engine: Path) -> list[Image.Image]:
    """Godot's scene after each of its pauses."""
    pictures = []
    with godot_scene(folder, engine, SIDE, 1000 // GODOT_STEP_MS) as scene:
        for pause in GODOT_MS:
            scene.step(pause // GODOT_STEP_MS)
            pictures.append(Image.open(io.BytesIO(scene.screenshot())))
    return pictures


def save(name: str, pictures: list[Image.Image]) -> None:
    strip = Image.new("RGB", (SIDE * len(pictures), SIDE))
    for number, picture in enumerate(pictures):
        strip.paste(picture.convert("RGB"), (SIDE * number, 0))
    path = OUT / f"recipe_{name}.jpg"
    strip.save(path, quality=82)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
