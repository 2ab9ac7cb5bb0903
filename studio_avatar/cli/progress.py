"""Progress of one avatar on the terminal."""

import sys
import time

from studio_avatar.imaging.native_logs import STDERR_LOCK
from studio_avatar.results.settings import stage_title

BAR_CELLS = 24


class StageBar:
    """A progress callback that draws one line a stage on stderr.

    On a terminal the line of the running stage is redrawn in place; elsewhere each stage is written once,
    when it is done, so that logs stay short.
    """

    def __init__(self, hidden: bool = False):
        self._hidden = hidden
        self._live = sys.stderr.isatty()
        self._stage: str | None = None
        self._started = 0.0

    def __enter__(self) -> "StageBar":
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is None:
            self._finish()
        elif self._live and self._stage and not self._hidden:
            print(file=sys.stderr)  # leave the unfinished line as it is; the error comes below it

    def __call__(self, stage: str, fraction: float) -> None:
        if stage != self._stage:
            self._finish()
            self._stage, self._started = stage, time.monotonic()
        if self._live:
            filled = round(min(max(fraction, 0.0), 1.0) * BAR_CELLS)
            self._write(f"\r  {stage_title(stage):<22} {'━' * filled}{'─' * (BAR_CELLS - filled)}")

    def _finish(self) -> None:
        if self._stage:
            seconds = time.monotonic() - self._started
            if self._live:
                self(self._stage, 1.0)
            self._write(
                f" {seconds:6.1f} s\n"
                if self._live
                else f"  {stage_title(self._stage):<22} {seconds:6.1f} s\n"
            )

    def _write(self, text: str) -> None:
        if not self._hidden:
            with STDERR_LOCK:
                sys.stderr.write(text)
                sys.stderr.flush()
