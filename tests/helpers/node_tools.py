"""Tools from npm for tests and benchmarks: Khronos glTF validator, three.js with its reader of VRM, and what docs/recipes.md
uses; installed on demand."""

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

PACKAGES = (
    "gltf-validator@2.0.0-dev.3.10",
    "three@0.180.0",
    "@pixiv/three-vrm@3.5.5",
    "@met4citizen/talkinghead@1.7.0",
    "@gltf-transform/cli@4.5.1",
    "gltfpack@1.3.0",
)
VALIDATE = """
const validator = require('gltf-validator');
validator.validateBytes(new Uint8Array(require('fs').readFileSync(process.argv[1])))
  .then(report => console.log(JSON.stringify(report)));
"""


class NodeMissing(Exception):
    """Node, npm or the registry cannot be used; the message says which."""


def install_node_tools() -> Path:
    """A folder whose node_modules has `PACKAGES`; kept in the temporary folder between runs.

    Raises:
        NodeMissing: they cannot be installed here.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise NodeMissing("node and npm are not installed")
    folder = Path(tempfile.gettempdir()) / ("studio-avatar-" + re.sub("[@/]", "-", "-".join(PACKAGES)))
    if all(
        (folder / "node_modules" / package.rpartition("@")[0] / "package.json").is_file()
        for package in PACKAGES
    ):
        return folder
    command = [
        "npm",
        "install",
        "--prefix",
        str(folder),
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        *PACKAGES,
    ]
    try:
        installed = subprocess.run(command, capture_output=True, text=True, timeout=90)
    except subprocess.TimeoutExpired as error:
        raise NodeMissing("the npm registry does not answer") from error
    if installed.returncode:
        raise NodeMissing(f"the npm registry cannot be reached: {installed.stderr.strip()[-200:]}")
    return folder


def validate(glb: Path, node_folder: Path) -> dict:
    """The Khronos validator's report on a file."""
    done = subprocess.run(
        ["node", "-e", VALIDATE, str(glb)], cwd=node_folder, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)
