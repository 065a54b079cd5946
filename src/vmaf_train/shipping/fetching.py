"""Download artifacts, ONNX files and reports from MLflow; errors say what to check."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from pydantic import ValidationError

from vmaf_train.errors import InputError
from vmaf_train.files import temporary_folder
from vmaf_train.judging.report import REPORT, EvalReport
from vmaf_train.shipping.finding import RUN_ID
from vmaf_train.tracking.store import first_line, open_store, without_password


@contextmanager
def asking(what: str) -> Iterator[MlflowClient]:
    """Yield an MLflow client; turn MLflow's errors in the body into InputError.

    Args:
        what: the object that the body asks for, e.g. "run 3f2a", for errors.

    Raises:
        InputError: the object cannot be read, or the store cannot be used.
    """
    # By default MLflow draws a progress bar for every small file.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    open_store()
    try:
        yield MlflowClient()
    except (mlflow.MlflowException, OSError) as error:
        store = mlflow.get_tracking_uri()
        fact = f"MLflow has no usable {what} in {store}: {first_line(error)}"
        raise InputError(
            f"{without_password(fact)}; check the id and MLFLOW_TRACKING_URI"
        ) from error


def download(uri: str) -> bytes:
    """Return the content of one artifact.

    Raises:
        InputError: there is no such artifact.
    """
    # Without a folder of its own, MLflow returns paths inside a local store.
    with temporary_folder() as folder, asking(uri):
        return _artifact(uri, folder).read_bytes()


def download_onnx(model: str) -> bytes:
    """Return the one .onnx file of a run or of an MLflow artifact.

    Args:
        model: a run id, or a models:/ or runs:/ URI.

    Raises:
        InputError: there is no such run or artifact, or it holds no or several .onnx files.
    """
    with temporary_folder() as folder, asking(model):
        for address in _onnx_addresses(model):
            _artifact(address, folder)
        contents = {file.name: file.read_bytes() for file in sorted(folder.rglob("*.onnx"))}
    if len(contents) != 1:
        found = ", ".join(contents) or "none"
        raise InputError(
            f"{model} should hold one ONNX model and holds {found}; pass the path of one .onnx file"
        )
    return next(iter(contents.values()))


def report_of(run_id: str) -> EvalReport:
    """Return the evaluation report of a run.

    Raises:
        InputError: the run has no report, or this version cannot read it.
    """
    try:
        return EvalReport.model_validate_json(download(f"runs:/{run_id}/{REPORT}"))
    except ValidationError as error:
        raise InputError(
            f"run {run_id}: {REPORT} is not a report of this version: {first_line(error)}; "
            "train again, or use the version that trained it"
        ) from error


def _artifact(uri: str, folder: Path) -> Path:
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder)))


def _onnx_addresses(model: str) -> list[str]:
    if not RUN_ID.fullmatch(model):
        return [model]
    names = [entry.path for entry in mlflow.artifacts.list_artifacts(run_id=model)]
    return [f"runs:/{model}/{name}" for name in names if name.endswith(".onnx")]
