"""How a command ends: errors and signals become one line and an exit code.

Exit codes: 0 done, 1 failed, 2 bad input, 3 a gate refused, 130 interrupted.
"""

import gc
import logging
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from vmaf_train.errors import GateRefusedError, InputError, VmafTrainError
from vmaf_train.terminal import err, print_gates

INTERRUPTED = 130
# A second signal within this time is ignored.
SECOND_SIGNAL_SECONDS = 2


@contextmanager
def exit_code() -> Iterator[None]:
    """Turn errors and interrupts in the body into one line on standard error and an exit code."""
    try:
        yield
    except GateRefusedError as error:
        print_gates(error.gates)
        err.print(f"refused: {error}", markup=False)
        raise typer.Exit(error.exit_code) from None
    except VmafTrainError as error:
        err.print(f"error: {error}", markup=False)
        raise typer.Exit(error.exit_code) from None
    except OSError as error:
        err.print(
            f"error: {error.filename or 'system'}: {error.strerror}; repair this and run again",
            markup=False,
        )
        raise typer.Exit(InputError.exit_code) from None
    except KeyboardInterrupt:
        err.print("interrupted; finished work is kept, and the same command continues from there")
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def quick_and_interruptible() -> Iterator[None]:
    """Turn signals into KeyboardInterrupt, and run the body without the garbage collector."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    first: list[float] = []

    def interrupt(number: int, frame: object) -> None:
        # `mlflow run` sends a second signal right after the first; it must not interrupt the code
        # that ends the run.
        first.append(time.monotonic())
        if len(first) == 1 or first[-1] - first[0] > SECOND_SIGNAL_SECONDS:
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    # Imports make millions of objects, and the collector scans all of them again and again. The
    # commands make hardly any cycles.
    gc.disable()
    try:
        yield
    finally:
        sys.stdout.flush()
        # The interpreter then scans no objects at exit.
        gc.freeze()
