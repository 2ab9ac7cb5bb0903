"""One item to prepare, and doing many of them in processes of their own."""

import functools
import os
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from studio_avatar.errors import StudioAvatarError
from studio_avatar.head.model import HeadModel
from studio_avatar.models import Registrar


@dataclass(frozen=True)
class Job:
    """One item: the `make` of its set gives the arrays that go into row `id`.

    data, out: folders, as in `PrepareConfig`; head_mark: see `packing.head_mark`; environments: file of panoramas that light
    the simulated captures, none if empty; everybody: views show heads of both shape spaces through phones' lenses.
    """

    set: str
    id: str
    subject: str
    split: str
    data: str
    out: str
    head_mark: str
    variant: int = 0
    environments: str = ""
    everybody: bool = False

    @property
    def part(self) -> Path:
        """The file with this item's arrays, once they are made."""
        return self.part_of(self.set, self.id)

    @property
    def reason(self) -> Path:
        """The file that says why this item was skipped, if it was."""
        return self.part.with_suffix(".skipped")

    @property
    def rng(self) -> np.random.Generator:
        """The same numbers for the same item in every run, whatever was done before it."""
        return np.random.default_rng(zlib.crc32(f"{self.set}/{self.id}".encode()))

    def part_of(self, set_name: str, item: str) -> Path:
        """The file with the arrays of another item, which this one is made from."""
        return Path(self.out) / "parts" / self.head_mark / set_name / f"{item}.npz"


@dataclass(frozen=True)
class Models:
    """What items are made with: a `HeadModel`, and the registration network, None for sets that it learns from."""

    head: HeadModel
    registrar: Registrar | None


@functools.lru_cache(maxsize=2)
def load_models(head: str, registrar: str | None) -> Models:
    """Folders or Hub ids with the subfolders `head` and `registrar`; kept, as every item of a process needs them."""
    return Models(
        HeadModel.from_pretrained(head, subfolder="head"),
        Registrar.from_pretrained(registrar, subfolder="registrar") if registrar else None,
    )


Make = Callable[[Job, Models], dict[str, np.ndarray]]


def run(make: Make, jobs: list[Job], head: str, registrar: str | None, workers: int) -> None:
    """Do the jobs of one set that have no part yet; a broken input leaves a file with the reason.

    Args:
        make: a function of a module, so that other processes find it.
        head, registrar: as `load_models` takes them.
        workers: processes, one core each; 1: this one.
    """
    todo = [job for job in jobs if not job.part.exists()]
    if not todo:
        return
    todo[0].part.parent.mkdir(parents=True, exist_ok=True)
    work = functools.partial(_do, make=make, head=head, registrar=registrar)
    if workers == 1:
        _use_one_core()
        _count(map(work, todo), len(todo))
        return
    # One core a process: inner thread pools would fight over the cores.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    with ProcessPoolExecutor(workers, get_context("spawn"), _use_one_core) as pool:
        _count(pool.map(work, todo), len(todo))


def _use_one_core() -> None:
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _do(job: Job, make: Make, head: str, registrar: str | None) -> Job:
    try:
        arrays = make(job, load_models(head, registrar))
    except StudioAvatarError as error:
        job.reason.write_text(f"{type(error).__name__}: {error}")
        return job
    staging = job.part.with_name(f".{job.id}.npz")
    np.savez(staging, **arrays)
    os.replace(staging, job.part)
    return job


def _count(finished: Iterable[Job], total: int) -> None:
    for done, job in enumerate(finished, 1):
        if done % 10 == 0 or done == total:
            print(f"{job.set} {done}/{total}", flush=True)
