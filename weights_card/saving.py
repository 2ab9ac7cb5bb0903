"""What makes a saved pipeline a repository of its own: index, code files and the list of SHA-256 sums.

diffusers saves weights and configurations only, and an index that names modules which no other process has.
This file stands alone: it is also published on the Hub as remote code.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path

INDEX_FILE, CHECKSUMS_FILE = "model_index.json", "SHA256SUMS"
# Files beside this one that `StudioTexturePipeline` needs.
PIPELINE_FILES = (
    "studio_texture_pipeline",
    "cover",
    "errors",
    "inversion",
    "relight",
    "saving",
    "skin_tone",
    "upscale",
)
# Packages whose classes come with their file: ours, installed or remote.
HOMES = ("studio_avatar", "diffusers_modules")
PUBLISHED_AS = {"studio_avatar.head.model": "head_model"}  # where the published file has another name
LISTED = (".json", ".py", ".safetensors")


def complete_save(folder, components) -> None:
    """Add to a folder, to which diffusers has just saved a pipeline, what both loaders need: own class and remote code.

    Args:
        folder: has one subfolder for each component. components: name → component.
    """
    folder = Path(folder)
    index = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
    index.pop("_name_or_path", None)  # a path of this machine
    index["_class_name"] = [PIPELINE_FILES[0], "StudioTexturePipeline"]
    for name in PIPELINE_FILES:
        shutil.copyfile(Path(__file__).with_name(f"{name}.py"), folder / f"{name}.py")
    for name, component in components.items():
        kind = type(getattr(component, "_orig_mod", component))  # torch.compile wraps the component
        if kind.__module__.partition(".")[0] in HOMES:
            file = PUBLISHED_AS.get(kind.__module__, kind.__module__.rpartition(".")[2])
            shutil.copyfile(sys.modules[kind.__module__].__file__, folder / name / f"{file}.py")
            index[name] = [file, kind.__name__]
    (folder / INDEX_FILE).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    # What belongs to the pipeline; other files may lie beside it.
    files = [folder / INDEX_FILE, *(folder / f"{name}.py" for name in PIPELINE_FILES)]
    for name in components:
        files += (path for path in (folder / name).iterdir() if path.suffix in LISTED)
    names = [path.relative_to(folder).as_posix() for path in sorted(files)]
    (folder / CHECKSUMS_FILE).write_text(list_of_sums(folder, names), encoding="utf-8")


def list_of_sums(folder: Path, names) -> str:
    """The text of a `CHECKSUMS_FILE`: a line for each of the files `names`, POSIX paths in `folder`."""
    return "".join(f"{sha256(folder / name)}  {name}\n" for name in names)


def sha256(path: Path) -> str:
    """64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
