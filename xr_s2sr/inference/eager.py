"""A line on stderr that says how far a run is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any


class Progress:
    """Counts windows and tells someone.

    Parameters
    ----------
    report : bool or callable
        False: nobody. True: a line on stderr, at most four times a second. Else it is called with
        (windows done, windows in all).
    total : int
    """

    def __init__(self, report: bool | Callable[[int, int], Any], total: int) -> None:
        self.report, self.total, self.done = report, total, 0
        self._started = self._shown = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def tick(self) -> None:
        self.done += 1
        if callable(self.report):
            self.report(self.done, self.total)
        elif self.report:
            now = time.monotonic()
            if now - self._shown >= 0.25 or self.done == self.total:
                self._shown = now
                left = (now - self._started) / self.done * (self.total - self.done)
                sys.stderr.write(f"\rxr_s2sr: {self.done} of {self.total} windows, {left:.0f} s left ")
                sys.stderr.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.report is True and self.done:
            sys.stderr.write("\n")
