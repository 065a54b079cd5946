"""Metrics of two score vectors, and intervals by resampling clips."""

import numpy as np
import pytest
from by_hand import by_hand, pearson

from vmaf_train.judging.agreement import bootstrap_over_clips, compare


def test_metrics_of_four_frames_match_values_worked_out_on_paper():
    # Errors 1, -2, 3, 0; ranks 1 2 4 3 against 1 3 4 2.
    metrics = compare(np.array([11.0, 28.0, 53.0, 40.0]), np.array([10.0, 42.0 - 12, 50.0, 40.0]))
    assert (metrics.n_samples, metrics.max_abs_error, metrics.bias) == (4, 3.0, 0.5)
    assert metrics.rmse == pytest.approx(3.5**0.5)
    swapped = compare(np.array([1.0, 2.0, 4.0, 3.0]), np.array([1.0, 3.0, 4.0, 2.0]))
    assert swapped.srocc == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert swapped.krocc == pytest.approx((5 - 1) / 6)


@pytest.mark.parametrize("decimals", [6, 0, -1], ids=["no ties", "some ties", "many ties"])
def test_metrics_match_their_definitions_with_and_without_ties(decimals):
    draw = np.random.default_rng(5)
    truth_N = draw.uniform(0, 100, 80)
    score_N = (truth_N + draw.normal(0, 15, 80)).round(decimals)
    truth_N = truth_N.round(decimals)
    assert compare(score_N, truth_N).model_dump() == pytest.approx(
        by_hand(score_N, truth_N), abs=1e-9
    )


def test_bias_is_student_minus_teacher():
    assert compare(np.array([3.0, 5.0]), np.array([1.0, 2.0])).bias == 2.5


@pytest.mark.parametrize(
    ("score", "truth"),
    [([5, 5, 5], [1, 2, 3]), ([1, 2, 3], [5, 5, 5]), ([5, 5, 5], [5, 5, 5]), ([4], [5])],
)
def test_constant_scores_have_an_rmse_and_no_correlation(score, truth):
    metrics = compare(np.array(score, float), np.array(truth, float))
    assert (metrics.plcc, metrics.srocc, metrics.krocc) == (None, None, None)
    assert metrics.rmse == pytest.approx(np.sqrt(np.mean(np.subtract(score, truth) ** 2.0)))


@pytest.mark.filterwarnings("ignore")
def test_almost_constant_scores_have_a_valid_correlation_or_none():
    nearly_N = np.array([50.0, 50.0, np.nextafter(50, 51)])
    for metrics in (
        compare(nearly_N, np.array([1.0, 2.0, 3.0])),
        compare(np.array([1.0, 2.0, 3.0]), nearly_N),
    ):
        assert metrics.plcc is None or -1 <= metrics.plcc <= 1


def clustered(n_clips=12, frames=30, seed=0):
    """Return scores, truth and clips; errors are similar within a clip, as in real clips."""
    draw = np.random.default_rng(seed)
    clip_N = np.repeat(np.arange(n_clips), frames)
    truth_N = draw.uniform(10, 90, n_clips)[clip_N] + draw.normal(0, 5, n_clips * frames)
    return (
        truth_N + draw.normal(0, 4, n_clips)[clip_N] + draw.normal(0, 1, n_clips * frames),
        truth_N,
        clip_N,
    )


def test_intervals_contain_their_point_estimates():
    score_N, truth_N, clip_N = clustered()
    intervals = bootstrap_over_clips(score_N, truth_N, clip_N)
    metrics = compare(score_N, truth_N)
    assert set(intervals) == {"rmse", "bias", "plcc"}
    for name, interval in intervals.items():
        assert interval.low < getattr(metrics, name) < interval.high


def test_intervals_match_resampling_of_whole_clips():
    score_N, truth_N, clip_N = clustered()
    draw = np.random.default_rng(99)
    drawn = []
    for _ in range(2000):
        rows = np.concatenate([np.flatnonzero(clip_N == clip) for clip in draw.integers(0, 12, 12)])
        error_N = score_N[rows] - truth_N[rows]
        drawn.append(
            (np.sqrt(np.mean(error_N**2)), error_N.mean(), pearson(score_N[rows], truth_N[rows]))
        )
    intervals = bootstrap_over_clips(score_N, truth_N, clip_N)
    for name, (low, high) in zip(
        ("rmse", "bias", "plcc"), np.percentile(drawn, (2.5, 97.5), axis=0).T, strict=True
    ):
        width = high - low
        assert intervals[name].low == pytest.approx(low, abs=0.1 * width)
        assert intervals[name].high == pytest.approx(high, abs=0.1 * width)


def test_intervals_do_not_depend_on_numpys_global_seed():
    np.random.seed(1)
    first = bootstrap_over_clips(*clustered())
    np.random.seed(2)
    assert bootstrap_over_clips(*clustered()) == first


def test_constant_scores_have_no_plcc_interval():
    score_N, truth_N, clip_N = clustered()
    intervals = bootstrap_over_clips(np.full_like(score_N, 50), truth_N, clip_N)
    assert set(intervals) == {"rmse", "bias"}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("seed", [2, 4, 10])
@pytest.mark.parametrize("n_clips", [2, 3])
def test_a_plcc_interval_lies_between_minus_1_and_1(n_clips, seed):
    # Clips of constant scores: a resample of one clip alone has no correlation.
    levels = np.random.default_rng(seed).uniform(0, 100, (2, n_clips))
    clip_N = np.repeat(np.arange(n_clips), 37)
    plcc = bootstrap_over_clips(levels[0][clip_N], levels[1][clip_N], clip_N).get("plcc")
    assert plcc is None or -1 - 1e-9 <= plcc.low <= plcc.high <= 1 + 1e-9
