"""libvmaf passes on the workers of a Dask cluster; needs the extra `cluster`.

The workers read the clips from a file system that they share with this process, and send the scores back; only this
process writes the cache. A lost worker's passes are run again by the others: Dask's scheduler sees to that.
"""

import logging
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache

from distributed import Client, LocalCluster
from distributed.scheduler import KilledWorker

from vmaf_train.clips.layout import Pair
from vmaf_train.errors import InputError
from vmaf_train.extraction.libvmaf import Ffmpeg, FrameScores, find_ffmpeg
from vmaf_train.extraction.passes import Passes, Place
from vmaf_train.extraction.schedule import Pass
from vmaf_train.reporting import Reporter

RETRIES = 2
PATIENCE_SECONDS = 10


def on_a_cluster(scheduler: str, libvmaf_version: str, reporter: Reporter) -> Place:
    """Return the place that sends passes to a cluster.

    Args:
        scheduler: address of a running scheduler (`tcp://host:8786`), or `local:N` for N workers on this machine.
        libvmaf_version: that every worker must have as well.
        reporter: is told the dashboard's address.

    Raises:
        InputError: when it is entered: no such scheduler, or it has no worker.
    """

    @contextmanager
    def place(pairs: Sequence[Pair]) -> Iterator[Passes]:
        logging.getLogger("distributed").setLevel(logging.WARNING)
        with ExitStack() as opened:
            if local := re.fullmatch(r"local:([1-9][0-9]*)", scheduler):
                cluster = LocalCluster(
                    n_workers=int(local[1]), threads_per_worker=1, dashboard_address="127.0.0.1:0"
                )  # type: ignore[no-untyped-call]
                address = opened.enter_context(cluster).scheduler_address
            else:
                address = scheduler
            try:
                client = opened.enter_context(Client(address, timeout=PATIENCE_SECONDS))  # type: ignore[no-untyped-call]
                client.wait_for_workers(1, timeout=PATIENCE_SECONDS)
            except (OSError, ValueError) as error:
                raise InputError(
                    f"no Dask scheduler with a worker answers at {scheduler} ({error}); start them with "
                    "`dask scheduler` and `dask worker --nthreads 1 tcp://HOST:8786`, or pass scheduler=local:N"
                ) from error
            reporter.say(f"dashboard: {client.dashboard_link}")
            pool = client.get_executor(pure=False, retries=RETRIES)
            try:
                yield Passes(
                    lambda job: pool.submit(libvmaf_pass, job, libvmaf_version),
                    workers=sum(client.nthreads().values()),
                    cores=1,
                    losses=(KilledWorker, *Passes.losses),
                )
            except BaseException:
                # What runs on a worker ends by itself; what waits is taken back.
                pool.shutdown(wait=False)
                raise

    return place


def libvmaf_pass(job: Pass, libvmaf_version: str) -> list[FrameScores]:
    """Score the pairs of one pass on the worker that this runs on.

    Raises:
        InputError: the worker's ffmpeg is not usable, or of another libvmaf.
        ExtractionError: as `Ffmpeg.extract` does.
    """
    ffmpeg = _ffmpeg_of_the_worker()
    if ffmpeg.libvmaf_version != libvmaf_version:
        raise InputError(
            f"worker {socket.gethostname()} has libvmaf {ffmpeg.libvmaf_version}, this machine {libvmaf_version}; "
            "install the same imageio-ffmpeg on both, or set VMAF_FFMPEG there"
        )
    return ffmpeg.extract(job)


@cache
def _ffmpeg_of_the_worker() -> Ffmpeg:
    return find_ffmpeg()
