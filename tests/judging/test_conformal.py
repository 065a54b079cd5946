"""Conformal intervals over sources: they cover new sources, for any distribution."""

from collections.abc import Callable

import numpy as np
import pytest

from vmaf_train.frames.table import FrameTable
from vmaf_train.judging.conformal import interval_of, pooled_errors, reachable, source_quantile

CLIPS, ROUNDS = 6, 3000

# Errors of sources and clips: the source's own bias and spread, then the clip's.
DRAWS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "normal": lambda draw, shape: draw.normal(size=shape),
    "heavy tails": lambda draw, shape: draw.standard_t(1.5, size=shape),
}


def hierarchical(draw, sources, tails):
    """Return the absolute errors of clips, float64 of shape (sources, clips)."""
    bias = DRAWS[tails](draw, (sources, 1))
    spread = np.exp(draw.normal(size=(sources, 1)))
    return np.abs(bias + spread * DRAWS[tails](draw, (sources, CLIPS)))


@pytest.mark.parametrize("tails", DRAWS)
@pytest.mark.parametrize("sources", [9, 20, 31])
def test_a_clip_of_a_new_source_is_covered_with_the_stated_confidence(sources, tails):
    draw = np.random.default_rng(sources)
    covered = []
    for _ in range(ROUNDS):
        errors = hierarchical(draw, sources + 1, tails)
        half = source_quantile(list(errors[:-1]), reachable(sources), new=1)
        covered.append((errors[-1] <= half).mean())
    noise = 3 * np.std(covered) / np.sqrt(ROUNDS)
    assert np.mean(covered) >= reachable(sources) - noise
    # An interval that always covers would be of no use.
    assert np.mean(covered) < 1 - 0.2 * (1 - reachable(sources))


def test_fewer_than_19_sources_promise_what_their_largest_error_can():
    assert [reachable(n) for n in (1, 9, 18, 19, 31)] == [0.5, 0.9, 18 / 19, 0.95, 0.95]
    errors = [np.array([0.1, 0.2]), np.array([0.9]), np.array([0.3])]
    assert source_quantile(errors, reachable(3), new=1) == 0.9
    assert source_quantile(errors, 0.8, new=1) == np.inf


def test_every_source_has_the_same_weight_however_many_errors_it_has():
    errors = [np.zeros(1000), np.array([5.0])]
    assert (source_quantile(errors, 0.5), source_quantile(errors, 0.51)) == (0, 5)


def test_half_widths_do_not_increase_with_the_number_of_frames():
    errors = [
        (1, [np.array([1.0])] * 20),
        (12, [np.array([3.00001])] * 20),
        (48, [np.zeros(1)] * 20),
    ]
    interval = interval_of(errors)
    assert [(row.frames, row.half_width) for row in interval.half_widths] == [
        (1, 3.001),
        (12, 3.001),
        (48, 0.0),
    ]
    assert (interval.confidence, interval.sources) == (0.95, 20)


def test_errors_are_pooled_over_windows_of_clips_and_over_whole_clips():
    lengths = [30, 14]
    n = sum(lengths)
    table = FrameTable(
        ("adm2",),
        np.zeros((n, 1)),
        np.zeros(n),
        np.repeat(np.arange(2, dtype=np.int32), lengths),
        ("a", "b"),
        ("A", "B"),
    )
    error_N = np.concatenate([np.arange(30.0), np.full(14, -2.0)])
    pooled = dict(pooled_errors(error_N, table))
    # No window of 48 frames; the last entry holds whole clips, of at most 30 frames.
    assert list(pooled) == [1, 12, 30]
    assert pooled[1]["A"].tolist() == list(range(30))
    assert pooled[12]["A"].tolist() == [5.5, 17.5]
    assert pooled[12]["B"].tolist() == [2.0]
    assert (pooled[30]["A"].tolist(), pooled[30]["B"].tolist()) == ([14.5], [2.0])


def test_a_length_is_left_out_if_a_source_has_no_clip_as_long():
    table = FrameTable(
        ("adm2",),
        np.zeros((56, 1)),
        np.zeros(56),
        np.repeat(np.arange(2, dtype=np.int32), [48, 8]),
        ("a", "b"),
        ("A", "B"),
    )
    assert [frames for frames, _ in pooled_errors(np.zeros(56), table)] == [1, 48]
