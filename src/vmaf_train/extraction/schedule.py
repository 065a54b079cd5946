"""Which pairs share a libvmaf pass, how many passes run at once, with how many threads, and in which order.

Passes side by side, a thread each, take less time and less CPU than one after the other with all cores each; pairs of
one source in one process save its start and reading the reference again. Measured with benchmarks/prewarm.py.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from itertools import groupby

from vmaf_train.clips.layout import Pair

# Costs in distorted pixels that libvmaf scores meanwhile: starting a process, and reading the reference's pixels.
START_COST, READING_COST = 600_000, 0.06
# Pairs a pass: two of any length, more where they are short, or an interrupt would lose too much.
ALWAYS_TOGETHER, MOST_TOGETHER, SHORT_PASS = 2, 8, 24_000_000
# Peak memory of a pass: the process, then bytes a pixel of a frame, once and for each pair.
PROCESS_BYTES, SHARED_BYTES, PAIR_BYTES = 32_000_000, 55, 65


@dataclass(frozen=True)
class Pass:
    """Pairs of one source that one ffmpeg process scores, and the threads that libvmaf may use for each of them.

    With 0 threads libvmaf works in the filter's own thread, so that a pass keeps one core busy.
    """

    pairs: tuple[Pair, ...]
    threads: int = 0


def cores() -> int:
    """Return how many cores this process may use."""
    # Not every system tells it.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def passes_at_once(pairs: Iterable[Pair], cores: int, memory: int) -> int:
    """Return how many passes to run side by side: one a core, or as many as fit into half of `memory` (bytes)."""
    largest = max((_pixels(pair) for pair in pairs), default=0)
    return max(
        1,
        min(
            cores,
            memory
            // 2
            // (PROCESS_BYTES + (SHARED_BYTES + ALWAYS_TOGETHER * PAIR_BYTES) * largest),
        ),
    )


def plan(pairs: Sequence[Pair], workers: int, cores: int) -> list[Pass]:
    """Distribute pairs over passes for `workers` passes at once on `cores` cores, the longest first.

    Of each number of pairs a pass, the one is taken with which the last worker would be done first. Equally long passes
    of a source stand next to each other, so that the reference stays in the page cache. Where fewer passes are left
    than workers, each gets more threads.
    """
    by_ref = sorted(pairs, key=lambda pair: (pair.ref, pair.clip))
    sources = [list(of_source) for _, of_source in groupby(by_ref, lambda pair: pair.ref)]
    ways = [_passes(sources, together) for together in range(1, MOST_TOGETHER + 1)]
    groups = min(ways, key=lambda groups: _makespan(groups, workers))
    last_round = len(groups) % workers
    threads = [cores // workers] * (len(groups) - last_round) + [
        cores // (last_round or 1)
    ] * last_round
    return [
        Pass(group, threads=share // len(group) if share > 1 else 0)
        for group, share in zip(groups, threads, strict=True)
    ]


def _passes(sources: Sequence[Sequence[Pair]], together: int) -> list[tuple[Pair, ...]]:
    """Split each source's pairs evenly into passes of at most `together`; the longest pass first."""
    groups = []
    for of_source in sources:
        most = min(together, max(ALWAYS_TOGETHER, SHORT_PASS // max(map(_work, of_source))))
        parts = -(-len(of_source) // most)
        groups += [tuple(of_source[part::parts]) for part in range(parts)]
    return sorted(groups, key=lambda group: (-_cost(group), group[0].source))


def _makespan(groups: Iterable[Sequence[Pair]], workers: int) -> float:
    """Return when the last of the workers is done, each taking the next pass once it is free."""
    busy = [0.0] * workers
    heapify(busy)
    for group in groups:
        heapreplace(busy, busy[0] + _cost(group))
    return max(busy)


def _cost(group: Sequence[Pair]) -> float:
    return START_COST + sum(map(_work, group)) + READING_COST * _work(group[0])


def _work(pair: Pair) -> int:
    return pair.n_frames * _pixels(pair)


def _pixels(pair: Pair) -> int:
    return pair.format.width * pair.format.height
