"""A comparison of archs: its metrics, intervals, verdicts and files."""

import re

import numpy as np
import pytest
from comparisons import compared, forty_clips, result_of, table_of, three_archs

from vmaf_train.judging.comparison import Comparison
from vmaf_train.judging.intervals import Interval
from vmaf_train.judging.recommendation import recommend


def verdicts(comparison: Comparison) -> dict[tuple[str, str], str]:
    """Return the verdict of each difference, by arch and the arch it is against."""
    return {(d.arch, d.against): d.verdict for d in comparison.differences}


SMALL = [("A", [10, 20]), ("A", [30]), ("B", [40, 50, 60])]


TWO_SEEDS = np.array([[7, -7, 7, 4, 4, -4], [1, 1, 1, 6, -6, 6]])


@pytest.fixture(scope="module")
def small():
    return table_of(SMALL)


@pytest.fixture(scope="module")
def clips():
    return forty_clips()


@pytest.fixture(scope="module")
def three(clips):
    return three_archs(*clips)


def test_fold_errors_of_two_seeds_match_values_worked_out_on_paper(small):
    # RMSE of A and B: 7 and 4 by the first seed, 1 and 6 by the second.
    (row,) = compared(small, one=TWO_SEEDS).rows
    assert set(row.folds) == {"A", "B"}
    assert row.folds["A"].model_dump() == pytest.approx({"mean": 4, "deviation": 3})
    assert row.folds["B"].model_dump() == pytest.approx({"mean": 5, "deviation": 1})
    assert row.mean_fold.model_dump() == pytest.approx({"mean": 4.5, "deviation": 1})
    assert row.worst_fold.model_dump() == pytest.approx({"mean": 6.5, "deviation": 0.5})


def test_frame_and_clip_metrics_are_means_over_seeds(small):
    (row,) = compared(small, one=result_of(small, TWO_SEEDS, np.full(6, 2.0))).rows
    assert row.frames.n_samples == 6
    assert row.frames.rmse == pytest.approx((32.5**0.5 + 18.5**0.5) / 2)
    assert (row.frames.bias, row.frames.max_abs_error) == pytest.approx(((11 / 6 + 9 / 6) / 2, 6.5))
    correlations = [np.corrcoef(small.y_N + error_N, small.y_N)[0, 1] for error_N in TWO_SEEDS]
    assert row.frames.plcc == pytest.approx(np.mean(correlations))
    # Pooled errors: 0, 7, 4/3 and 1, 1, 2.
    assert row.clips.n_samples == 3
    assert row.clips.rmse == pytest.approx((((0 + 49 + 16 / 9) / 3) ** 0.5 + 2**0.5) / 2)
    assert (row.without_points.rmse, row.without_points.bias) == pytest.approx((2, 2))


def test_a_correlation_that_one_seed_lacks_is_none(small):
    (row,) = compared(small, one=np.array([50 - small.y_N, TWO_SEEDS[0]])).rows
    assert (row.frames.plcc, row.frames.srocc, row.frames.krocc) == (None, None, None)
    assert row.frames.rmse > 0


def test_a_comparison_states_its_folds_seeds_and_data(small):
    comparison = compared(small, 256, one=TWO_SEEDS, two=2 * TWO_SEEDS)
    assert (comparison.folds, comparison.seeds, comparison.teacher_points) == (("A", "B"), 2, 256)
    assert (comparison.n_frames, comparison.n_clips, comparison.dataset_digest) == (
        6,
        3,
        small.digest,
    )
    assert (comparison.sweep, comparison.corpus, comparison.confidence) == ("abc", "demo", 0.95)
    (row, _) = comparison.rows
    assert (row.parameters, row.onnx_bytes, row.box.max_abs_error, row.latency.row_p50_us) == (
        7,
        910,
        4.5,
        5.0,
    )
    assert row.without_points is None


def test_rows_are_sorted_by_rmse(clips):
    table, hard_N = clips
    comparison = compared(table, middle=2 * hard_N, worst=3 * hard_N, best=hard_N)
    assert [row.arch for row in comparison.rows] == ["best", "middle", "worst"]


def by_resampling_clips(table, statistic) -> tuple[float, float]:
    """Return the 95 % limits of a statistic of rows, by drawing whole clips in a loop."""
    draw, drawn = np.random.default_rng(99), []
    rows = [np.arange(len(table))[table.rows_of(clip)] for clip in range(len(table.clips))]
    for _ in range(2000):
        drawn.append(
            statistic(
                np.concatenate([rows[clip] for clip in draw.integers(0, len(rows), len(rows))])
            )
        )
    return tuple(np.percentile(drawn, (2.5, 97.5)))


def assert_alike(interval: Interval, low: float, high: float) -> None:
    """Compare limits of two bootstraps, which draw other clips."""
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.1 * (high - low))


def test_intervals_match_resampling_of_whole_clips(clips):
    table, hard_N = clips
    ours_N, theirs_N = hard_N, 3 - hard_N
    comparison = compared(table, ours=ours_N, theirs=theirs_N)
    assert_alike(
        next(row for row in comparison.rows if row.arch == "ours").rmse_interval,
        *by_resampling_clips(table, lambda rows: np.sqrt(np.mean(ours_N[rows] ** 2))),
    )
    assert_alike(
        next(d for d in comparison.differences if d.arch == "ours").interval,
        *by_resampling_clips(
            table,
            lambda rows: (
                np.sqrt(np.mean(ours_N[rows] ** 2)) - np.sqrt(np.mean(theirs_N[rows] ** 2))
            ),
        ),
    )


def test_clips_are_weighted_by_their_frames(small):
    (row,) = compared(small, one=TWO_SEEDS[0]).rows
    # The extremes: only the clips of A, with 7 everywhere, or only that of B, with 4.
    assert (row.rmse_interval.low, row.rmse_interval.high) == pytest.approx((4, 7))


def test_intervals_contain_their_point_estimates(clips):
    table, hard_N = clips
    draw = np.random.default_rng(0)
    comparison = compared(
        table, one=hard_N, two=[hard_N + draw.normal(0, 1, 200), hard_N], three=[2 - hard_N] * 2
    )
    assert len(comparison.differences) == 6
    for row in comparison.rows:
        assert row.rmse_interval.low < row.frames.rmse < row.rmse_interval.high
    for difference in comparison.differences:
        assert difference.interval.low < difference.rmse < difference.interval.high


def test_rows_differences_and_intervals_agree_if_the_seeds_differ(clips):
    table, _ = clips
    flat_N = np.ones(len(table))
    comparison = compared(
        table, unsteady=[1 * flat_N, 9 * flat_N], steady=[5.5 * flat_N, 5.5 * flat_N]
    )
    rmse = {row.arch: row.frames.rmse for row in comparison.rows}
    assert rmse == pytest.approx({"unsteady": 5, "steady": 5.5})
    for row in comparison.rows:
        assert row.rmse_interval.low <= row.frames.rmse + 1e-9, row.arch
        assert row.rmse_interval.high >= row.frames.rmse - 1e-9, row.arch
    for difference in comparison.differences:
        assert difference.rmse == pytest.approx(rmse[difference.arch] - rmse[difference.against])


def test_differences_are_antisymmetric(clips):
    table, hard_N = clips
    pairs = {
        (d.arch, d.against): d
        for d in compared(table, a=hard_N, b=2 - hard_N, c=1.5 * hard_N).differences
    }
    assert set(pairs) == {(a, b) for a in "abc" for b in "abc" if a != b}
    for (a, b), difference in pairs.items():
        back = pairs[b, a]
        assert difference.rmse == pytest.approx(-back.rmse)
        assert (difference.interval.low, difference.interval.high) == pytest.approx(
            (-back.interval.high, -back.interval.low)
        )


def test_equal_errors_are_no_different_and_three_times_the_error_is_worse(clips):
    table, hard_N = clips
    found = verdicts(compared(table, one=hard_N, twin=hard_N, far=3 * hard_N))
    assert (found["one", "twin"], found["twin", "one"]) == ("no different", "no different")
    assert (found["far", "one"], found["one", "far"]) == ("worse", "better")


def test_errors_that_differ_at_random_are_no_different(clips):
    table, _ = clips
    draw = np.random.default_rng(1)
    found = verdicts(compared(table, one=draw.normal(0, 1, 200), other=draw.normal(0, 1, 200)))
    assert set(found.values()) == {"no different"}


def test_a_small_difference_on_every_clip_is_found_among_very_different_clips(clips):
    table, hard_N = clips
    comparison = compared(table, one=hard_N, other=hard_N + 0.05)
    one, other = comparison.rows
    assert one.rmse_interval.high > other.rmse_interval.low + 10 * (
        other.frames.rmse - one.frames.rmse
    )
    assert verdicts(comparison) == {("one", "other"): "better", ("other", "one"): "worse"}


def test_the_same_errors_give_the_same_comparison(clips):
    table, hard_N = clips
    np.random.seed(1)
    first = compared(table, one=hard_N, other=2 * hard_N)
    np.random.seed(2)
    assert compared(table, one=hard_N, other=2 * hard_N) == first


def test_a_comparison_recommends_by_its_own_rows_and_differences(three, clips):
    table, hard_N = clips
    assert three.recommendation == recommend(three.rows, three.differences)
    assert three.recommendation.startswith("good: ")
    fast = result_of(table, hard_N, speed=1.0)
    close = compared(table, best=result_of(table, hard_N, speed=2.0), fast=fast).recommendation
    assert close.startswith("fast: ")


def test_a_comparison_reads_back_from_its_json(three):
    assert Comparison.model_validate_json(three.model_dump_json(indent=2)) == three
    with pytest.raises(ValueError, match="validation error"):
        Comparison.model_validate({**three.model_dump(mode="json"), "extra": 1})


def tables_in(markdown: str) -> list[list[list[str]]]:
    """Return each run of consecutive table lines, as cells."""
    blocks = re.findall(r"(?:^\|.*\|$\n?)+", markdown, flags=re.M)
    return [[line.strip("|").split("|") for line in block.splitlines()] for block in blocks]


def test_the_markdown_holds_every_arch_every_source_and_the_recommendation(three):
    markdown = three.to_markdown()
    assert three.recommendation in markdown
    assert {row.arch for row in three.rows} | set(three.folds) <= set(re.findall(r"\w+", markdown))
    assert re.search(r"^\| good \| 7 \| .* ± .* \| 910 \| 1\.00 \|$", markdown, flags=re.M)


@pytest.mark.parametrize("archs", [1, 3])
def test_the_markdown_has_three_well_formed_tables(archs, three, clips):
    table, hard_N = clips
    comparison = three if archs == 3 else compared(table, only=hard_N)
    rows, against, sources = tables_in(comparison.to_markdown())
    assert (len(rows), len(against), len(sources)) == (2 + archs, 2 + archs - 1, 2 + archs)
    for header, ruler, *body in (rows, against, sources):
        assert all(re.fullmatch(r"-+", cell) for cell in ruler)
        assert {len(cells) for cells in (ruler, *body)} == {len(header)}
        assert all(cell.strip() for cells in body for cell in cells)
    assert [cell.strip() for cell in sources[0]] == ["arch", *comparison.folds]
