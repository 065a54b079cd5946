"""Which pairs share a libvmaf pass, how many passes run at once, with how many threads, and in which order.

Measured with benchmarks/prewarm.py: passes side by side, a thread each, take less time and less CPU than one after the
other with all cores each; short clips of one source in one process save its start and reading the reference again.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from vmaf_train.corpus import Pair

# Work in pixels: beyond it a process's start (50 ms) is lost in its pass, while a larger one costs memory and caches.
WORTH_A_PROCESS = 24_000_000
PASSES_A_WORKER = 8
# Peak memory of a pass as measured: the process, then bytes a pixel of a frame for the filter and for each pair.
PROCESS_BYTES, SHARED_BYTES_A_PIXEL, PAIR_BYTES_A_PIXEL = 32_000_000, 55, 65


@dataclass(frozen=True)
class Pass:
    """Pairs of one source that one ffmpeg process scores, and the threads that libvmaf may use for each of them.

    With 0 threads libvmaf works in the filter's own thread, so that a pass keeps one core busy.
    """

    pairs: tuple[Pair, ...]
    threads: int = 0

    @property
    def n_frames(self) -> int:
        """Distorted frames that are scored."""
        return sum(pair.n_frames for pair in self.pairs)

    @property
    def work(self) -> int:
        """Distorted pixels that are scored."""
        return sum(_work(pair) for pair in self.pairs)


def cores() -> int:
    """Return how many cores this process may use."""
    # Not every system tells it.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def passes_at_once(pairs: Iterable[Pair], cores: int, memory: int) -> int:
    """Return how many passes to run side by side: one a core, or as many as fit into half of `memory` (bytes)."""
    largest = max((pair.format.width * pair.format.height for pair in pairs), default=0)
    return max(1, min(cores, memory // 2 // (PROCESS_BYTES + (SHARED_BYTES_A_PIXEL + PAIR_BYTES_A_PIXEL) * largest)))


def plan(pairs: Sequence[Pair], workers: int, cores: int) -> list[Pass]:
    """Distribute pairs over passes for `workers` passes at once on `cores` cores, the longest first.

    Those of one source stand next to each other, so that the reference stays in the page cache. Where fewer passes
    are left than workers, each gets more threads.
    """
    limit = min(WORTH_A_PROCESS, sum(map(_work, pairs)) // (PASSES_A_WORKER * workers))
    groups: list[list[Pair]] = []
    # Pairs of a source are equally long, since their reference is.
    for _, of_source in groupby(sorted(pairs, key=lambda pair: (-_work(pair), pair.source)), lambda pair: pair.ref):
        group: list[Pair] = []
        for pair in of_source:
            if not group or sum(map(_work, group)) + _work(pair) > limit:
                group = []
                groups.append(group)
            group.append(pair)
    last_round = len(groups) % workers
    threads = [cores // workers] * (len(groups) - last_round) + [cores // (last_round or 1)] * last_round
    return [
        Pass(tuple(group), threads=share // len(group) if share > 1 else 0)
        for group, share in zip(groups, threads, strict=True)
    ]


def _work(pair: Pair) -> int:
    return pair.n_frames * pair.format.width * pair.format.height
