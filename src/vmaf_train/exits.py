"""How a command ends: errors and signals become one line and an exit code.

Exit codes: 0 done, 1 failed, 2 bad input, 3 a gate refused, 130 interrupted.
"""

import gc
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from vmaf_train.console import tell
from vmaf_train.errors import GateRefusedError, InputError, VmafTrainError
from vmaf_train.signals import INTERRUPTED
from vmaf_train.terminal import print_gates


@contextmanager
def exit_code() -> Iterator[None]:
    """Turn errors and interrupts in the body into one line on standard error and an exit code."""
    try:
        yield
    except GateRefusedError as error:
        print_gates(error.gates)
        tell(f"refused: {error}")
        raise typer.Exit(error.exit_code) from None
    except VmafTrainError as error:
        tell(f"error: {error}")
        raise typer.Exit(error.exit_code) from None
    except OSError as error:
        where = error.filename or "system"
        tell(f"error: {where}: {error.strerror}; repair this and run again")
        raise typer.Exit(InputError.exit_code) from None
    except KeyboardInterrupt:
        tell("interrupted; finished work is kept, and the same command continues from there")
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def no_wait_for_threads() -> Iterator[None]:
    """End the process with its exit code, even if a thread of a download still waits."""
    try:
        yield
    except SystemExit as end:
        others = set(threading.enumerate()) - {threading.main_thread()}
        if any(not thread.daemon for thread in others) and isinstance(end.code, int):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code)
        raise


@contextmanager
def quick() -> Iterator[None]:
    """Run the body without the garbage collector."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    # Imports make millions of objects, and the collector scans all of them again and again. The
    # commands make hardly any cycles.
    gc.disable()
    try:
        yield
    finally:
        sys.stdout.flush()
        # The interpreter then scans no objects at exit.
        gc.freeze()
