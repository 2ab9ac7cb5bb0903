"""The prepared sets, and making them: `python -m studio_avatar.data.prepare --data ../shared/data --out RUNS/data`.

    portraits ─ capture ───────────────────────────► portraits.safetensors         rgb, seen         256²
    portraits, portraits_generated ─ capture ──────► people.safetensors            rgb, seen         512²
    studio set ─ resample or capture, complete ────► studio.safetensors            rgb              1024²
                       └─ augment ─────────────────► studio_augmented.safetensors  rgb               512²
                             ├─ light texels ──────► texel_captures.safetensors    rgb, seen, target 128²
                             ├─ simulate, fit ─────► views.safetensors             rgb, trust, offset, known
                             └─ simulate, capture ─► captures.safetensors          rgb, seen, target, registered, scene 512²
                                (held-out people) ─► captures_held_out.safetensors the same          1024²

With --lights 0 and the held-out panoramas as --environments, `captures` are those of validation people alone: they choose
among the weights of the stage tone (`prepare pack --validation`).

The target of `captures` is the true texture; `registered` is the same through the capture's own registration
(`correspondences.py`), `scene` what the capture measured of the scene.

Each NAME.safetensors has arrays (uint8, offsets float16) with one row an item, and NAME.json lists the items: id, subject,
split ("train", "validation" or "held_out"), and what was skipped and why. Finished items stay in `parts/`, so a stopped run
goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from studio_avatar.data.studio_set import StudioSubject, studio_subjects
from studio_avatar.errors import InvalidInputError
from studio_avatar.head.model import HeadModel

from . import make
from .config import PrepareConfig
from .jobs import Job, Make, run
from .packing import head_mark, pack, pack_environments, report

HELD_OUT_PORTRAITS, VALIDATION_PORTRAITS = 40, 20  # the last by name, and those before them
GENERATED_HELD_OUT_EVERY = 6  # generated portraits are held out, from the first by name on
VALIDATION_FITS = 4  # fitted captures a validation subject, for the registration network


@dataclass(frozen=True)
class DatasetSpec:
    """A prepared set.

    stage: which `--stage` makes it; columns: the arrays that are packed; make: one item's arrays; jobs: (config, blank) →
    its jobs in the order of the rows, each made of the blank one; registered: captures are made with the registration
    network, which learns from the others.
    """

    name: str
    stage: str
    columns: tuple[str, ...]
    make: Make
    jobs: Callable[[PrepareConfig, Job], list[Job]]
    registered: bool = True


def prepare(config: PrepareConfig, names: Iterable[str]) -> None:
    """Make and pack the sets that are named, in the order of the table; what is skipped is named and counted.

    Raises:
        InvalidInputError: a folder holds nothing of what a set needs.
    """
    mark = head_mark(HeadModel.from_pretrained(config.head, subfolder="head"))
    environments = pack_environments(config.environments, config.out) if config.environments else ""
    names = set(names)
    for spec in DATASETS:
        if spec.name in names:
            jobs = plan(spec, config, mark, environments)
            registrar = config.registrar if spec.registered else None
            run(spec.make, jobs, config.head, registrar, config.workers)
            report(spec.name, len(jobs), pack(config.out, spec.name, spec.columns, jobs, mark))


def plan(spec: DatasetSpec, config: PrepareConfig, mark: str, environments: str = "") -> list[Job]:
    """The jobs of a set for the head with this mark; environments: see `pack_environments`."""
    blank = Job(spec.name, "", "", "", str(config.data), str(config.out), mark, environments=environments)
    return spec.jobs(config, blank)


def sets_of(stage: str) -> list[str]:
    """Names of the sets that a stage makes; of all stages if it is "all"."""
    return [spec.name for spec in DATASETS if stage in (spec.stage, "all")]


# ------------------------------------------------------------------------------------------------
# Who is in a set, and how often
# ------------------------------------------------------------------------------------------------


def _portrait_jobs(config: PrepareConfig, blank: Job) -> list[Job]:
    found = real_people(config.data)
    if not found:
        raise InvalidInputError(f"There are no portraits (*.jpg) in {config.data / 'portraits'}.")
    return [replace(blank, id=name, subject=name, split=split) for name, split in found]


def _people_jobs(config: PrepareConfig, blank: Job) -> list[Job]:
    found = real_people(config.data) + generated_people(config.data)
    return [replace(blank, id=name, subject=name, split=split) for name, split in found]


def real_people(data: Path) -> list[tuple[str, str]]:
    """(name, split) of the portraits of real people."""
    names = [path.stem for path in sorted((data / "portraits").glob("*.jpg"))]
    apart = ["validation"] * VALIDATION_PORTRAITS + ["held_out"] * HELD_OUT_PORTRAITS
    splits = ["train"] * (len(names) - len(apart)) + apart
    return list(zip(names, splits[-len(names) :]))


def generated_people(data: Path) -> list[tuple[str, str]]:
    """(name, split) of the generated portraits, where their folder is there."""
    names = [path.stem for path in sorted((data / "portraits_generated").glob("*.webp"))]
    return [(n, "train" if i % GENERATED_HELD_OUT_EVERY else "held_out") for i, n in enumerate(names)]


def _studio_jobs(config: PrepareConfig, blank: Job) -> list[Job]:
    return [replace(blank, id=s.id, subject=s.id, split=s.split) for s in studio_subjects(config.data)]


def _augmented_jobs(config: PrepareConfig, blank: Job) -> list[Job]:
    return _variants(blank, _subjects(config, "train"), config.variants)


def _view_jobs(config: PrepareConfig, blank: Job) -> list[Job]:
    blank = replace(blank, everybody=config.everybody)
    fits = _variants(blank, _subjects(config, "train"), config.fits)
    return fits + _variants(blank, _subjects(config, "validation"), VALIDATION_FITS)


def _texel_jobs(config: PrepareConfig, blank: Job) -> list[Job]:
    return _variants(blank, _subjects(config, "train"), config.texel_lights)


def _capture_jobs(config: PrepareConfig, blank: Job) -> list[Job]:
    trained = _variants(blank, _subjects(config, "train"), config.lights)
    return trained + _variants(blank, _subjects(config, "validation"), make.UNSEEN_LIGHTS)


def _held_out_jobs(config: PrepareConfig, blank: Job) -> list[Job]:
    return _variants(blank, _subjects(config, "held_out"), make.UNSEEN_LIGHTS)


def _subjects(config: PrepareConfig, split: str) -> list[StudioSubject]:
    return [subject for subject in studio_subjects(config.data) if subject.split == split]


def _variants(blank: Job, people: list[StudioSubject], count: int) -> list[Job]:
    """So many of each; a run that is stopped has about as many of everybody."""
    return [
        replace(blank, id=f"{p.id}-{i:02d}", subject=p.id, split=p.split, variant=i)
        for i in range(count)
        for p in people
    ]


def studio_jobs(data: Path, out: Path, mark: str, count: int) -> list[Job]:
    """`count` augmented textures, spread over the training people under `data`, whose own are prepared in `out`."""
    people = [s for s in studio_subjects(data) if s.split == "train"]
    chosen = [people[i * len(people) // count] for i in range(count)]
    where = {"data": str(data), "out": str(out), "head_mark": mark}
    return [Job("studio_augmented", f"{p.id}-{i:02d}", p.id, p.split, **where) for i, p in enumerate(chosen)]


# ------------------------------------------------------------------------------------------------
# The table
# ------------------------------------------------------------------------------------------------

CAPTURE_COLUMNS = ("rgb", "seen", "target", "registered", "scene")
# In the order in which they are made: each needs those before it.
DATASETS = (
    DatasetSpec("studio", "studio", ("rgb",), make.studio, _studio_jobs, registered=False),
    DatasetSpec("studio_augmented", "studio", ("rgb",), make.augmented, _augmented_jobs, registered=False),
    DatasetSpec("views", "views", make.VIEW_COLUMNS, make.views, _view_jobs, registered=False),
    DatasetSpec("portraits", "portraits", ("rgb", "seen"), make.portrait, _portrait_jobs),
    DatasetSpec("people", "people", ("rgb", "seen", "scene"), make.person, _people_jobs),
    DatasetSpec("texel_captures", "texels", ("rgb", "seen", "target"), make.texel_capture, _texel_jobs),
    DatasetSpec("captures", "captures", CAPTURE_COLUMNS, make.small_capture, _capture_jobs),
    DatasetSpec("captures_held_out", "captures", CAPTURE_COLUMNS, make.held_out_capture, _held_out_jobs),
)
STAGES = tuple(dict.fromkeys(spec.stage for spec in DATASETS))
