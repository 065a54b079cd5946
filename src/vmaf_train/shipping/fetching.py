"""Download artifacts, ONNX files and reports from MLflow; errors say what to check."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from pydantic import ValidationError

from vmaf_train.errors import InputError, VmafTrainError
from vmaf_train.files import read_whole, temporary_folder
from vmaf_train.judging.report import REPORT, EvalReport
from vmaf_train.shipping.finding import RUN_ID
from vmaf_train.tracking.store import first_line, open_store, without_password

# How long a server may take for one answer and its files, and how many ONNX files are read.
SECONDS, MOST_FILES = 100.0, 10
# Time between two ends, if the first was caught.
AGAIN_SECONDS = 5.0


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
        with _time_limit(what):
            yield MlflowClient()
    except VmafTrainError:
        raise
    except Exception as error:  # an answer of other types can break MLflow anywhere
        store = mlflow.get_tracking_uri()
        fact = f"MLflow has no usable {what} in {store}: {first_line(error)}"
        raise InputError(
            f"{without_password(fact)}; check the id and MLFLOW_TRACKING_URI"
        ) from error


@contextmanager
def _time_limit(what: str) -> Iterator[None]:
    """End the body after SECONDS: a server can answer slowly, or list folders without end.

    Raises:
        InputError: the time is over.
    """

    def end(number: int, frame: object) -> None:
        raise InputError(
            f"{without_password(mlflow.get_tracking_uri())} did not give {what} in "
            f"{SECONDS:g} s; check the server in MLFLOW_TRACKING_URI"
        )

    # Only the main thread of a Unix process can have an alarm, and only one.
    alone = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")
    if not alone or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return
    before = signal.signal(signal.SIGALRM, end)
    # Again and again, since MLflow takes an error of one file for reason to try the next.
    signal.setitimer(signal.ITIMER_REAL, SECONDS, AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def download(uri: str) -> bytes:
    """Return the content of one artifact.

    Raises:
        InputError: there is no such artifact.
    """
    # Without a folder of its own, MLflow returns paths inside a local store.
    with temporary_folder() as folder, asking(uri):
        return read_whole(_artifact(uri, folder))


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
        found = [path for path in sorted(folder.rglob("*.onnx")) if path.is_file()]
        contents = {path.name: read_whole(path) for path in found[:MOST_FILES]}
    if len(contents) != 1:
        listed = ", ".join(contents) or "none"
        raise InputError(
            f"{model} should hold one ONNX model and holds {listed}; "
            "pass the path of one .onnx file"
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
    entries = mlflow.artifacts.list_artifacts(run_id=model)
    names = [entry.path for entry in entries if not entry.is_dir and entry.path.endswith(".onnx")]
    return [f"runs:/{model}/{name}" for name in names[:MOST_FILES]]
