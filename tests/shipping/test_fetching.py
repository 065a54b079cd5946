"""Students fetched from MLflow."""

import mlflow
import pytest

from vmaf_train.errors import InputError
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
