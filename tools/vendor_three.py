"""The page's copy of three.js: one minified module with what the viewer uses, its loader of GLB files among it.

    python -m tools.vendor_three

Needs node and npm. Writes studio_avatar/ui/static/three.min.js; the same versions give the same bytes.
"""

import subprocess
import tempfile
from pathlib import Path

PACKAGES = ("three@0.180.0", "esbuild@0.28.2")
USED = (
    "DepthTexture",
    "DoubleSide",
    "Group",
    "LessEqualCompare",
    "LinearFilter",
    "Matrix4",
    "Mesh",
    "OrthographicCamera",
    "PerspectiveCamera",
    "Quaternion",
    "SRGBColorSpace",
    "Scene",
    "ShaderMaterial",
    "TextureLoader",
    "Vector3",
    "WebGLRenderTarget",
    "WebGLRenderer",
)
ENTRY = f"""
export {{ {", ".join(USED)} }} from "three";
export {{ GLTFLoader }} from "three/examples/jsm/loaders/GLTFLoader.js";
"""
OUT = Path(__file__).parents[1] / "studio_avatar" / "ui" / "static" / "three.min.js"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["npm", "install", "--prefix", folder, "--no-audit", "--no-fund", "--silent", *PACKAGES],
            check=True,
        )
        entry = Path(folder, "entry.js")
        entry.write_text(ENTRY)
        command = [f"{folder}/node_modules/.bin/esbuild", entry.name, "--bundle", "--minify", "--format=esm"]
        subprocess.run([*command, "--legal-comments=inline", f"--outfile={OUT}"], cwd=folder, check=True)
    print(f"{OUT.name}: {OUT.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
