"""Runs that wait their turn, and that go on when the page that asked for them is gone for a while."""

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count

from studio_avatar.errors import StudioAvatarError

from .progress import Pace, RunProgress
from .sentences import user_sentence
from .shares import MOST_RUNS, TOO_MANY_RUNS
from .worker import HEARTBEAT_SECONDS, Done, StageProgress, Update

FULL = "Too many people are waiting at the moment: please try again in a few minutes."


class QueueFullError(StudioAvatarError):
    """As many runs wait as may, of all visitors or of this one; the message is for the user."""


@dataclass(frozen=True)
class Waiting:
    """How many runs come first, and how long they should take [s]."""

    before: int
    seconds: float


class Lane:
    """A queue for something of which there is one: who came first goes first, and everybody can be told how long it takes.

    pace: how fast this machine is, shared by all lanes.
    """

    def __init__(self, pace: Pace, longest: int = 20):
        """longest: how many may wait."""
        self.pace = pace
        self._longest = longest
        self._tickets: list[_Ticket] = []
        self._changed = threading.Condition()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return max(len(self._tickets) - 1, 0)

    @property
    def busy(self) -> bool:
        """Whether something runs."""
        return bool(self._tickets)

    def in_turn(
        self, expected: float, run: Callable[[], Iterator], owner: str = ""
    ) -> Iterator[Update | Waiting | Done]:
        """Yield `Waiting` twice a second until it is this run's turn, then what `run()` yields; closing leaves the queue.

        Args:
            expected: how long the run takes on the reference machine [s]. owner: the address it is for; "" is everybody's.
        Raises:
            QueueFullError: as many wait as may, or as many of this owner.
        """
        with self._ticket(expected, owner) as ticket:
            while (waiting := self._wait(ticket)) is not None:
                yield waiting
            ticket.began = time.monotonic()
            with closing(run()) as updates:
                yield from updates

    @contextmanager
    def _ticket(self, expected: float, owner: str) -> Iterator["_Ticket"]:
        ticket = _Ticket(expected, owner)
        with self._changed:
            if owner and sum(other.owner == owner for other in self._tickets) >= MOST_RUNS:
                raise QueueFullError(TOO_MANY_RUNS)
            if self._tickets and self.waiting >= self._longest:
                raise QueueFullError(FULL)
            self._tickets.append(ticket)
        try:
            yield ticket
        finally:
            with self._changed:
                self._tickets.remove(ticket)
                self._changed.notify_all()

    def _wait(self, ticket: "_Ticket") -> Waiting | None:
        """Wait for half a second at most: what is still to wait for, or None when it is this ticket's turn."""
        with self._changed:
            if self._tickets[0] is not ticket:
                self._changed.wait(HEARTBEAT_SECONDS)
            before = self._tickets[: self._tickets.index(ticket)]
        if not before:
            return None
        return Waiting(len(before), sum(other.seconds_left(self.pace) for other in before))


class _Ticket:
    """A place in a lane."""

    def __init__(self, expected: float, owner: str):
        self.expected, self.owner = expected, owner
        self.began: float | None = None

    def seconds_left(self, pace: Pace) -> float:
        whole = self.expected * pace.factor
        return whole if self.began is None else max(whole - (time.monotonic() - self.began), 1.0)


class Job:
    """One visitor's run: "working", while it waits for its turn, too, and at last "done", "failed" or "stopped".

    goal: "check", "avatar" or "files". capture: paths and size [texels] of what is looked at; a check's alone.
    problem: the sentence for the visitor when it failed, else empty.

    The run goes on in a thread of its own, whoever watches. Pages look at it through `watch`.
    """

    _numbers = count(1)

    def __init__(
        self,
        goal: str,
        run: Callable[["Job"], Iterator],
        progress: RunProgress,
        capture: tuple[tuple[str, ...], int] | None = None,
    ):
        """run: makes the updates; it gets this job. progress: of all its stages."""
        self.number = next(self._numbers)
        self.goal = goal
        self.capture = capture
        self.progress = progress
        self.waiting: Waiting | None = None
        self.problem = ""
        self.state = "working"
        self._version = 0
        self._stop = False
        self._changed = threading.Condition()
        self._run = run

    @property
    def over(self) -> bool:
        return self.state != "working"

    def start(self) -> "Job":
        """Begin, with what the caller's context knows: a borrowed GPU asks it whose time it is."""
        context = contextvars.copy_context()
        threading.Thread(
            target=context.run, args=(self._work,), name=f"job-{self.number}", daemon=True
        ).start()
        return self

    def stop(self) -> None:
        """End it: at once for those who watch, at its next report for the machine."""
        with self._changed:
            self._stop = True
            if not self.over:
                self._end("stopped")

    def tell(self) -> None:
        """Something that pages show has changed."""
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    def watch(self) -> Iterator[None]:
        """Yield now, whenever something changed, and at least twice a second, until it is over; then once more."""
        seen = -1
        while True:
            with self._changed:
                if self._version == seen and not self.over:
                    self._changed.wait(HEARTBEAT_SECONDS)
                seen, over = self._version, self.over
            yield
            if over:
                return

    def _work(self) -> None:
        try:
            with closing(self._run(self)) as updates:
                for update in updates:
                    if self._stop:
                        return
                    self._take(update)
            with self._changed:
                if not self._stop:
                    self._end("done")
        except Exception as error:
            problem = user_sentence(error)
            with self._changed:
                if not self._stop:
                    self.problem = problem
                    self._end("failed")

    def _take(self, update) -> None:
        self.waiting = update if isinstance(update, Waiting) else None
        if self.waiting:
            self.progress.wait()
        elif isinstance(update, StageProgress):
            self.progress.add(update)
        self.tell()

    def _end(self, state: str) -> None:
        self.state = state
        self._version += 1
        self._changed.notify_all()
