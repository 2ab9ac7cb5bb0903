"""Pack both training domains: `python -m studio_avatar.data.prepare --data ../shared/data --out
RUNS/data`.

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
(`true_places.py`), `scene` what the capture measured of the scene.

Each NAME.safetensors has arrays (uint8, offsets float16) with one row an item, and NAME.json lists the items: id, subject,
split ("train", "validation" or "held_out"), and what was skipped and why. Finished items stay in `parts/`, so a stopped run
goes on where it was.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import zlib
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from studio_avatar.errors import InvalidInputError, StudioAvatarError
from studio_avatar.head.model import HeadModel

HELD_OUT_PORTRAITS, VALIDATION_PORTRAITS = 40, 20  # the last by name, and those before them
GENERATED_HELD_OUT_EVERY = 6  # generated portraits are held out, from the first by name on
DIM_LIGHTS = (8, 9)  # of each ten of a training subject: far under
UNSEEN_LIGHTS = 6  # simulated captures a validation or held-out subject
VALIDATION_FITS = 4  # fitted captures a validation subject, for the registrar
PORTRAIT_CAPTURE_SIZE, PORTRAIT_SIZE = 512, 256
STUDIO_SIZE, SMALL_SIZE, TEXEL_SIZE = 1024, 512, 128
TRAIN_VIEWS, TRAIN_FRAME = 3, (720, 960)
HELD_OUT_VIEWS, HELD_OUT_FRAME = 5, (1080, 1440)
STAGES = ("studio", "views", "portraits", "people", "texels", "captures")


# Made without the registrar: what it learns from.
BEFORE_REGISTRAR = ("studio", "studio_augmented", "views")


@dataclass(frozen=True)
class StoredScene:
    """`SceneStatistics` of a prepared capture, as far as the tone estimator is concerned."""

    vector: np.ndarray
    doubt: str | None = None


@dataclass(frozen=True)
class Job:
    """One item to prepare: `make(job, head)` of its set gives the arrays that go into row `id`."""

    set: str
    id: str
    subject: str
    split: str
    data: str
    out: str
    head_mark: str
    variant: int = 0
    environments: str = ""  # file of panoramas that light the simulated captures; none if empty
    everybody: bool = False  # views show heads of both shape spaces through phones' lenses

    @property
    def part(self) -> Path:
        return Path(self.out) / "parts" / self.head_mark / self.set / f"{self.id}.npz"

    @property
    def rng(self) -> np.random.Generator:
        """The same numbers for the same item in every run, whatever was done before it."""
        return np.random.default_rng(zlib.crc32(f"{self.set}/{self.id}".encode()))


def prepare(options) -> None:
    """Make and pack the sets of the chosen stages; what is skipped is named and counted.

    Raises:
        InvalidInputError: a folder holds nothing of what a stage needs.
    """
    options.head_mark = head_mark(HeadModel.from_pretrained(options.head, subfolder="head"))
    options.panoramas = pack_environments(options.environments, options.out) if options.environments else ""
    for stage in STAGES if options.stage == "all" else (options.stage,):
        for name, jobs in plan(stage, options).items():
            run(jobs, options)
            report(name, len(jobs), pack(options.out, name, jobs))


def report(name: str, count: int, skipped: Counter) -> None:
    """Print how many of `count` items were packed, and how many were skipped for which reason."""
    for reason, times in sorted(skipped.items()):
        print(f"skipped {times} of {name}: {reason}")
    print(f"{name}: {count - sum(skipped.values())} items, {sum(skipped.values())} skipped", flush=True)


def pack_environments(folder: Path, out: Path) -> str:
    """Read a folder of panoramas once -> the file that the workers load; what was skipped is reported like a set.

    Raises:
        InvalidInputError: the folder has no usable panorama.
    """
    from safetensors.numpy import save_file

    from studio_avatar.data.simulate.environments import read_panoramas

    good, broken = read_panoramas(folder)
    out.mkdir(parents=True, exist_ok=True)
    file = out / "environments.safetensors"
    save_file({"radiance": np.stack(list(good.values()))}, file)
    index = {"items": [{"id": name} for name in good], "skipped": broken}
    (out / "environments.json").write_text(json.dumps(index, indent=1))
    report("environments", len(good) + len(broken), Counter(broken.values()))
    return str(file)


def head_mark(head) -> str:
    """Eight hex digits that change with the head: textures of two layouts must never be mixed."""
    digest = hashlib.sha256()
    for name, buffer in sorted(head.state_dict().items()):
        digest.update(name.encode() + buffer.cpu().numpy().tobytes())
    return digest.hexdigest()[:8]


def plan(stage: str, options) -> dict[str, list[Job]]:
    """Set name -> its jobs, in the order of the rows."""
    from studio_avatar.data.studio_set import studio_subjects

    where = {
        "data": str(options.data), "out": str(options.out), "head_mark": options.head_mark,
        "environments": options.panoramas,
    }  # fmt: skip
    if stage == "portraits":
        names = [path.stem for path in sorted((options.data / "portraits").glob("*.jpg"))]
        if not names:
            raise InvalidInputError(f"There are no portraits (*.jpg) in {options.data / 'portraits'}.")
        apart = ["validation"] * VALIDATION_PORTRAITS + ["held_out"] * HELD_OUT_PORTRAITS
        split = ["train"] * (len(names) - len(apart)) + apart
        return {
            stage: [Job(stage, n, n, s, **where) for n, s in zip(names, split[-len(names) :], strict=True)]
        }
    if stage == "people":
        return {stage: [Job(stage, name, name, split, **where) for name, split in _people(options.data)]}
    subjects = studio_subjects(options.data)
    trained, validation, held_out = (
        [s for s in subjects if s.split == split] for split in ("train", "validation", "held_out")
    )

    def jobs(name, people, count):
        return [
            Job(name, f"{p.id}-{i:02d}", p.id, p.split, **where, variant=i)
            for i in range(count)
            for p in people
        ]

    if stage == "studio":
        base = [Job(stage, s.id, s.id, s.split, **where) for s in subjects]
        return {stage: base, "studio_augmented": jobs("studio_augmented", trained, options.variants)}
    if stage == "views":
        views = jobs(stage, trained, options.fits) + jobs(stage, validation, VALIDATION_FITS)
        return {stage: [replace(job, everybody=options.everybody) for job in views]}
    if stage == "texels":
        return {"texel_captures": jobs("texel_captures", trained, options.texel_lights)}
    return {
        "captures": jobs("captures", trained, options.lights) + jobs("captures", validation, UNSEEN_LIGHTS),
        "captures_held_out": jobs("captures_held_out", held_out, UNSEEN_LIGHTS),
    }


def _people(data: Path) -> list[tuple[str, str]]:
    """(name, split) of the real portraits and, where the folder is there, the generated ones."""
    real = [path.stem for path in sorted((data / "portraits").glob("*.jpg"))]
    apart = ["validation"] * VALIDATION_PORTRAITS + ["held_out"] * HELD_OUT_PORTRAITS
    splits = ["train"] * (len(real) - len(apart)) + apart
    generated = [path.stem for path in sorted((data / "portraits_generated").glob("*.webp"))]
    return [
        *zip(real, splits[-len(real) :]),
        *((n, "train" if i % GENERATED_HELD_OUT_EVERY else "held_out") for i, n in enumerate(generated)),
    ]


def studio_jobs(data: Path, out: Path, mark: str, count: int) -> list[Job]:
    """`count` augmented textures, spread over the training people under `data`, whose own are prepared in `out`."""
    from studio_avatar.data.studio_set import studio_subjects

    people = [s for s in studio_subjects(data) if s.split == "train"]
    chosen = [people[i * len(people) // count] for i in range(count)]
    where = {"data": str(data), "out": str(out), "head_mark": mark}
    return [Job("studio_augmented", f"{p.id}-{i:02d}", p.id, p.split, **where) for i, p in enumerate(chosen)]


def run(jobs: list[Job], options) -> None:
    """Do the jobs that have no part yet; a broken input leaves a `.skipped` file with the reason."""
    todo = [job for job in jobs if not job.part.exists()]
    if not todo:
        return
    todo[0].part.parent.mkdir(parents=True, exist_ok=True)
    sources = options.head, "" if todo[0].set in BEFORE_REGISTRAR else options.registrar
    if options.workers == 1:
        _start(*sources)
        _count(map(_do, todo), len(todo))
        return
    # One core a process: inner thread pools would fight over the cores.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    with ProcessPoolExecutor(options.workers, get_context("spawn"), _start, sources) as pool:
        _count(pool.map(_do, todo), len(todo))


def _count(finished: Iterable[Job], total: int) -> None:
    for done, job in enumerate(finished, 1):
        if done % 10 == 0 or done == total:
            print(f"{job.set} {done}/{total}", flush=True)


def pack(out: Path, name: str, jobs: list[Job]) -> Counter:
    """Gather the parts into `name`.safetensors and `name`.json -> how many items were skipped for which
    reason.
    """
    from safetensors.numpy import save_file

    ready = [job for job in jobs if job.part.exists()]
    reasons = {job.id: job.part.with_suffix(".skipped").read_text() for job in jobs if not job.part.exists()}
    columns: dict[str, np.ndarray] = {}
    for row, job in enumerate(ready):
        with np.load(job.part) as part:
            for key in _COLUMNS[name]:
                columns.setdefault(key, np.empty((len(ready), *part[key].shape), part[key].dtype))[row] = (
                    part[key]
                )
    staging = out / f".{name}.safetensors"
    save_file(columns, staging)
    os.replace(staging, out / f"{name}.safetensors")
    items = [{"id": j.id, "subject": j.subject, "variant": j.variant, "split": j.split} for j in ready]
    index = {"head": jobs[0].head_mark, "items": items, "skipped": reasons}
    (out / f"{name}.json").write_text(json.dumps(index, indent=1))
    return Counter(reasons.values())


# ------------------------------------------------------------------------------------------------
# Inside a worker process
# ------------------------------------------------------------------------------------------------

_HEAD = _REGISTRAR = None


def _start(head: str, registrar: str) -> None:
    global _HEAD, _REGISTRAR
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _HEAD = HeadModel.from_pretrained(head, subfolder="head")
    if registrar:
        from studio_avatar.models import Registrar

        _REGISTRAR = Registrar.from_pretrained(registrar, subfolder="registrar")


def _do(job: Job) -> Job:
    try:
        arrays = _MAKERS[job.set](job, _HEAD)
    except StudioAvatarError as error:
        job.part.with_suffix(".skipped").write_text(f"{type(error).__name__}: {error}")
        return job
    staging = job.part.with_name(f".{job.id}.npz")
    np.savez(staging, **arrays)
    os.replace(staging, job.part)
    return job


def _portrait(job: Job, head) -> dict:
    from studio_avatar.capture import capture

    photo = Path(job.data) / "portraits" / f"{job.id}.jpg"
    phone = capture(photo, head, size=PORTRAIT_CAPTURE_SIZE, registrar=_REGISTRAR)
    return _phone_arrays(phone, PORTRAIT_SIZE)


def _person(job: Job, head) -> dict:
    """A portrait at the size at which relighting learns from it."""
    from studio_avatar.capture import capture

    found = [
        Path(job.data) / "portraits" / f"{job.id}.jpg",
        Path(job.data) / "portraits_generated" / f"{job.id}.webp",
    ]
    photo = next(path for path in found if path.exists())
    phone = capture(photo, head, size=SMALL_SIZE, registrar=_REGISTRAR)
    return {**_phone_arrays(phone, SMALL_SIZE), "scene": phone.scene.vector}


def _studio(job: Job, head) -> dict:
    from studio_avatar.data.studio_set import studio_texture

    subject = _subject(job)
    texture = studio_texture(subject, head, STUDIO_SIZE)
    plain = (
        studio_texture(subject, head, SMALL_SIZE, brows=False)
        if subject.bare
        else _shrink(texture, SMALL_SIZE)
    )
    return {"rgb": _uint8(texture), "plain": _uint8(plain)}


def _augmented(job: Job, head) -> dict:
    return {"rgb": _uint8(augmented_texture(job, head))}


def _views(job: Job, head) -> dict:
    from studio_avatar.data.simulate.registration_views import registration_views
    from studio_avatar.data.simulate.simulation import EVERYBODY, MAKEHUMAN
    from studio_avatar.models import Registrar

    texture = augmented_texture(job, head)
    views = registration_views(
        head, texture.astype(np.float32), job.rng, Registrar().config, _panoramas(job.environments),
        EVERYBODY if job.everybody else MAKEHUMAN,
    )  # fmt: skip
    return {key: np.stack([getattr(view, key) for view in views]) for key in _COLUMNS["views"]}


def _texel_capture(job: Job, head) -> dict:
    from studio_avatar.data.simulate.texel_capture import capture_texels

    variants = sorted(_part_folder(job, "studio_augmented").glob(f"{job.subject}-??.npz"))
    if not variants:
        raise StudioAvatarError(f"There is no augmented texture of {job.subject}: run --stage studio first.")
    with np.load(variants[job.variant % len(variants)]) as part:
        texture = _shrink(part["rgb"] / np.float32(255), TEXEL_SIZE)
    made = capture_texels(head, texture, job.rng, panoramas=_panoramas(job.environments))
    return {"rgb": _uint8(made.rgb), "seen": _uint8(made.seen), "target": _uint8(made.target)}


def _capture_small(job: Job, head) -> dict:
    """Training subjects as augmented textures, some of them in little light; validation subjects as they are, in the light
    of the held-out ones."""
    from studio_avatar.data.simulate.texel_phone import UNDER_STOPS

    if job.split == "train":
        texture = augmented_texture(job, head)
        stops = job.rng.uniform(*UNDER_STOPS) if job.variant % 10 in DIM_LIGHTS else 0.0
        conditions = {"stops": stops}
    else:
        texture, conditions = _shrink(_studio_rgb(job), SMALL_SIZE), conditions_of_variant(job.variant)
    made = _photographed(job, head, texture, TRAIN_VIEWS, TRAIN_FRAME, **conditions)
    return _capture_arrays(*made, head, SMALL_SIZE)


def light_of_variant(variant: int) -> str:
    """What lights a validation or held-out capture: the first half "rooms", as in training, then "unseen" light and camera,
    the last one "two stops under" in it."""
    if variant < UNSEEN_LIGHTS // 2:
        return "rooms"
    return "two stops under" if variant == UNSEEN_LIGHTS - 1 else "unseen"


def conditions_of_variant(variant: int) -> dict:
    """The same as `simulate` takes it."""
    light = light_of_variant(variant)
    return {"unseen": light != "rooms", "stops": -2.0 if light == "two stops under" else 0.0}


def _capture_held_out(job: Job, head) -> dict:
    conditions = conditions_of_variant(job.variant)
    made = _photographed(job, head, _studio_rgb(job), HELD_OUT_VIEWS, HELD_OUT_FRAME, **conditions)
    return _capture_arrays(*made, head, STUDIO_SIZE)


def _capture_arrays(phone, truth, head, size: int) -> dict:
    """What is kept of an `Observation` of a simulated capture and of the capture itself, at `size` texels."""
    from studio_avatar.data.simulate.true_places import registered_texture

    return {
        **_phone_arrays(phone.texture, size),
        "target": _uint8(truth.texture),
        "registered": _uint8(registered_texture(head, truth, phone)),
        "scene": phone.texture.scene.vector,
    }


def _photographed(job: Job, head, texture, num_views: int, frame: tuple[int, int], **conditions):
    """A simulated capture, made into an `Observation` at the texture's size, and its truth. conditions: `simulate`'s."""
    from studio_avatar.capture import observe
    from studio_avatar.data.simulate.simulation import simulate

    panoramas = _panoramas(job.environments)
    truth = simulate(
        head, texture.astype(np.float32), job.rng, num_views, frame, panoramas=panoramas, **conditions
    )
    return observe(truth.frames, head, size=texture.shape[0], registrar=_REGISTRAR), truth


@functools.lru_cache(maxsize=1)
def _panoramas(file: str) -> list[np.ndarray] | None:
    from safetensors.numpy import load_file

    return list(load_file(file)["radiance"]) if file else None


def augmented_texture(job: Job, head) -> np.ndarray:
    """An augmented texture of the job's subject, (512, 512, 3) float32 sRGB, with eyes that suit it.

    Raises:
        StudioAvatarError: the subject's own texture has not been prepared.
    """
    from studio_avatar.avatar.material.eyes import paint_eyes_and_mouth
    from studio_avatar.data.augment.augmentation import augment_studio, studio_masks
    from studio_avatar.data.studio_set import sample_iris

    rng, masks = job.rng, studio_masks(head, SMALL_SIZE)
    own = _studio_part(job, job.subject)["plain"] / np.float32(255)
    partners = _partners(job)
    other = _studio_part(job, str(rng.choice(partners)))["plain"] / np.float32(255) if partners else None
    texture = augment_studio(own, masks, rng, other=other, bare=_subject(job).bare)
    return paint_eyes_and_mouth(
        texture, head, sample_iris(rng, texture[masks.cheek]), int(rng.integers(2**31)), shaded=False
    )


def _partners(job: Job) -> list[str]:
    """Other prepared training subjects of the same source: only they have brows (or none) alike."""
    from studio_avatar.data.studio_set import studio_subjects

    own = _subject(job)
    return [
        s.id
        for s in studio_subjects(job.data)
        if s.split == "train"
        and s.source == own.source
        and s.id != own.id
        and _studio_path(job, s.id).exists()
    ]


def _subject(job: Job):
    from studio_avatar.data.studio_set import studio_subjects

    return next(s for s in studio_subjects(job.data) if s.id == job.subject)


def _studio_rgb(job: Job) -> np.ndarray:
    return _studio_part(job, job.subject)["rgb"] / np.float32(255)


def _part_folder(job: Job, name: str) -> Path:
    return replace(job, set=name).part.parent


def _studio_path(job: Job, subject: str) -> Path:
    return _part_folder(job, "studio") / f"{subject}.npz"


def _studio_part(job: Job, subject: str) -> dict:
    path = _studio_path(job, subject)
    if not path.exists():
        raise StudioAvatarError(f"The studio texture of {subject} is missing: run --stage studio first.")
    with np.load(path) as part:
        return dict(part)


def _phone_arrays(phone, size: int) -> dict:
    """Area-averaged to `size`; unseen texels do not bleed into seen ones."""
    weight = phone.seen[..., None]
    rgb = _shrink(phone.rgb * weight, size) / np.maximum(_shrink(weight, size), 1e-6)
    seen = _shrink(weight, size)[..., 0]
    rgb = np.where(seen[..., None] > 1e-3, rgb, _shrink(phone.rgb, size))
    return {"rgb": _uint8(rgb), "seen": _uint8(seen)}


def _shrink(image: np.ndarray, size: int) -> np.ndarray:
    step = image.shape[0] // size
    return image.reshape(size, step, size, step, -1).mean((1, 3))


def _uint8(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


_MAKERS = {
    "portraits": _portrait,
    "people": _person,
    "studio": _studio,
    "studio_augmented": _augmented,
    "views": _views,
    "texel_captures": _texel_capture,
    "captures": _capture_small,
    "captures_held_out": _capture_held_out,
}
_COLUMNS = {
    "portraits": ("rgb", "seen"),
    "people": ("rgb", "seen", "scene"),
    "studio": ("rgb",),
    "studio_augmented": ("rgb",),
    "views": ("rgb", "trust", "offset", "known"),
    "texel_captures": ("rgb", "seen", "target"),
    "captures": ("rgb", "seen", "target", "registered", "scene"),
    "captures_held_out": ("rgb", "seen", "target", "registered", "scene"),
}
