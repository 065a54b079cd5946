"""Run work in a child process and kill it just before one of its system events."""

import os
import signal
import sys
from collections.abc import Callable

EVENTS = ("open", "os.", "shutil.", "ctypes.call")


def run_killed_at(event: int | None, work: Callable[[], object]) -> int:
    """Run work in a child; return how many system events there were, 0 if it was killed.

    Args:
        event: number of the event, from 1, just before which the child is killed; None lets it
            finish.
        work: what the child does.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, str(count_events(event, work)).encode())
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as pipe:
        events = pipe.read()
    assert os.waitstatus_to_exitcode(status) == (0 if event is None else -signal.SIGKILL)
    return int(events or 0)


def count_events(event: int | None, work: Callable[[], object]) -> int:
    """Do the work and return how many events it had; end this process before one of them."""
    seen = 0

    def hook(name: str, arguments: object) -> None:
        nonlocal seen
        if name.startswith(EVENTS):
            seen += 1
            if seen == event:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    work()
    return seen
