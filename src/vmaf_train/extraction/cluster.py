"""libvmaf passes and encodes on the workers of a Dask cluster; needs the extra `cluster`.

Workers read the clips from a file system that they share with this process, and send the scores
back or write encodes beside them. Only this process writes the cache. Dask's scheduler runs the
work of a lost worker again on the others.
"""

import logging
import re
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from functools import cache

from distributed import Client, LocalCluster
from distributed.scheduler import KilledWorker

from vmaf_train.clips.encoders import version_of
from vmaf_train.clips.encoding import Making
from vmaf_train.clips.pairs import Pair
from vmaf_train.errors import InputError
from vmaf_train.extraction.libvmaf import Ffmpeg, find_ffmpeg
from vmaf_train.extraction.logs import FrameScores
from vmaf_train.extraction.passes import OpenWorkers, Workers
from vmaf_train.extraction.schedule import Pass
from vmaf_train.processes import Processes
from vmaf_train.reporting import Reporter
from vmaf_train.teacher.teachers import DEFAULT_TEACHER, find_teacher

# How often Dask runs a failed pass again.
RETRIES = 2
# How long to wait for the scheduler, and then for a worker.
TIMEOUT_SECONDS = 10


def cluster_workers(scheduler: str, ffmpeg: Ffmpeg, reporter: Reporter) -> OpenWorkers:
    """Return a function that opens the workers of a Dask cluster.

    Args:
        scheduler: address of a running scheduler (`tcp://host:8786`), or `local:N` for N workers on
            this machine.
        ffmpeg: the ffmpeg of this machine; every worker must have its version of libvmaf.
        reporter: receives the address of the dashboard.

    Raises:
        InputError: the returned function raises it, if no scheduler answers or it has no worker.
    """

    if own := [teacher.name for teacher in ffmpeg.teachers if teacher.file]:
        raise InputError(
            f"{', '.join(own)} is a model file, which workers of a cluster do not have; "
            "leave scheduler out"
        )

    @contextmanager
    def open_workers(pairs: Sequence[Pair]) -> Iterator[Workers]:
        with cluster_pool(scheduler, reporter) as (pool, threads):
            yield Workers(
                lambda job: pool.submit(libvmaf_pass, job, ffmpeg.libvmaf_version),
                count=threads,
                cores=1,
                losses=(KilledWorker, *Workers.losses),
            )

    return open_workers


@contextmanager
def cluster_pool(scheduler: str, reporter: Reporter) -> Iterator[tuple[Executor, int]]:
    """Connect to a Dask cluster; yield an executor of its workers, and the number of their threads.

    Args:
        scheduler: see `cluster_workers`.
        reporter: receives the address of the dashboard.

    Raises:
        InputError: no scheduler answers, or it has no worker.
    """
    logging.getLogger("distributed").setLevel(logging.WARNING)
    with ExitStack() as opened:
        client = _connect(scheduler, opened)
        reporter.say(f"dashboard: {client.dashboard_link}")
        pool = client.get_executor(pure=False, retries=RETRIES)  # type: ignore[no-untyped-call]
        try:
            yield pool, sum(client.nthreads().values())  # type: ignore[no-untyped-call]
        except BaseException:
            # Work that runs ends by itself; work that waits is cancelled.
            pool.shutdown(wait=False)
            raise


def make_clip(making: Making, made_by: str) -> None:
    """Make a clip on a worker, in a folder that it shares with this process.

    Raises:
        InputError: the worker's ffmpeg is not usable, or is another one.
        ExtractionError: see `Making.run`.
    """
    ffmpeg = _ffmpeg_of_the_worker((DEFAULT_TEACHER.name,)).path
    if version_of(ffmpeg) != made_by:
        raise InputError(
            f"worker {socket.gethostname()} has {version_of(ffmpeg)}, this machine {made_by}; "
            "install the same imageio-ffmpeg on both, or set VMAF_FFMPEG there"
        )
    making.run(ffmpeg, Processes())


def libvmaf_pass(job: Pass, libvmaf_version: str) -> list[FrameScores]:
    """Score the pairs of one pass; runs on a worker.

    Raises:
        InputError: the worker's ffmpeg is not usable, or has another libvmaf.
        ExtractionError: see `Ffmpeg.extract`.
    """
    ffmpeg = _ffmpeg_of_the_worker(job.teachers)
    if ffmpeg.libvmaf_version != libvmaf_version:
        raise InputError(
            f"worker {socket.gethostname()} has libvmaf {ffmpeg.libvmaf_version}, this machine "
            f"{libvmaf_version}; install the same imageio-ffmpeg on both, or set VMAF_FFMPEG there"
        )
    return ffmpeg.extract(job)


def _connect(scheduler: str, opened: ExitStack) -> Client:
    address = scheduler
    if local := re.fullmatch(r"local:([1-9][0-9]*)", scheduler):
        cluster = LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=int(local[1]), threads_per_worker=1, dashboard_address="127.0.0.1:0"
        )
        address = opened.enter_context(cluster).scheduler_address
    try:
        client = Client(address, timeout=TIMEOUT_SECONDS)  # type: ignore[no-untyped-call]
        opened.enter_context(client)
        client.wait_for_workers(1, timeout=TIMEOUT_SECONDS)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler with a worker answers at {scheduler} ({error}); start them with "
            "`dask scheduler` and `dask worker --nthreads 1 tcp://HOST:8786`, "
            "or pass scheduler=local:N"
        ) from error
    return client


@cache
def _ffmpeg_of_the_worker(teachers: tuple[str, ...]) -> Ffmpeg:
    return find_ffmpeg(*map(find_teacher, teachers))
