"""Ctrl-C and SIGTERM: a wish that a run looks for between its steps."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

REQUEST = "request"  # the reason where a person asked for it in the explorer
STOPPED = {signal.SIGINT: "interrupt", signal.SIGTERM: "terminate"}


class Stop:
    """Whether somebody wants the run to stop, by Ctrl-C or SIGTERM; a second time kills."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def __call__(self) -> str | None:
        """Why; None: go on."""
        return self.reason

    def hear(self, signum: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self.reason is not None:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        self.reason = STOPPED[signal.Signals(signum)]

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the signals within; a no-op outside the main thread, which gets none."""
        try:
            before = {signum: signal.signal(signum, self.hear) for signum in STOPPED}
        except ValueError:
            before = {}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)
