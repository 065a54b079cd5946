"""The plan of passes: which pairs share one, how many run at once, how many threads each gets.

Passes side by side, one thread each, take less time and less CPU than passes one after the other
with all cores. Pairs of one source in one process share its start and one reading of the reference.
Measured with benchmarks/prewarm.py.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from itertools import groupby

from vmaf_train.clips.pairs import Pair

# Costs, in distorted pixels that libvmaf scores in the same time: the start of a process, and each
# reference pixel that is read.
START_COST, READING_COST = 600_000, 0.06
# Pairs per pass: two of any length, more only while the pass stays short, because an interrupt
# loses the passes that run.
ALWAYS_TOGETHER, MOST_TOGETHER, SHORT_PASS = 2, 8, 24_000_000
# Peak memory of a pass in bytes: the process, then per pixel of a frame once and per pair.
PROCESS_BYTES, SHARED_BYTES, PAIR_BYTES = 32_000_000, 55, 65


@dataclass(frozen=True)
class Pass:
    """Pairs of one source that one ffmpeg process scores.

    Attributes:
        pairs: of one source, with one reference.
        threads: libvmaf's, per pair. With 0 it works in the filter's own thread, so the pass keeps
            one core busy.
    """

    pairs: tuple[Pair, ...]
    threads: int = 0


def passes_at_once(pairs: Iterable[Pair], cores: int, memory: int) -> int:
    """Return how many passes to run at once: one per core, or as many as half of the memory holds.

    Args:
        pairs: to be scored.
        cores: how many to use.
        memory: of the machine, in bytes.
    """
    largest = max((pair.format.pixels for pair in pairs), default=0)
    pass_bytes = PROCESS_BYTES + (SHARED_BYTES + ALWAYS_TOGETHER * PAIR_BYTES) * largest
    return max(1, min(cores, memory // 2 // pass_bytes))


def plan(pairs: Sequence[Pair], workers: int, cores: int) -> list[Pass]:
    """Distribute pairs over passes, the longest pass first.

    Try 1 to 8 pairs per pass; keep the plan that finishes first. Passes of one source that take
    equally long stand side by side, so that the reference stays in the page cache. The last round
    may have fewer passes than workers; each of these gets more threads.

    Args:
        pairs: to be scored.
        workers: passes at once.
        cores: how many all workers together may use.
    """
    by_ref = sorted(pairs, key=lambda pair: (pair.ref.path, pair.clip))
    sources = [list(of_source) for _, of_source in groupby(by_ref, lambda pair: pair.ref.path)]
    ways = [_group(sources, together) for together in range(1, MOST_TOGETHER + 1)]
    groups = min(ways, key=lambda groups: _finish_time(groups, workers))

    in_last_round = len(groups) % workers
    in_full_rounds = len(groups) - in_last_round
    shares = [cores // workers] * in_full_rounds
    shares += [cores // max(1, in_last_round)] * in_last_round
    return [
        Pass(group, threads=share // len(group) if share > 1 else 0)
        for group, share in zip(groups, shares, strict=True)
    ]


def _group(sources: Sequence[Sequence[Pair]], together: int) -> list[tuple[Pair, ...]]:
    """Split each source's pairs evenly into groups of at most `together`; the longest first."""
    groups = []
    for of_source in sources:
        longest = max(pair.pixels for pair in of_source)
        most = min(together, max(ALWAYS_TOGETHER, SHORT_PASS // longest))
        parts = -(-len(of_source) // most)
        groups += [tuple(of_source[part::parts]) for part in range(parts)]
    return sorted(groups, key=lambda group: (-_cost(group), group[0].source))


def _finish_time(groups: Iterable[Sequence[Pair]], workers: int) -> float:
    """Return when the last worker finishes, if each takes the next group as soon as it is free."""
    busy = [0.0] * workers
    heapify(busy)
    for group in groups:
        heapreplace(busy, busy[0] + _cost(group))
    return max(busy)


def _cost(group: Sequence[Pair]) -> float:
    return START_COST + sum(pair.pixels for pair in group) + READING_COST * group[0].pixels
