"""Runs whose process is gone: a kill leaves them RUNNING, since nothing can end them."""

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from vmaf_train.files import is_running
from vmaf_train.tracking.store import open_store

# Tag of a run: the machine and the process that work on it.
PROCESS_TAG = "process"
PROCESS = re.compile(r"(?P<machine>.+) (?P<pid>[0-9]{1,10}) (?P<start>[0-9]{0,20})")
# A run without the tag, such as one that `mlflow run` made and nobody resumed, is left alone so
# long.
UNKNOWN_SECONDS = 24 * 3600.0
# Runs per request.
PAGE = 1000


@dataclass(frozen=True)
class Orphan:
    """A run that is RUNNING without a process, and how that is known."""

    run_id: str
    name: str
    reason: str


def own_process() -> str:
    """Return the value of the tag for this process."""
    return f"{_machine()} {os.getpid()} {_start_of(os.getpid())}"


def close_orphans() -> list[Orphan]:
    """End the runs whose process is gone as KILLED, and return them.

    A run of another machine is left alone, since its processes cannot be seen from here.

    Raises:
        InputError: the tracking store cannot be used.
    """
    open_store()
    client = MlflowClient()
    found = [
        Orphan(run.info.run_id, run.info.run_name or "", reason)
        for run in _running(client)
        if (reason := _why_orphan(run))
    ]
    for orphan in found:
        client.set_tag(orphan.run_id, "error", orphan.reason)
        client.set_terminated(orphan.run_id, "KILLED")
    return found


def newest_runs(count: int) -> list[Run]:
    """Return the newest runs of all experiments, the newest first.

    Raises:
        InputError: the tracking store cannot be used.
    """
    open_store()
    client = MlflowClient()
    order = ["attributes.start_time DESC"]
    return list(client.search_runs(_experiments(client), order_by=order, max_results=count))


def _running(client: MlflowClient) -> Iterator[Run]:
    token: str | None = None
    while True:
        wanted = "attributes.status = 'RUNNING'"
        page = client.search_runs(_experiments(client), wanted, max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _experiments(client: MlflowClient) -> list[str]:
    return [each.experiment_id for each in client.search_experiments()]


def _why_orphan(run: Run) -> str | None:
    """Return why a running run has no process; None if it may have one."""
    found = PROCESS.fullmatch(run.data.tags.get(PROCESS_TAG, ""))
    if found is None:
        old = time.time() - run.info.start_time / 1000 > UNKNOWN_SECONDS
        return "it names no process and is older than a day" if old else None
    if found["machine"] != _machine():
        return None
    pid = int(found["pid"])
    # Another process can have the same id later.
    same = is_running(pid) and _start_of(pid) == found["start"]
    return None if same else f"process {pid} is gone"


def _machine() -> str:
    """Return the name of this machine and of the room in which its process ids count."""
    room = ""
    with suppress(OSError):
        # Containers can share a name, but not this number.
        room = f"/{Path('/proc/self/ns/pid').stat().st_ino}"
    return f"{socket.gethostname()}{room}"


def _start_of(pid: int) -> str:
    """Return when a process started, in ticks since boot; empty where the system does not say."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # Field 22 of proc(5), counted after the name, which can hold blanks.
    return stat.rpartition(")")[2].split()[19]
