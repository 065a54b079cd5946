"""The contract of eval_report.json, and the metrics that a run logs of it."""

import pytest

from vmaf_train.frames.splits import split
from vmaf_train.judging.evaluation import evaluate
from vmaf_train.judging.report import EvalReport
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.students.export import to_onnx
from vmaf_train.students.settings import Settings
from vmaf_train.students.training import fit


@pytest.fixture(scope="module")
def report(make_table):
    """A report on three sources of a student of two."""
    table = make_table()
    train, val = split(table, "Gamma")
    student = fit("linear", train, val, Settings(teacher_points=0)).student
    loaded = OnnxStudent(to_onnx(student, {"train_sources": train.sources}), "it")
    return evaluate(loaded, table, name="linear", corpus="c", libvmaf_version="3.2.0")[0]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_report_reads_back_from_its_json(indent, report):
    assert EvalReport.model_validate_json(report.model_dump_json(indent=indent)) == report


@pytest.mark.parametrize(
    "change", [{"extra": 1}, {"rmse": float("nan")}, {"pooled": None}], ids=str
)
def test_a_report_with_an_unknown_key_or_nan_is_refused(change, report):
    whole = report.model_dump(mode="json")
    EvalReport.model_validate(whole)
    with pytest.raises(ValueError, match="validation error"):
        EvalReport.model_validate({**whole, **change})


def test_metrics_have_the_prefix_of_their_use(report):
    metrics = report.metrics("val")
    assert metrics["val/rmse"] == report.rmse
    assert metrics["val/pooled_rmse"] == report.pooled.rmse
    assert metrics["val/source/Gamma/rmse"] == report.per_source["Gamma"].rmse
    assert metrics["val/teacher_svr_rmse"] == report.references["teacher_svr"].rmse
    assert metrics["val/rmse_low"] == report.intervals["rmse"].low
    assert metrics["model/onnx_bytes"] == report.model.onnx_bytes
    assert not any(key.startswith("val_without_points/") for key in metrics)


def test_a_correlation_that_is_none_is_not_logged(report):
    pooled = report.pooled.model_copy(update={"plcc": None})
    metrics = report.model_copy(update={"pooled": pooled}).metrics("val")
    assert "val/pooled_plcc" not in metrics
    assert "val/pooled_srocc" in metrics
