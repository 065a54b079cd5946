"""Students fetched from MLflow."""

import time

import mlflow
import pytest

from vmaf_train.errors import InputError
from vmaf_train.shipping import fetching
from vmaf_train.shipping.fetching import download_onnx, report_of
from vmaf_train.shipping.finding import FOR_EVALUATE, find_student


@pytest.mark.parametrize("address", ["{run}", "runs:/{run}/mlp_small.onnx", "models:/{model}"])
def test_a_logged_student_is_fetched_by_run_id_and_by_uri(trained, address):
    done, run = trained
    model = mlflow.search_logged_models(
        output_format="list", experiment_ids=[run.info.experiment_id]
    )[0].model_id
    named = address.format(run=run.info.run_id, model=model)
    assert download_onnx(named) == done.student.content
    found = find_student(named, FOR_EVALUATE)
    assert (found.student.content, found.name) == (done.student.content, "mlp_small")


def test_a_run_without_an_onnx_file_is_refused(store):
    with mlflow.start_run() as run:
        pass
    with pytest.raises(InputError, match="holds none"):
        download_onnx(run.info.run_id)


def test_a_run_with_two_onnx_files_is_refused_with_their_names(store):
    with mlflow.start_run() as run:
        mlflow.log_text("", "one.onnx")
        mlflow.log_text("", "two.onnx")
    with pytest.raises(InputError, match=r"holds one\.onnx, two\.onnx"):
        download_onnx(run.info.run_id)


def test_a_report_of_another_version_is_refused(store):
    with mlflow.start_run() as run:
        mlflow.log_dict({"rmse": 1}, "eval_report.json")
    with pytest.raises(InputError, match=r"is not a report of this version: .*train again"):
        report_of(run.info.run_id)


# The default method of pytest-timeout takes the only alarm.
@pytest.mark.timeout(60, method="thread")
def test_a_server_that_takes_too_long_is_left(store, monkeypatch):
    monkeypatch.setattr(fetching, "SECONDS", 0.2)
    monkeypatch.setattr(fetching, "_artifact", lambda uri, folder: time.sleep(9))
    started = time.monotonic()
    with pytest.raises(InputError, match=r"did not give runs:/1/a in 0\.2 s"):
        fetching.download("runs:/1/a")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("error", [TypeError("null"), KeyError("files"), RecursionError()])
def test_an_answer_that_breaks_mlflow_is_one_line(error, store, monkeypatch):
    def answer(uri, folder):
        raise error

    monkeypatch.setattr(fetching, "_artifact", answer)
    with pytest.raises(InputError, match="MLflow has no usable runs:/1/a"):
        fetching.download("runs:/1/a")
