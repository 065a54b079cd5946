"""The plan of passes: which pairs share one, in which order, with how many threads."""

from collections import Counter
from itertools import groupby, pairwise

import pytest
from conftest import named_pair
from hypothesis import given
from hypothesis import strategies as st

from vmaf_train.clips.video import YuvFormat
from vmaf_train.extraction.schedule import MOST_TOGETHER, SHORT_PASS, passes_at_once, plan

HD, SMALL = YuvFormat(1920, 1080), YuvFormat(320, 180)


def pairs_of(source, n, format=SMALL, frames=48):
    return [named_pair(source, f"{source}_{k}_1_1.yuv", frames, format) for k in range(1, n + 1)]


@given(
    st.lists(
        st.tuples(st.integers(1, 20), st.sampled_from([SMALL, HD]), st.integers(1, 500)),
        min_size=1,
        max_size=6,
    ),
    st.integers(1, 70),
    st.integers(1, 70),
    st.randoms(use_true_random=False),
)
def test_every_pair_is_in_exactly_one_pass_of_its_reference(sources, workers, cores, random):
    pairs = [pair for i, (n, *size) in enumerate(sources) for pair in pairs_of(f"S{i}", n, *size)]
    passes = plan(random.sample(pairs, len(pairs)), workers, cores)
    assert Counter(pair for job in passes for pair in job.pairs) == Counter(pairs)
    assert all(len({pair.ref for pair in job.pairs}) == 1 for job in passes)
    assert all(len(job.pairs) <= MOST_TOGETHER for job in passes)
    assert all(job.threads * len(job.pairs) <= cores for job in passes)
    assert passes == plan(pairs, workers, cores)


@pytest.mark.parametrize(("frames", "order"), [((50, 150, 100), "BCA"), ((100, 100, 100), "ABC")])
def test_long_passes_come_first_and_passes_of_a_source_are_adjacent(frames, order):
    pairs = [
        pair for source, n in zip("ABC", frames, strict=True) for pair in pairs_of(source, 6, HD, n)
    ]
    passes = plan(pairs, 2, 2)
    assert (
        "".join(source for source, _ in groupby(passes, lambda job: job.pairs[0].source)) == order
    )
    frames = [sum(pair.n_frames for pair in job.pairs) for job in passes]
    assert all(longer >= shorter for longer, shorter in pairwise(frames))


def pairs_per_pass(pairs, workers=2, cores=2):
    return {len(job.pairs) for job in plan(pairs, workers, cores)}


def test_short_clips_share_a_pass_and_long_clips_go_two_per_pass():
    # Sorted by file name, the clips of A, A_1 and A_1_1 would be mixed.
    short = [pair for source in ("A", "A_1", "A_1_1", "B") for pair in pairs_of(source, 8)]
    long = [pair for source in "ABCD" for pair in pairs_of(source, 8, HD)]
    assert (pairs_per_pass(short), pairs_per_pass(long)) == ({8}, {2})
    tiny = plan(pairs_of("A", 100, YuvFormat(64, 64), 6), 1, 1)
    assert all(6 * 64 * 64 * len(job.pairs) <= SHORT_PASS for job in tiny)


def test_pairs_are_spread_evenly_over_workers():
    assert [len(job.pairs) for job in plan(pairs_of("A", 2, HD), 2, 2)] == [1, 1]
    # Nine passes of eight would be five and four for two workers.
    assert len(plan([p for s in range(9) for p in pairs_of(f"S{s}", 8)], 2, 2)) % 2 == 0


@pytest.mark.parametrize(
    ("n", "workers", "cores", "threads"),
    [
        (1, 4, 4, [4]),
        (2, 4, 4, [2, 2]),
        (5, 4, 4, [0, 0, 0, 0, 4]),
        (4, 4, 4, [0] * 4),
        (2, 2, 8, [4, 4]),
        (3, 2, 1, [0, 0, 0]),
    ],
)
def test_idle_cores_become_threads_of_the_last_passes(n, workers, cores, threads):
    # One pair per source, so that none can share a pass.
    passes = plan(
        [pair for source in range(n) for pair in pairs_of(f"S{source}", 1, HD)], workers, cores
    )
    assert [job.threads for job in passes] == threads


@pytest.mark.parametrize(("cores", "threads"), [(8, 4), (4, 2), (3, 1), (1, 0)])
def test_the_threads_of_a_pass_are_shared_among_its_pairs(cores, threads):
    (job,) = plan(pairs_of("A", 2, HD), 1, cores)
    assert (len(job.pairs), job.threads) == (2, threads)


def test_cores_and_half_the_memory_limit_the_passes_at_once():
    assert passes_at_once(pairs_of("A", 9, HD), cores=4, memory=64 * 2**30) == 4
    assert passes_at_once(pairs_of("A", 9, HD), cores=64, memory=8 * 2**30) == 10
    assert passes_at_once(pairs_of("A", 9, HD), cores=64, memory=2**20) == 1
    assert passes_at_once(pairs_of("A", 9, SMALL), cores=64, memory=8 * 2**30) == 64
