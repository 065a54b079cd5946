"""Commands run as child processes: from several threads at once, with errors that quote them, ended all together."""

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock

from vmaf_train.errors import ExtractionError, InputError


class Processes:
    """The child processes of one piece of work."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = Lock()
        self._stopped = False

    def run(
        self,
        command: Sequence[str],
        cwd: Path | None = None,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
    ) -> bytes:
        """Run a command, feed it `stdin`, and return what it wrote to standard output; `env` adds to the environment.

        Raises:
            ExtractionError: it failed; the message holds its last words and the command.
            InputError: it failed because a disk is full.
            OSError: it could not be started.
        """
        with self._lock:
            if self._stopped:
                raise ExtractionError(f"stopped before it ran: {shlex.join(command)}")
            # In a session of its own: Ctrl-C reaches this process alone, which then ends its children itself.
            pipe = subprocess.PIPE
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                start_new_session=True,
            )
            self._running.add(process)
        try:
            out, err = process.communicate(stdin)
        finally:
            process.kill()
            process.wait()
            with self._lock:
                self._running.discard(process)
        if process.returncode:
            said = " | ".join(err.decode(errors="replace").strip().splitlines()[-3:])
            failure = f"{Path(command[0]).name} ended with status {process.returncode}: {said}. "
            if "No space left on device" in said:
                raise InputError(
                    f"{failure}Free some space (TMPDIR and VMAF_TINY_AI_CACHE name other disks)"
                )
            raise ExtractionError(f"{failure}Command: {shlex.join(command)}")
        return out

    def stop(self) -> None:
        """End every running command and refuse new ones; for an interrupt."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.kill()
