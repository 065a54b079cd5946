"""The MLflow run of a command: it starts, logs, and ends with the status of the command.

`mlflow run` makes a run and passes its id in MLFLOW_RUN_ID. Without that variable, a run is made in
the experiment that MLflow's other variables select.
"""

import logging
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version

import mlflow
import numpy as np
import onnx
from matplotlib.figure import Figure
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Metric
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec

from vmaf_train import __version__
from vmaf_train.errors import VmafTrainError
from vmaf_train.files import temporary_folder
from vmaf_train.frames.table import FrameTable
from vmaf_train.onnx_file.contract import INPUT, OUTPUT
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.tracking.checkout import Checkout, find_checkout
from vmaf_train.tracking.orphans import PROCESS_TAG, own_process
from vmaf_train.tracking.store import few_retries, first_line, open_store, without_password

log = logging.getLogger(__name__)
RUN_ID_VARIABLE = "MLFLOW_RUN_ID"
# Time between two batches of metrics, and metrics per batch.
FLUSH_SECONDS = 5.0
METRICS_PER_BATCH = 1000
# In characters.
LONGEST_TAG = 5000
# Rows in the input example of a logged model.
EXAMPLE_ROWS = 4
# Sources that the description of a dataset names.
MOST_SOURCES = 200
# The names that MLflow draws, e.g. "bold-fox-123".
RANDOM_RUN_NAME = re.compile(r"[a-z]+-[a-z]+-\d+")
MODEL_REQUIREMENTS = ("mlflow", "onnx", "onnxruntime", "numpy")
# Errors from these packages are reported as errors of MLflow.
MLFLOW_PACKAGES = ("mlflow", "sqlalchemy", "requests")


class Run:
    """The MLflow run of a command.

    Attributes:
        run_id: id of the run; empty until `start`.
    """

    def __init__(self) -> None:
        self.run_id = ""
        self._checkout = Checkout()
        self._pending: list[Metric] = []
        self._flushed = 0.0

    @property
    def address(self) -> tuple[str, str]:
        """The run's id and the tracking URI, for a library that logs by itself."""
        return self.run_id, mlflow.get_tracking_uri()

    def start(self, name: str) -> None:
        """Resume the run that `mlflow run` made, or make one; name it unless the user named it.

        Raises:
            InputError: the tracking store cannot be used.
        """
        # Read it now, since later edits and commits do not change the code that runs.
        self._checkout = find_checkout()
        if not self.run_id:
            self._open(name)
        mlflow.set_tag(PROCESS_TAG, own_process())
        if RANDOM_RUN_NAME.fullmatch(mlflow.get_run(self.run_id).info.run_name or ""):
            mlflow.set_tag("mlflow.runName", name)

    def finish(self) -> None:
        """Close the run, if it was started, as FINISHED."""
        if self.run_id:
            self.flush()
            mlflow.end_run("FINISHED")

    def clear_error(self) -> None:
        """Remove the tag of an earlier failure, of a run that is finished after all."""
        if "error" in mlflow.get_run(self.run_id).data.tags:
            mlflow.MlflowClient().delete_tag(self.run_id, "error")

    def end_after_failure(self, status: str, error: str) -> None:
        """Close the run, if it was started, as FAILED or KILLED; then tag the error.

        The store can be the cause of the failure, so each step is tried, and what fails is logged.
        """
        if not self.run_id:
            return
        client = mlflow.MlflowClient()
        steps = {
            # First of all: MLflow would close a run that is still open as FINISHED.
            f"be marked {status}": lambda: mlflow.end_run(status),
            "get its tag": lambda: client.set_tag(self.run_id, "error", error[:LONGEST_TAG]),
            "get its last metrics": self.flush,
        }
        for what, step in steps.items():
            try:
                with few_retries():
                    step()
            except Exception as failure:  # the first error is the one to raise
                log.warning("run %s could not %s: %s", self.run_id, what, first_line(failure))

    def log_settings(self, settings: Mapping[str, object]) -> None:
        """Log parameters, except those that `mlflow run` has already logged."""
        logged = mlflow.get_run(self.run_id).data.params
        mlflow.log_params({key: value for key, value in settings.items() if key not in logged})

    @property
    def code_tags(self) -> dict[str, str]:
        """Tags for the version of the code."""
        return {
            "git_commit": self._checkout.commit,
            "git_dirty": self._checkout.dirty,
            "vmaf_train_version": __version__,
        }

    def log_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags, also those for the version of the code."""
        mlflow.set_tags({**self.code_tags, **tags})

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Add metrics to the next batch.

        After `start`, a batch is sent every few seconds and at the end.
        """
        now = int(time.time() * 1000)
        self._pending += [Metric(key, float(value), now, step) for key, value in metrics.items()]
        if self.run_id and time.monotonic() - self._flushed > FLUSH_SECONDS:
            held = self._pending
            try:
                with few_retries():
                    self.flush()
            except Exception as error:  # a fit must not end because a server is away for a while
                self._pending = held
                log.warning("metrics wait for the store: %s", without_password(first_line(error)))

    def log_files(self, files: Mapping[str, bytes | Figure], folder: str = "") -> None:
        """Log artifacts by file name; its ending decides the format of a figure."""
        with temporary_folder() as made:
            for name, content in files.items():
                if isinstance(content, bytes):
                    (made / name).write_bytes(content)
                else:
                    content.savefig(made / name)
            mlflow.log_artifacts(str(made), folder or None)

    def log_dataset(self, table: FrameTable, corpus: str, context: str) -> None:
        """Log a table as an input of the run: name, digest, columns and source, not its rows."""
        schema = Schema([ColSpec("double", name) for name in (*table.features, OUTPUT)])
        source = CodeDatasetSource({"corpus": corpus, "sources": _named(table.sources)})
        # MLflow's database keeps at most 36 characters of a digest; a tag holds all of it.
        dataset = MetaDataset(  # type: ignore[abstract]
            source, name=f"{corpus}-{context}", digest=table.digest[:32], schema=schema
        )
        mlflow.log_input(dataset, context=context)

    def log_model(self, student: OnnxStudent, example_NF: np.ndarray) -> str:
        """Log the ONNX file as an MLflow model with its signature and a few example rows.

        Returns:
            The id of the model.
        """
        return _log_onnx(student, example_NF)

    def _open(self, name: str) -> None:
        open_store()
        active = mlflow.active_run()
        run = mlflow.start_run(
            run_name=None if RUN_ID_VARIABLE in os.environ else name,
            experiment_id=active.info.experiment_id if active else None,
            nested=active is not None,
        )
        self.run_id = run.info.run_id
        if active:
            # With this tag, the UI hides the runs of a sweep below their parent run.
            mlflow.MlflowClient().delete_tag(self.run_id, "mlflow.parentRunId")
        # Otherwise MLflow's fluent calls resume the run of this variable.
        os.environ.pop(RUN_ID_VARIABLE, None)

    def flush(self) -> None:
        """Send the metrics that wait."""
        pending = self._pending
        # Empty the list first: if a store refuses metrics, the run must still end.
        self._pending = []
        self._flushed = time.monotonic()
        for start in range(0, len(pending), METRICS_PER_BATCH):
            batch = pending[start : start + METRICS_PER_BATCH]
            mlflow.MlflowClient().log_batch(self.run_id, metrics=batch)


def is_of_mlflow(error: Exception) -> bool:
    """Tell whether an error is reported as one of MLflow."""
    return type(error).__module__.partition(".")[0] in MLFLOW_PACKAGES


def _log_onnx(student: OnnxStudent, example_NF: np.ndarray) -> str:
    """Log an ONNX file to the active run; see `Run.log_model`."""
    inputs = TensorSpec(np.dtype("float32"), (-1, len(student.features)), INPUT)
    outputs = TensorSpec(np.dtype("float32"), (-1,), OUTPUT)
    logged = mlflow.onnx.log_model(
        onnx.load_model_from_string(student.content),
        name="model",
        save_as_external_data=False,
        # If these are not given, MLflow infers them: it imports and runs everything again.
        pip_requirements=[f"{name}=={version(name)}" for name in MODEL_REQUIREMENTS],
        signature=ModelSignature(Schema([inputs]), Schema([outputs])),
        input_example={INPUT: example_NF.astype(np.float32)},
        onnx_execution_providers=["CPUExecutionProvider"],
    )
    return str(logged.model_id)


def _named(sources: Sequence[str]) -> str:
    """Return names with commas between them; of very many only the first, and how many more."""
    # MLflow refuses the description of a dataset beyond 65,535 characters.
    shown = sources[:MOST_SOURCES]
    more = len(sources) - len(shown)
    return ",".join(shown) + (f" and {more} more" if more else "")


@contextmanager
def tracked(name: str) -> Iterator[Run]:
    """Run the body as an MLflow run, which ends as FINISHED, KILLED (interrupt) or FAILED.

    A run that `mlflow run` made is resumed at once, so that it also records bad input. Any other
    run exists only after the body calls `start`.

    Raises:
        VmafTrainError: MLflow failed; the body's errors pass through.
    """
    run = Run()
    try:
        if RUN_ID_VARIABLE in os.environ:
            run.start(name)
        yield run
        run.finish()
    except Exception as error:
        run.end_after_failure("FAILED", f"{type(error).__name__}: {error}")
        if is_of_mlflow(error):
            raise VmafTrainError(
                f"MLflow failed: {without_password(first_line(error))}; "
                "check the tracking store (MLFLOW_TRACKING_URI) and run again"
            ) from error
        raise
    except BaseException:
        # An interrupt, or the exit that Lightning makes of one.
        run.end_after_failure("KILLED", "interrupted")
        raise
