"""Rows and differences of a comparison: verdicts, and the metrics that a run logs."""

import pytest
from comparisons import row_of

from vmaf_train.judging.intervals import Interval
from vmaf_train.judging.rows import Difference


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-2, -1, "better"), (1, 2, "worse"), (-1, 1, "no different"), (0, 2, "no different")],
)
def test_only_an_interval_without_zero_settles_a_difference(low, high, verdict):
    interval = Interval(low=low, high=high)
    assert Difference(arch="a", against="b", rmse=0, interval=interval).verdict == verdict


def test_metrics_of_a_row_hold_folds_frames_and_clips():
    metrics = row_of("a", rmse=2.0, speed=9).metrics
    assert metrics["loso/A/rmse"] == metrics["loso/mean_rmse"] == metrics["oof/rmse"] == 2.0
    assert (metrics["oof/rmse_low"], metrics["oof/rmse_high"]) == (1.0, 4.0)
    assert not any(key.startswith("oof_no_points/") for key in metrics)
