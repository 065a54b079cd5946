"""Throughput of prewarm on two Dask workers against one, each worker on a core of its own.

Usage: python benchmarks/cluster.py --corpus PATH [--assume-dims WxH] [--rounds N]
Starts a scheduler and workers on the loopback (`taskset` gives each worker its core), and fills
an empty cache: with two workers and with one, in turn. The clock starts when the workers are
ready.

Prints time(one) / time(two) / 2; 1 is perfect. On a machine with two cores, scheduler and client
take their share of these cores.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from statistics import median

from common import choice_of, clocked, empty_cache, in_turn, make_parser, ratios
from distributed import Client

from vmaf_train.commands.prewarm import fill_cache
from vmaf_train.frames.choice import AUTO, CorpusChoice
from vmaf_train.reporting import Reporter


@contextmanager
def running(*command: str) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def dask_command(role: str, *options: str) -> list[str]:
    return [sys.executable, "-m", f"distributed.cli.dask_{role}", "--no-dashboard", *options]


def free_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{free.getsockname()[1]}"


@contextmanager
def running_cluster(workers: int) -> Iterator[str]:
    """Run a scheduler and its workers; yield the address once all are there."""
    address = free_address()
    with ExitStack() as cluster:
        cluster.enter_context(running(*dask_command("scheduler", "--host", address)))
        worker = dask_command("worker", "--nthreads", "1", address)
        for core in sorted(os.sched_getaffinity(0))[:workers]:
            cluster.enter_context(running("taskset", "-c", str(core), *worker))
        with Client(address) as client:  # type: ignore[no-untyped-call]
            client.wait_for_workers(workers, timeout=60)
        yield address


def seconds_with(workers: int, choice: CorpusChoice) -> float:
    with running_cluster(workers) as address, empty_cache():
        seconds, done = clocked(lambda: fill_cache(choice, Reporter(), scheduler=address))
    assert done.extracted == len(done.scan.pairs)
    return seconds


def print_round(seconds: Mapping[str, float]) -> None:
    one, two = seconds["one"], seconds["two"]
    share = f"{one / two / 2:.3f} of twice one worker's throughput"
    print(f"two workers {two:.2f} s, one {one:.2f} s: {share}", flush=True)


def main() -> None:
    options = make_parser(__doc__, corpus=None, assume_dims=AUTO, rounds=3).parse_args()
    choice = choice_of(options)
    ways = {
        "two": partial(seconds_with, 2, choice),
        "one": partial(seconds_with, 1, choice),
    }
    seconds = in_turn(ways, options.rounds, print_round)
    print(f"median {median(ratios(seconds['one'], seconds['two'])) / 2:.3f}")


if __name__ == "__main__":
    main()
