"""Throughput of prewarm on two Dask workers against one, each worker with a core of its own.

Usage: python benchmarks/cluster.py --corpus PATH [--assume-dims WxH] [--rounds N]
Starts a scheduler and workers (`taskset` gives each its core) on the loopback, and fills an empty cache with two
workers and with one in turns. Prints time(one) / time(two) / 2: 1 is perfect. The cluster runs before the clock starts.
On a machine with two cores, scheduler and client take their share of these.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from distributed import Client

from vmaf_train.commands.train import prewarm
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.reporting import Reporter


@contextmanager
def running(*command: str) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def seconds(choice: CorpusChoice, workers: int) -> float:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with ExitStack() as cluster, tempfile.TemporaryDirectory() as cache:
        scheduler = [
            sys.executable,
            "-m",
            "distributed.cli.dask_scheduler",
            "--no-dashboard",
            "--host",
            address,
        ]
        cluster.enter_context(running(*scheduler))
        for core in sorted(os.sched_getaffinity(0))[:workers]:
            worker = [
                sys.executable,
                "-m",
                "distributed.cli.dask_worker",
                "--no-dashboard",
                "--nthreads",
                "1",
                address,
            ]
            cluster.enter_context(running("taskset", "-c", str(core), *worker))
        with Client(address) as client:  # type: ignore[no-untyped-call]
            client.wait_for_workers(workers, timeout=60)
        os.environ["VMAF_TINY_AI_CACHE"] = cache
        started = time.perf_counter()
        done = prewarm(choice, Reporter(), address)
        assert done.extracted == len(done.scan.pairs)
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--assume-dims", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args()
    choice = CorpusChoice(str(Path(wanted.corpus).absolute()), wanted.assume_dims)
    shares = []
    for _ in range(wanted.rounds):
        two, one = seconds(choice, 2), seconds(choice, 1)
        shares.append(one / two / 2)
        print(
            f"two workers {two:.2f} s, one {one:.2f} s: {shares[-1]:.3f} of twice one worker's throughput",
            flush=True,
        )
    print(f"median {median(shares):.3f}")


if __name__ == "__main__":
    main()
