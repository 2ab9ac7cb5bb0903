"""Running one long task in a thread while a generator reports on it and can stop it."""

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from .memory import give_back

Result = TypeVar("Result")

HEARTBEAT_SECONDS = 0.5  # a generator can be closed only at a yield, so it yields at least this often


@dataclass(frozen=True)
class StageProgress:
    """`stage` is the pipeline's name of what it does now; `fraction` of that stage is done, in [0, 1]."""

    stage: str
    fraction: float


@dataclass(frozen=True)
class Ready:
    """A file that can be shown or downloaded although the task goes on; `name` says what it is."""

    name: str
    path: Path


@dataclass(frozen=True)
class FirstLook(Generic[Result]):
    """Much the same as the task's return value will be, to be shown while the task goes on."""

    value: Result


@dataclass(frozen=True)
class Done(Generic[Result]):
    """The task's return value; always the last thing that `follow` yields."""

    value: Result


Update = StageProgress | Ready | FirstLook
Report = Callable[[Update], None]


class _Stopped(BaseException):
    """Unwinds the task after the consumer left. Not an Exception, so that no handler on the way keeps it."""


def follow(task: Callable[[Report], Result]) -> Iterator[Update | Done[Result]]:
    """Run `task(report)` in a thread and yield what it reports, then its result.

    Closing the generator (a cancelled browser event does that) makes the task's next report raise inside the
    task, so that it stops there.

    Raises:
        Exception: whatever the task raised.
    """
    reports: queue.Queue = queue.Queue()
    abandoned = threading.Event()

    def report(update: Update) -> None:
        if abandoned.is_set():
            raise _Stopped
        reports.put(update)

    def run() -> None:
        try:
            reports.put(Done(task(report)))
        except _Stopped:
            pass
        except Exception as error:
            reports.put(error)
        finally:
            give_back()

    threading.Thread(target=run, name="avatar", daemon=True).start()
    try:
        yield from _drain(reports)
    finally:
        abandoned.set()


def _drain(reports: queue.Queue) -> Iterator[Update | Done]:
    """Yield the newest report, skipping progress that came too fast to be seen, until the task ends."""
    latest: StageProgress | None = None
    while True:
        try:
            report = reports.get(timeout=HEARTBEAT_SECONDS)
            while isinstance(report, StageProgress) and not reports.empty():
                following = reports.get()
                if getattr(following, "stage", None) != report.stage:
                    yield report  # the end of a stage is never skipped
                report = following
        except queue.Empty:
            report = latest
        if isinstance(report, Exception):
            raise report
        if report is not None:
            yield report
        if isinstance(report, Done):
            return
        if isinstance(report, StageProgress):
            latest = report
