"""Where the meshes and pictures of each source are: folder -> people, and what is missing.

Only the documented layouts are known here; nothing is opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from studio_avatar.errors import InvalidInputError

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
MESHES = (".obj", ".glb", ".ply")
NEUTRAL = "E001_Neutral_Eyes_Open"  # Multiface's segment of a resting face


@dataclass(frozen=True)
class ForeignTexture:
    """One person: id; mesh file; picture file, or None if the mesh file holds it; problem: why it cannot be used."""

    id: str
    mesh: Path | None
    picture: Path | None
    problem: str | None = None


def plain_folder(folder: Path) -> list[ForeignTexture]:
    """NAME.obj, .glb or .ply, with NAME.png, .jpg or .webp beside it where the mesh file holds no picture."""
    people = []
    for stem in sorted({path.stem for path in folder.iterdir() if path.suffix.lower() in MESHES + PICTURES}):
        mesh, picture = _beside(folder, stem, MESHES), _beside(folder, stem, PICTURES)
        problem = None
        if mesh is None:
            problem = f"{picture.name} has no mesh: put {stem}.obj, .glb or .ply beside it."
        elif picture is None and mesh.suffix.lower() != ".glb":
            problem = f"{mesh.name} has no picture: put {stem}.png, .jpg or .webp beside it."
        people.append(ForeignTexture(stem, mesh, picture, problem))
    return _found(people, folder, "a mesh (.obj, .glb, .ply) with its picture")


def multiface(folder: Path) -> list[ForeignTexture]:
    """One neutral frame of each Multiface subject under `folder`.

    Layout: m--DATE--0000--ID--GHS/{tracked_mesh/SEGMENT/FRAME.obj, unwrapped_uv_1024/SEGMENT/average/FRAME.png}.
    """
    people = []
    for subject in sorted(path for path in folder.iterdir() if (path / "unwrapped_uv_1024").is_dir()):
        segments = sorted(path for path in (subject / "unwrapped_uv_1024").iterdir() if path.is_dir())
        segments.sort(
            key=lambda path: path.name != NEUTRAL
        )  # stable: others only where there is no neutral one
        pictures = [
            picture for segment in segments for picture in sorted((segment / "average").glob("*.png"))
        ]
        pairs = [(p, subject / "tracked_mesh" / p.parent.parent.name / f"{p.stem}.obj") for p in pictures]
        pair = next((pair for pair in pairs if pair[1].is_file()), None)
        if pair is None:
            problem = (
                f"{subject.name} has no average texture in unwrapped_uv_1024 whose frame has a tracked_mesh."
            )
            people.append(ForeignTexture(subject.name, None, None, problem))
        else:
            people.append(ForeignTexture(subject.name, pair[1], pair[0]))
    return _found(people, folder, "m--*--GHS folder with unwrapped_uv_1024")


def ffhq_uv(folder: Path) -> list[ForeignTexture]:
    """The pictures of FFHQ-UV's uv-maps folder; they share one mesh, which the dataset does not hold."""
    maps = folder / "uv-maps" if (folder / "uv-maps").is_dir() else folder
    people = [ForeignTexture(p.stem, None, p) for p in sorted(maps.iterdir()) if p.suffix.lower() in PICTURES]
    return _found(people, folder, "uv-maps/*.png")


def _beside(folder: Path, stem: str, suffixes) -> Path | None:
    return next((path for suffix in suffixes if (path := folder / (stem + suffix)).is_file()), None)


def _found(people: list[ForeignTexture], folder: Path, what: str) -> list[ForeignTexture]:
    if not people:
        raise InvalidInputError(f"There is no {what} in {folder}.")
    return people
