"""How far a run is and how long it will still take."""

import time
from collections.abc import Callable, Mapping

from studio_avatar.results.settings import CreationSettings

from .worker import StageProgress

# Processor seconds a stage took for the example at the standard preset, 1024 texels. Only their proportions count: the
# time left is scaled by how fast this run has been so far.
CAPTURE_SECONDS = {"landmarks": 2.2, "fit": 5.3, "unwrap": 3.6, "fuse": 3.1}
CREATION_SECONDS = {"invert": 3.6, "studio": 0.1, "relight": 1.5, "upscale": 4.5, "avatar": 0.5, "save": 2.0}
EXPORT_SECONDS = {"export": 8.0}  # without the turning film, which takes longer
FILM_SECONDS = 40.0
STANDARD = CreationSettings()
SURE_SECONDS = 2.0  # before that, a guess would jump about
# The time left is raised, and the reason said, when an estimate is that much longer.
SLOWER, SLOWER_SECONDS = 1.25, 4.0
LATER, SHARED = "slower than expected", "slower while someone else's avatar is made, too"
PACE_MEMORY = 0.5  # weight of the runs before the last one


def expected_seconds(settings: CreationSettings, captured: bool, inverted: bool = False) -> dict[str, float]:
    """Stage → seconds on the reference machine, in the order of the stages.

    captured, inverted: whether a finished capture, and an inversion, are at hand.
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
    done = ("invert",) if inverted else ()
    return {stage: seconds * scales.get(stage, 1.0) for stage, seconds in stages.items() if stage not in done}


class Pace:
    """How this machine compares with the reference machine, learnt from the runs that it finished."""

    def __init__(self):
        self.factor = 1.0  # seconds here for a second there

    def note(self, expected: float, took: float) -> None:
        """A run that was expected to take `expected` reference seconds took `took` seconds."""
        if expected > 0.0:
            self.factor = PACE_MEMORY * self.factor + (1.0 - PACE_MEMORY) * took / expected


class RunProgress:
    """The stages of one run in the order they came, and the time left."""

    def __init__(
        self,
        expected: Mapping[str, float],
        steps: Mapping[str, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
        shared: Callable[[], bool] = lambda: False,
    ):
        """expected: stage → seconds, all stages to come; steps: stage → number of its steps, where it has some.

        shared: whether somebody else's run makes this one slower now.
        """
        self.fractions: dict[str, float] = {}
        self._expected = dict(expected)
        self._steps = dict(steps or {})
        self._clock = clock
        self._shared = shared
        self._began: float | None = None
        self._away: float | None = None  # since when it waits
        self._told: tuple[float, float] | None = None  # seconds left, and when they were told
        self._reason = ""

    def go_on_from(self, earlier: "RunProgress") -> None:
        """Count what another run has done of these stages, and its time, as this one's."""
        self.fractions, self._began, self._away = dict(earlier.fractions), earlier._began, earlier._away

    @property
    def total(self) -> float:
        """Reference seconds of the whole run."""
        return sum(self._expected.values())

    @property
    def elapsed(self) -> float:
        """Seconds since the first stage began; what it waited for before does not count."""
        if self._began is None:
            return 0.0
        return (self._clock() if self._away is None else self._away) - self._began

    def wait(self) -> None:
        """The run waits for its turn: this time is not its own."""
        self._away = self._clock() if self._away is None else self._away

    def add(self, progress: StageProgress) -> None:
        if self._away is not None and self._began is not None:
            self._began += self._clock() - self._away
        self._away = None
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

    def time_left(self) -> tuple[float, str] | None:
        """Seconds to the end as a visitor is told them, and why they are more than before, if they are.

        They run down like a clock; only an estimate that is clearly longer raises them, with its reason. None while it is
        too early to tell.
        """
        estimate, now = self.seconds_left(), self._clock()
        if estimate is None:
            return None
        if self._told is not None:
            left = max(self._told[0] - (now - self._told[1]), 1.0)
            if estimate > SLOWER * left + SLOWER_SECONDS:
                self._reason = SHARED if self._shared() else LATER
            else:
                estimate = min(estimate, left)
        self._told = (estimate, now)
        return estimate, self._reason

    def seconds_left(self) -> float | None:
        """Expected seconds to the end, or None while it is too early to tell."""
        if self._began is None:
            return None
        elapsed = self.elapsed
        order = list(self._expected)
        at = order.index(self.running) if self.running in self._expected else -1
        done = sum(self._expected[stage] for stage in order[: max(at, 0)])
        done += self._expected.get(self.running, 0.0) * self.fractions[self.running]
        if elapsed < SURE_SECONDS or done <= 0.0:
            return None
        return max(sum(self._expected.values()) - done, 0.0) * elapsed / done
