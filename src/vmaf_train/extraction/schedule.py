"""The plan of passes: which pairs share a pass, how many passes run at once, with which threads.

Parallel passes with one thread each take less time and less CPU than sequential passes with all
cores. Pairs of one source in one pass share the start of the process, and the reference is read
once. Measured with benchmarks/prewarm.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from itertools import groupby
from math import ceil
from pathlib import Path
from types import MappingProxyType

from vmaf_train.clips.pairs import Pair
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

# Costs of starting a process and of reading one reference pixel. The unit is the time in which
# libvmaf scores one distorted pixel.
START_COST, READING_COST = 600_000, 0.06
# Most pairs per pass if they are long, most if they are short, and most distorted pixels of a short
# pass. An interrupt loses the running passes, so they must not take long.
ALWAYS_TOGETHER, MOST_TOGETHER, SHORT_PASS = 2, 8, 24_000_000
# Peak memory of a pass, in bytes: per process, per pixel of a frame, per pixel of a frame and pair.
PROCESS_BYTES, SHARED_BYTES, PAIR_BYTES = 32_000_000, 55, 65


@dataclass(frozen=True)
class Pass:
    """Pairs of one source that one ffmpeg process scores.

    Attributes:
        pairs: pairs of one source, with one reference.
        threads: number of libvmaf's threads per pair. With 0, libvmaf works in the thread of
            ffmpeg's filter, so the pass uses one core.
        teachers: names of the teachers that score the pairs.
    """

    pairs: tuple[Pair, ...]
    threads: int = 0
    teachers: tuple[str, ...] = (DEFAULT_TEACHER.name,)


def passes_at_once(pairs: Iterable[Pair], cores: int, memory: int) -> int:
    """Return how many passes to run at once: one per core, or as many as half of the memory holds.

    Args:
        pairs: the pairs to score.
        cores: number of cores to use.
        memory: memory of the machine, in bytes.
    """
    largest = max((pair.format.pixels for pair in pairs), default=0)
    pass_bytes = PROCESS_BYTES + (SHARED_BYTES + ALWAYS_TOGETHER * PAIR_BYTES) * largest
    return max(1, min(cores, memory // 2 // pass_bytes))


def plan(
    pairs: Sequence[Pair],
    workers: int,
    cores: int,
    teachers: Mapping[Pair, tuple[str, ...]] = MappingProxyType({}),
) -> list[Pass]:
    """Distribute pairs over passes, the longest pass first.

    Try 1 to 8 pairs per pass; keep the plan that finishes first. Passes of one source with equal
    cost follow each other, so that the reference stays in the page cache. If the last round has
    fewer passes than workers, each of its passes gets more threads.

    Args:
        pairs: the pairs to score.
        workers: number of passes that run at once.
        cores: number of cores that all workers share.
        teachers: names of the teachers that score a pair; a pair that is not here has the default
            teacher. Pairs of one pass have the same teachers.
    """

    def names_of(pair: Pair) -> tuple[str, ...]:
        return teachers.get(pair, Pass.teachers)

    by_ref = sorted(pairs, key=lambda pair: (_ref_of(pair), names_of(pair), pair.clip))
    together = groupby(by_ref, lambda pair: (_ref_of(pair), names_of(pair)))
    sources = [list(of_source) for _, of_source in together]
    plans = [_group(sources, most) for most in range(1, MOST_TOGETHER + 1)]
    groups = min(plans, key=lambda groups: _finish_time(groups, workers))

    in_last_round = len(groups) % workers
    in_full_rounds = len(groups) - in_last_round
    shares = [cores // workers] * in_full_rounds
    shares += [cores // max(1, in_last_round)] * in_last_round
    return [
        Pass(group, share // len(group) if share > 1 else 0, names_of(group[0]))
        for group, share in zip(groups, shares, strict=True)
    ]


def _ref_of(pair: Pair) -> tuple[Path, int, int]:
    """Return what pairs of one pass share: the reference and its frames."""
    return pair.ref.path, pair.ref.first, pair.n_frames


def _group(sources: Sequence[Sequence[Pair]], together: int) -> list[tuple[Pair, ...]]:
    """Split each source's pairs evenly into groups of at most `together`; the longest first."""
    groups = []
    for of_source in sources:
        longest = max(pair.pixels for pair in of_source)
        most = min(together, max(ALWAYS_TOGETHER, SHORT_PASS // longest))
        parts = ceil(len(of_source) / most)
        groups += [tuple(of_source[part::parts]) for part in range(parts)]
    return sorted(groups, key=lambda group: (-_cost(group), group[0].source))


def _finish_time(groups: Iterable[Sequence[Pair]], workers: int) -> float:
    """Return when the last worker finishes if each free worker takes the next group."""
    busy = [0.0] * workers
    heapify(busy)
    for group in groups:
        heapreplace(busy, busy[0] + _cost(group))
    return max(busy)


def _cost(group: Sequence[Pair]) -> float:
    """Return the time of a pass, in the unit of START_COST."""
    return START_COST + sum(pair.pixels for pair in group) + READING_COST * group[0].pixels
