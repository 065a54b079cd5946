"""Run commands as child processes from several threads, and stop all of them at once."""

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread

from vmaf_train.errors import ExtractionError, InputError

# How much of standard error is kept, and how long its end is waited for.
TAIL_BYTES, TAIL_SECONDS = 1 << 16, 5.0


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Processes:
    """The child processes of one task; threads can share it."""

    def __init__(self) -> None:
        self._children: set[subprocess.Popen[bytes]] = set()
        self._lock = Lock()
        self._stopped = False

    @property
    def running(self) -> int:
        """Number of commands that run now."""
        return len(self._children)

    def run(
        self,
        command: Sequence[str],
        cwd: Path | None = None,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> bytes:
        """Run a command and return what it wrote to standard output.

        Args:
            command: the executable and its arguments.
            cwd: working folder; None is that of this process.
            stdin: bytes for its standard input.
            env: variables to add to the environment.
            seconds: time limit; None sets none.

        Raises:
            ExtractionError: the command failed, or took too long; the message holds it and its last
                lines of error.
            InputError: the command failed because a disk is full.
            OSError: the command could not be started.
        """
        process = self._start(command, cwd, env)
        tail = _Tail(process)
        try:
            out, _ = process.communicate(stdin, timeout=seconds)
        except subprocess.TimeoutExpired as error:
            raise ExtractionError(
                f"it did not end in {seconds:.0f} s and was stopped. Command: {shlex.join(command)}"
            ) from error
        finally:
            if process.poll() is None:
                _kill(process)
            process.wait()
            err = tail.read()
            with self._lock:
                self._children.discard(process)
        if process.returncode:
            raise _failure(command, process.returncode, err)
        return out

    def stop(self) -> None:
        """Kill every running command and refuse new ones; used after an interrupt."""
        with self._lock:
            self._stopped = True
            for process in self._children:
                _kill(process)

    def _start(
        self, command: Sequence[str], cwd: Path | None, env: Mapping[str, str] | None
    ) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        with self._lock:
            if self._stopped:
                raise ExtractionError(f"stopped before it ran: {shlex.join(command)}")
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                # In a new session, the child gets no Ctrl-C. This process does, and stops it.
                start_new_session=True,
            )
            self._children.add(process)
        return process


class _Tail:
    """Reads what a process writes to standard error, and keeps the end of it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr
        self._stream, self._kept = process.stderr, b""
        # So that `communicate` leaves it alone: it would keep all.
        process.stderr = None
        self._thread = Thread(target=self._follow, daemon=True)
        self._thread.start()

    def read(self) -> bytes:
        """Return the last bytes; call it after the process has ended."""
        # A child of the process can hold the stream open.
        self._thread.join(timeout=TAIL_SECONDS)
        return self._kept

    def _follow(self) -> None:
        with self._stream as stream:
            while more := os.read(stream.fileno(), TAIL_BYTES):
                self._kept = (self._kept + more)[-TAIL_BYTES:]


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its children, which are the group that it leads."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _failure(command: Sequence[str], status: int, stderr: bytes) -> ExtractionError | InputError:
    lines = stderr.decode(errors="replace").strip().splitlines()
    last_lines = " | ".join(lines[-3:])
    failure = f"{Path(command[0]).name} ended with status {status}: {last_lines}. "
    if "No space left on device" in last_lines:
        return InputError(
            f"{failure}Free some space, "
            "or set TMPDIR and VMAF_TINY_AI_CACHE to folders on another disk"
        )
    return ExtractionError(f"{failure}Command: {shlex.join(command)}")
