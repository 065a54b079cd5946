"""Signals become KeyboardInterrupt; a module without imports of its own, so it loads at once."""

import os
import signal
import threading
import time
from types import FrameType

# Exit code of a command that was interrupted.
INTERRUPTED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# A second signal within this time is ignored.
SECOND_SIGNAL_SECONDS = 2
# An interrupt waits for an import: some extension modules abort the process if one fails.
IMPORTING, WAIT_SECONDS = "importlib._bootstrap", 0.05
_taken: list[float] = []


def install() -> None:
    """Raise KeyboardInterrupt for each of SIGNALS in the main thread."""
    for number in SIGNALS:
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _imports(frame):
        again = threading.Timer(WAIT_SECONDS, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()
        return
    # `mlflow run` sends a second signal right after the first; it must not interrupt the code
    # that ends the run.
    _taken.append(time.monotonic())
    if len(_taken) == 1 or _taken[-1] - _taken[0] > SECOND_SIGNAL_SECONDS:
        raise KeyboardInterrupt


def _imports(frame: FrameType | None) -> bool:
    """Tell whether the interrupted code is part of an import."""
    while frame is not None:
        if IMPORTING in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False
