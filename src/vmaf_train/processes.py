"""Commands run as child processes, from several threads at once, and ended all together."""

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock

from vmaf_train.errors import ExtractionError, InputError


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Processes:
    """The child processes of one piece of work."""

    def __init__(self) -> None:
        self._children: set[subprocess.Popen[bytes]] = set()
        self._lock = Lock()
        self._stopped = False

    @property
    def running(self) -> int:
        """How many commands run now."""
        return len(self._children)

    def run(
        self,
        command: Sequence[str],
        cwd: Path | None = None,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
    ) -> bytes:
        """Run a command and return what it wrote to standard output.

        Args:
            command: the words of the command.
            cwd: working folder; None is that of this process.
            stdin: what to feed it.
            env: variables to add to the environment.

        Raises:
            ExtractionError: it failed; the message holds its last words and the command.
            InputError: it failed because a disk is full.
            OSError: it could not be started.
        """
        process = self._start(command, cwd, env)
        try:
            out, err = process.communicate(stdin)
        finally:
            process.kill()
            process.wait()
            with self._lock:
                self._children.discard(process)
        if process.returncode:
            raise _failure(command, process.returncode, err)
        return out

    def stop(self) -> None:
        """End every running command and refuse new ones; for an interrupt."""
        with self._lock:
            self._stopped = True
            for process in self._children:
                process.kill()

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
                # A session of its own: Ctrl-C then reaches this process alone, which ends its
                # children itself.
                start_new_session=True,
            )
            self._children.add(process)
        return process


def _failure(command: Sequence[str], status: int, stderr: bytes) -> ExtractionError | InputError:
    said = " | ".join(stderr.decode(errors="replace").strip().splitlines()[-3:])
    failure = f"{Path(command[0]).name} ended with status {status}: {said}. "
    if "No space left on device" in said:
        return InputError(
            f"{failure}Free some space (TMPDIR and VMAF_TINY_AI_CACHE name other disks)"
        )
    return ExtractionError(f"{failure}Command: {shlex.join(command)}")
