"""Main: prewarm, train and evaluate in one run."""

import pytest
from mlflow_runs import artifacts, only_run

from vmaf_train.commands.main import run_all
from vmaf_train.reporting import Reporter
from vmaf_train.students.settings import Settings


def test_main_makes_one_run_with_both_reports(demo_choice, store):
    done = run_all(demo_choice, "linear", Settings(), Reporter())
    run = only_run()
    assert {"eval_report.json", "linear.onnx", "all_sources"} <= artifacts(run)
    assert run.data.metrics["val/rmse"] == pytest.approx(done.trained.report.rmse)
    assert run.data.metrics["eval/rmse"] == pytest.approx(done.evaluated.report.rmse)
    assert run.data.tags["onnx_sha256"] == done.trained.student.sha256
