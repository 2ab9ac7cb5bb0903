"""The blocks of docs/recipes.md as files, and its pages in headless Chromium."""

import re
from contextlib import contextmanager
from pathlib import Path

from helpers.three_viewer import browser_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "recipes.md"
# three.js tells its developer tools of every scene; so a page needs nothing for us.
LISTEN = """
window.scenes = [];
window.__THREE_DEVTOOLS__ = new EventTarget();
__THREE_DEVTOOLS__.addEventListener('observe', ({ detail }) => { if (detail.isScene) scenes.push(detail); });
"""
FIND = """() => {
  for (const scene of scenes) scene.traverse((object) => { if (object.morphTargetDictionary) window.face = object; });
  window.bone = window.face && scenes.map((scene) => scene.getObjectByName('Head')).find(Boolean);
  return Boolean(window.bone);
}"""
SHAPES = """() => Object.fromEntries(Object.entries(face.morphTargetDictionary)
  .map(([name, number]) => [name, face.morphTargetInfluences[number]]))"""


def blocks() -> list[str]:
    """Of the document, in order."""
    return re.findall(r"^```\w*\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)


def file_block(name: str) -> str:
    """The block whose first line is, or ends with, a comment with the file name `name`."""
    (block,) = (
        block for block in blocks() if re.search(rf"(<!--|^#|^;) {re.escape(name)}\b", block.splitlines()[0])
    )
    return block


def commands(word: str) -> list[str]:
    """Lines of the document's blocks that begin with `word`."""
    return [line for block in blocks() for line in block.splitlines() if line.startswith(f"{word} ")]


@contextmanager
def recipe_page(
    name: str, folder: Path, size: tuple[int, int] = (480, 480), changes: tuple[tuple[str, str], ...] = ()
):
    """The page `name` of the document in `folder`, which has avatar.glb and node_modules: a playwright page, in which `face`
    is the mesh and `bone` the bone `Head`. Its clock stands still but for `page.clock.fast_forward(milliseconds)`.

    changes: made in the page's text, (old, new).
    """
    text = file_block(name)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / name).write_text(text)
    with browser_of(folder) as (browser, address):
        page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        page.set_default_timeout(120_000)
        page.add_init_script(LISTEN)
        page.clock.install(time=0)
        page.goto(f"{address}/{name}")
        page.wait_for_function(FIND, polling=200)
        page.clock.pause_at(60)  # seconds
        yield page
