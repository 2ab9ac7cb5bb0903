"""Tools from npm for tests and benchmarks: Khronos glTF validator, three.js with its reader of VRM, and what docs/recipes.md
uses. `make test` installs them by the lock file in tests/npm, where npm is there."""

import json
import shutil
import subprocess
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "npm"
PACKAGES: dict[str, str] = json.loads((FOLDER / "package.json").read_text())["dependencies"]  # name → version
VALIDATE = """
const validator = require('gltf-validator');
validator.validateBytes(new Uint8Array(require('fs').readFileSync(process.argv[1])))
  .then(report => console.log(JSON.stringify(report)));
"""


class NodeMissing(Exception):
    """Node or the packages are not installed; the message says which, and what to do."""


def node_tools() -> Path:
    """The folder whose node_modules has `PACKAGES`.

    Raises:
        NodeMissing: they are not installed.
    """
    if shutil.which("node") is None:
        raise NodeMissing("node is not installed")
    for name, version in PACKAGES.items():
        installed = FOLDER / "node_modules" / name / "package.json"
        if not installed.is_file() or json.loads(installed.read_text())["version"] != version:
            raise NodeMissing(f"{name} {version} is not installed: npm ci --prefix tests/npm")
    return FOLDER


def validate(glb: Path, node_folder: Path) -> dict:
    """The Khronos validator's report on a file."""
    done = subprocess.run(
        ["node", "-e", VALIDATE, str(glb)], cwd=node_folder, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)
