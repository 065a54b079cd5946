"""Evaluate: a student judged on one source or on all of them."""

import pytest
from mlflow_runs import artifacts, only_run

from vmaf_train.clips import demo
from vmaf_train.commands.evaluate import evaluate_model
from vmaf_train.errors import InputError
from vmaf_train.reporting import Reporter


@pytest.fixture
def file(trained, tmp_path):
    """The trained student as a file."""
    path = tmp_path / "student.onnx"
    path.write_bytes(trained[0].student.content)
    return path


def test_evaluate_judges_every_source_and_marks_those_trained_on(file, trained, demo_choice, store):
    report = evaluate_model(demo_choice, str(file), Reporter(), val_source="all").report
    marks = [report.per_source[source.name].in_training for source in demo.SOURCES]
    assert marks == [True] * 8 + [False]
    assert report.hold_out is None
    run = only_run()
    assert run.data.metrics["eval/source/Weather/rmse"] == pytest.approx(trained[0].report.rmse)
    assert {"eval_report.json", "rmse_by_clip.png"} <= artifacts(run)


def test_evaluate_on_the_hold_out_agrees_with_the_training_report(
    file, trained, demo_choice, store
):
    report = evaluate_model(demo_choice, str(file), Reporter(), val_source="Weather").report
    expected = trained[0].report
    assert (report.rmse, report.dataset.digest) == (expected.rmse, expected.dataset.digest)


def test_an_unknown_source_is_refused_with_the_known_ones(file, demo_choice, store):
    with pytest.raises(InputError, match=r"val_source Sahara is not in the corpus; .*Weather"):
        evaluate_model(demo_choice, str(file), Reporter(), val_source="Sahara")
