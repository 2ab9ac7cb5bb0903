"""Many videos, many processes: each file of a folder becomes its own result folder.

    accelerate launch --multi_gpu --num_processes 2 -m studio_avatar batch clips/ -o out/

Every process takes its share of the sorted list (`PartialState`), so nothing has to be agreed on while they work, and a run
that was killed goes on: a finished result is a folder that is there, because folders appear whole.
"""

import functools
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

from studio_avatar.errors import InvalidInputError, StudioAvatarError
from studio_avatar.imaging.files import new_folder, remove_staging

from .folder import ResultFiles, check_target, save_results
from .settings import CreationSettings, create_avatar

LOGGER = logging.getLogger(__name__)
# Files that say that they are captures get a job even when nothing in them can be read: its line says what is wrong.
CAPTURE_SUFFIXES = {
    ".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi", ".3gp", ".3g2", ".mts", ".m2ts", ".ts", ".wmv", ".flv", ".mpg",
    ".mpeg", ".ogv", ".gif", ".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif",
}  # fmt: skip
NO_CAPTURE = "It is no video or photo that can be read."
SUMMARY_FILE = "batch.jsonl"
LONGEST_WAIT = timedelta(days=30)  # of a process that is done for the slowest one


@dataclass(frozen=True)
class Job:
    """A video, or one photo, and the folder that its result goes to."""

    source: Path
    target: Path


@dataclass(frozen=True)
class JobReport:
    """One line of the batch's report.

    Attributes:
        video: file name. folder: name of its result folder, or None.
        status: "done" now, "skipped" because an earlier run with the same settings and weights finished it, "failed", or
            "left out" because it is no capture.
        seconds: spent on it now. seen_share: mean of the provenance map, in [0, 1], or None.
        error: what the user can do about a failure, or None.
    """

    video: str
    status: str
    folder: str | None
    seconds: float
    seen_share: float | None
    error: str | None

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


def find_left_out(folder: Path) -> list[JobReport]:
    """A line for every file directly in `folder` that is no capture, hidden ones aside, by name."""
    files = sorted(path for path in folder.iterdir() if _is_file(path) and not _is_capture(path))
    return [JobReport(path.name, "left out", None, 0.0, None, _why_left_out(path)) for path in files]


def find_jobs(folder: Path, output: Path) -> list[Job]:
    """The videos and photos directly in `folder`, by name; files of equal stem keep their suffix in the result's name.

    Raises:
        InvalidInputError: `folder` is none, or has no video or photo.
    """
    if not folder.is_dir():
        raise InvalidInputError(f"'{folder}' is no folder: give one with videos.")
    sources = sorted(path for path in folder.iterdir() if _is_capture(path))
    if not sources:
        raise InvalidInputError(f"'{folder}' has no video or photo in it.")
    stems = Counter(path.stem for path in sources)
    return [Job(path, output / (path.stem if stems[path.stem] == 1 else path.name)) for path in sources]


def run_batch(
    jobs: list[Job],
    settings: CreationSettings,
    weights_revision: str,
    load: Callable[[], object],
    report: Callable,
) -> list[JobReport]:
    """Do this process's share of `jobs`, wait for the others, and return all reports in the order of `jobs`.

    Args:
        weights_revision: names the weights, as in `report.json`.
        load: makes the `StudioTexturePipeline`; called once, and only when something is left to do.
        report: called with each `JobReport` of this process as soon as there is one.
    """
    import torch
    from accelerate import PartialState
    from accelerate.utils import gather_object

    # Without `cpu=True` accelerate takes several processes on a machine without accelerator for one each.
    state = PartialState(cpu=not torch.accelerator.is_available(), timeout=LONGEST_WAIT)
    load, reports = functools.cache(load), []
    with state.split_between_processes(list(enumerate(jobs))) as share:
        for place, job in share:
            if is_finished(job, settings, weights_revision):
                done = _report(job, "skipped", 0.0)
            else:
                done = _attempt(load(), job, settings, weights_revision)
            report(done)
            reports.append((place, done))
    everything = gather_object(reports)
    state.destroy_process_group()
    return [done for _, done in sorted(everything, key=lambda item: item[0])]


def is_finished(job: Job, settings: CreationSettings, weights_revision: str) -> bool:
    """Whether the target holds a whole result of these settings and weights that is not older than the video."""
    files = ResultFiles.in_folder(job.target)
    if not all(path.is_file() for path in files.paths()):
        return False
    try:
        report = json.loads(files.report.read_text())
        same = report["settings"] == asdict(settings) and report["weights_revision"] == weights_revision
    except (KeyError, TypeError, ValueError):
        return False  # no report of ours
    return same and files.report.stat().st_mtime >= job.source.stat().st_mtime


def is_main_process() -> bool:
    """Whether this is the one process that speaks for all, by the rank that the launcher gave it."""
    return int(os.environ.get("RANK", 0)) == 0


def is_one_of_many() -> bool:
    """Whether a launcher started several processes, this one among them."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".")


def _is_capture(path: Path) -> bool:
    return _is_file(path) and (path.suffix.lower() in CAPTURE_SUFFIXES or _why_left_out(path) is None)


@functools.cache
def _why_left_out(path: Path) -> str | None:
    """What is wrong with a file whose name does not say that it is a capture; None if its content is one."""
    from studio_avatar.capture.io.animation import is_still
    from studio_avatar.capture.io.video import has_pictures

    try:
        return None if is_still(path) or has_pictures(path) else NO_CAPTURE
    except StudioAvatarError as error:
        return str(error)
    except OSError as error:
        return f"It cannot be read: {error.strerror}."


def _attempt(pipeline, job: Job, settings: CreationSettings, weights_revision: str) -> JobReport:
    """One avatar; whatever is wrong with one video becomes its line, and the batch goes on."""
    started = time.monotonic()
    try:
        remove_staging(job.target)
        check_target(job.target)
        output = create_avatar(pipeline, [job.source], settings)
        with new_folder(job.target) as folder:
            save_results(output, folder, settings, weights_revision)
        return _report(job, "done", time.monotonic() - started)
    except StudioAvatarError as error:
        sentence = str(error)
    except Exception as error:
        LOGGER.exception("'%s' could not be made into an avatar.", job.source)
        sentence = f"Unexpected {type(error).__name__}: {error}"
    return JobReport(job.source.name, "failed", None, round(time.monotonic() - started, 2), None, sentence)


def _report(job: Job, status: str, seconds: float) -> JobReport:
    """The line of a job whose result is there."""
    seen_share = json.loads(ResultFiles.in_folder(job.target).report.read_text())["seen_share"]
    return JobReport(job.source.name, status, job.target.name, round(seconds, 2), seen_share, None)
