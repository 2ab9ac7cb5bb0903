"""How far a run is and how long it will still take."""

import time
from collections.abc import Callable, Mapping

from studio_avatar.results.settings import CreationSettings

from .worker import StageProgress

# Processor seconds a stage took for the example at the standard preset, 1024 texels. Only their proportions count: the
# time left is scaled by how fast this run has been so far.
CAPTURE_SECONDS = {"landmarks": 2.2, "fit": 5.3, "unwrap": 3.6, "fuse": 3.1}
CREATION_SECONDS = {"invert": 3.6, "studio": 0.1, "relight": 1.5, "upscale": 4.5, "avatar": 0.5, "save": 2.0}
STANDARD = CreationSettings()
SURE_SECONDS = 2.0  # before that, a guess would jump about


def expected_seconds(settings: CreationSettings, captured: bool) -> dict[str, float]:
    """Stage → seconds on the reference machine, in the order of the stages.

    captured: whether a finished capture is at hand.
    """
    area = (settings.size / STANDARD.size) ** 2
    scales = {
        "unwrap": area,
        "fuse": area,
        "invert": settings.inversion_steps / STANDARD.inversion_steps,
        "upscale": area * settings.steps / STANDARD.steps,
        "save": area,
    }
    stages = CREATION_SECONDS if captured else {**CAPTURE_SECONDS, **CREATION_SECONDS}
    return {stage: seconds * scales.get(stage, 1.0) for stage, seconds in stages.items()}


class RunProgress:
    """The stages of one run in the order they came, and the time left."""

    def __init__(
        self,
        expected: Mapping[str, float],
        steps: Mapping[str, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """expected: stage → seconds, all stages to come; steps: stage → number of its steps, where it has some."""
        self.fractions: dict[str, float] = {}
        self._expected = dict(expected)
        self._steps = dict(steps or {})
        self._clock = clock
        self._began: float | None = None

    def add(self, progress: StageProgress) -> None:
        if progress.stage in self._expected and self._began is None:
            self._began = self._clock()  # waiting for the networks to load says nothing about their speed
        self.fractions[progress.stage] = min(max(progress.fraction, 0.0), 1.0)

    @property
    def running(self) -> str:
        """The stage that reported last."""
        return next(reversed(self.fractions))

    def step(self) -> tuple[int, int] | None:
        """(step, of how many) in the running stage, or None if it has no steps."""
        total = self._steps.get(self.running)
        return None if not total else (round(self.fractions[self.running] * total), total)

    def seconds_left(self) -> float | None:
        """Expected seconds to the end, or None while it is too early to tell."""
        if self._began is None:
            return None
        elapsed = self._clock() - self._began
        order = list(self._expected)
        at = order.index(self.running) if self.running in self._expected else -1
        done = sum(self._expected[stage] for stage in order[: max(at, 0)])
        done += self._expected.get(self.running, 0.0) * self.fractions[self.running]
        if elapsed < SURE_SECONDS or done <= 0.0:
            return None
        return max(sum(self._expected.values()) - done, 0.0) * elapsed / done
