"""What a visitor asks for, as one run: look at the capture where that is to do, then make the avatar if it is wanted."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from studio_avatar.errors import StudioAvatarError
from studio_avatar.results.exports import ExportSettings
from studio_avatar.results.settings import CreationSettings

from .jobs import Job, Lane
from .progress import CAPTURE_SECONDS, EXPORT_SECONDS, FILM_SECONDS, Pace, RunProgress, expected_seconds
from .service import AvatarResult, AvatarService, CaptureCheck
from .visitors import Visitor
from .worker import Done, FirstLook, Ready, StageProgress


class Work:
    """The machine's two places of work, and who is at them: one capture is looked at, one avatar is made at a time."""

    def __init__(
        self, service: AvatarService, make: Callable[..., Iterator] | None = None, longest_queue: int = 20
    ):
        """make: `service.create`, perhaps on a borrowed GPU. longest_queue: how many may wait at each place."""
        self._service = service
        self._make = make or service.create
        self._pace = Pace()
        self.check, self.avatar = (Lane(self._pace, longest_queue) for _ in range(2))

    @property
    def waiting(self) -> int:
        """How many wait at both places."""
        return self.check.waiting + self.avatar.waiting

    def look_at(self, visitor: Visitor, paths: list[str], size: int) -> Job:
        """Look at a new capture."""
        return self._start(visitor, paths, size, None)

    def create(self, visitor: Visitor, paths: list[str], settings: CreationSettings) -> Job:
        """Make the avatar, going on from the check of this capture where there is one, even if it still runs."""
        return self._start(visitor, paths, settings.size, settings)

    def make_again(self, visitor: Visitor, **changes: float | str) -> Job:
        """Make the visitor's avatar again with some settings changed, such as the tone of the skin or the hair."""
        result = visitor.result
        settings = replace(result.settings, **changes)
        return self._start(visitor, list(result.paths), settings.size, settings)

    def still(self, visitor: Visitor) -> Path:
        """A picture (PNG) of the visitor's avatar under three lights."""
        return self._service.still(visitor.result)

    def export(self, visitor: Visitor, settings: ExportSettings) -> Job:
        """Write more files of the visitor's avatar."""
        if visitor.job is not None:
            visitor.job.stop()
        result, visitor.previews, visitor.since = visitor.result, {}, time.time()
        expected = {"export": EXPORT_SECONDS["export"] + FILM_SECONDS * settings.turntable}

        def run(job: Job) -> Iterator:
            write = lambda: self._service.export(result, settings, visitor.key)  # noqa: E731
            for update in self.avatar.in_turn(sum(expected.values()), write, visitor.address):
                if isinstance(update, Done) and not job.over:
                    visitor.pack = update.value
                yield update

        visitor.job = Job("files", run, RunProgress(expected))
        return visitor.job.start()

    def _start(self, visitor: Visitor, paths: list[str], size: int, settings: CreationSettings | None) -> Job:
        capture = (tuple(paths), size)
        looking = _check_that_runs(visitor, capture) if settings is not None else None
        if visitor.job is not None and visitor.job is not looking:
            visitor.job.stop()
        self._service.sessions.adopt(visitor.key, paths)
        check = self._finished_check(visitor, capture)
        if check is None and looking is None:
            visitor.check = None
        visitor.paths, visitor.previews, visitor.since = paths, {}, time.time()
        earlier = visitor.result
        if settings is None or earlier is None or not earlier.leads_to(paths, settings):
            earlier = None
        if settings is None:
            expected = dict(CAPTURE_SECONDS)
        else:
            expected = expected_seconds(settings, check is not None, earlier is not None)
        steps = {"invert": settings.inversion_steps, "upscale": settings.steps} if settings else {}
        progress = RunProgress(expected, steps, shared=lambda: self.check.busy and self.avatar.busy)
        if looking is not None:
            progress.go_on_from(looking.progress)

        def run(job: Job) -> Iterator:
            finished = check
            if finished is None:
                yield from _rest_of(looking) if looking else self._looking(visitor, job, paths, size)
                finished = self._finished_check(visitor, capture)
            if settings is not None:
                yield from self._making(visitor, job, paths, settings, finished, earlier)
            self._pace.note(progress.total, progress.elapsed)

        if settings is None:
            visitor.job = Job("check", run, progress, capture)
        else:
            visitor.job = Job("avatar", run, progress)
        return visitor.job.start()

    def _finished_check(self, visitor: Visitor, capture: tuple[tuple[str, ...], int]) -> CaptureCheck | None:
        held = self._service.sessions.captures.of(visitor.key)
        return held if held is not None and (held.paths, len(held.phone.rgb)) == capture else None

    def _looking(self, visitor: Visitor, job: Job, paths: list[str], size: int) -> Iterator:
        self._service.sessions.captures.drop(visitor.key)
        look = lambda: self._service.check(paths, size, visitor.key)  # noqa: E731
        for update in self.check.in_turn(sum(CAPTURE_SECONDS.values()), look, visitor.address):
            if isinstance(update, FirstLook) and not job.over:
                visitor.check = replace(update.value, phone=None)
            elif isinstance(update, Done) and not job.over:
                visitor.take_check(update.value, self._service.sessions)
            yield update

    def _making(
        self,
        visitor: Visitor,
        job: Job,
        paths: list[str],
        settings: CreationSettings,
        check: CaptureCheck | None,
        earlier: AvatarResult | None,
    ) -> Iterator:
        make = lambda: self._make(paths, settings, visitor.key, check, earlier)  # noqa: E731
        seconds = sum(expected_seconds(settings, check is not None, earlier is not None).values())
        for update in self.avatar.in_turn(seconds, make, visitor.address):
            if isinstance(update, Ready) and not job.over:
                visitor.previews = {**visitor.previews, update.name: update.path}
            elif isinstance(update, Done) and not job.over:
                visitor.result, visitor.pack = update.value, None
            yield update


def _check_that_runs(visitor: Visitor, capture: tuple[tuple[str, ...], int]) -> Job | None:
    """The visitor's check of this capture, if it is going on."""
    job = visitor.job
    return job if job is not None and not job.over and job.capture == capture else None


def _rest_of(looking: Job) -> Iterator[StageProgress]:
    """What a check that runs already still has to do; closing stops it.

    Raises:
        StudioAvatarError: the capture is of no use; the message is for the visitor.
    """
    try:
        for _ in looking.watch():
            if (stages := looking.progress).fractions:
                yield StageProgress(stages.running, stages.fractions[stages.running])
    finally:
        looking.stop()
    if looking.problem:
        raise StudioAvatarError(looking.problem)
