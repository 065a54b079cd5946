"""Everything that is said to MLflow: a job is a run, with an honest ending.

`mlflow run` hands a run over in MLFLOW_RUN_ID; without one a run is made in the experiment that MLflow's own
variables select. MLflow is imported when a run starts, not before.
"""

import json
import logging
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

import numpy as np
from filelock import FileLock

from vmaf_train import __version__
from vmaf_train.errors import InputError, VmafTrainError
from vmaf_train.features import set_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vmaf_train.frames.table import FrameTable
    from vmaf_train.judging.comparison import ArchRow
    from vmaf_train.judging.evaluation import EvalReport
    from vmaf_train.onnx_file.inference import OnnxStudent
    from vmaf_train.students.training import Epoch

log = logging.getLogger(__name__)
SQLITE = "sqlite:///"
RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
FLUSH_SECONDS = 5.0
METRICS_A_BATCH = 1000
RANDOM_RUN_NAME = re.compile(r"[a-z]+-[a-z]+-\d+")
# Tracking stores that this process has reached.
_opened: set[str] = set()
CHART_VIEW = "?compareRunsMode=CHART&workflowType=machine_learning"


class Job:
    """One piece of work and its MLflow run, once started.

    Attributes:
        run_id: of the run; empty until `start`.
    """

    def __init__(self) -> None:
        self.run_id = ""
        self._pending: list[Any] = []
        self._flushed = 0.0
        self._code = ("unknown", "unknown")

    def start(self, run_name: str) -> None:
        """Resume the run that `mlflow run` made, or make one; give it a readable name unless the user chose one.

        Raises:
            InputError: the tracking store cannot be used.
        """
        import mlflow

        # Now: what is edited or committed while this works is not what ran.
        self._code = git_state()
        if not self.run_id:
            open_store()
            active = mlflow.active_run()
            run = mlflow.start_run(
                run_name=None if "MLFLOW_RUN_ID" in os.environ else run_name,
                experiment_id=active.info.experiment_id if active else None,
                nested=active is not None,
            )
            self.run_id = run.info.run_id
            if active:
                # A child's row is folded away in the UI; runs of a sweep stand side by side.
                mlflow.MlflowClient().delete_tag(self.run_id, "mlflow.parentRunId")
            # MLflow's fluent calls resume the run of this variable by themselves; the job holds it from here on.
            os.environ.pop("MLFLOW_RUN_ID", None)
        if RANDOM_RUN_NAME.fullmatch(mlflow.get_run(self.run_id).info.run_name or ""):
            mlflow.set_tag("mlflow.runName", run_name)

    @property
    def address(self) -> tuple[str, str]:
        """The run's id and its store's URI, for a library that logs by itself."""
        import mlflow

        return self.run_id, mlflow.get_tracking_uri()

    def end(self, status: str, error: str = "") -> None:
        """Close the run as FINISHED, FAILED or KILLED, with the error as a tag; nothing if none was started."""
        if not self.run_id:
            return
        import mlflow

        self._flush()
        if error:
            mlflow.set_tag("error", error[:5000])
        mlflow.end_run(status)

    def log_settings(self, settings: Mapping[str, object]) -> None:
        """Log parameters, leaving alone those that `mlflow run` has logged under the same name."""
        import mlflow

        logged = mlflow.get_run(self.run_id).data.params
        mlflow.log_params({key: value for key, value in settings.items() if key not in logged})

    def log_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags, the version of the code and of the checkout it runs from among them."""
        import mlflow

        commit, dirty = self._code
        mlflow.set_tags(
            {"git_commit": commit, "git_dirty": dirty, "vmaf_train_version": __version__, **tags}
        )

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Keep metrics for the next batch, which is sent every few seconds and at the end."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._pending += [Metric(key, float(value), now, step) for key, value in metrics.items()]
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self._flush()

    def log_epoch(self, epoch: "Epoch") -> None:
        """Keep what is known after an epoch, under its number as step."""
        self.log_metrics(
            {"train/loss": epoch.train_loss, "epoch/val_rmse": epoch.val_rmse}, epoch.number
        )

    def log_report(self, prefix: str, report: "EvalReport") -> None:
        """Log the figures of a report as metrics under `prefix`, and the model's own size and latency."""
        metrics = {f"{prefix}/{key}": getattr(report, key) for key in _FRAME_METRICS}
        metrics |= {f"{prefix}/pooled_{key}": getattr(report.pooled, key) for key in _FRAME_METRICS}
        metrics |= {f"{prefix}/{name}_rmse": row.rmse for name, row in report.references.items()}
        if plain := report.without_teacher_points:
            metrics |= {
                f"{prefix}_without_points/{key}": getattr(plain, key) for key in _FRAME_METRICS
            }
        for name, interval in report.intervals.items():
            metrics |= {
                f"{prefix}/{name}_low": interval.low,
                f"{prefix}/{name}_high": interval.high,
            }
        if len(report.per_source) > 1:
            metrics |= {
                f"{prefix}/source/{source}/rmse": row.rmse
                for source, row in report.per_source.items()
            }
        self.log_metrics({key: value for key, value in metrics.items() if value is not None})
        self._log_model_facts(report)

    def _log_model_facts(self, report: "EvalReport") -> None:
        """Log what a report knows of the model whatever the frames: size, costs, errors over the feature box."""
        metrics = {f"latency/{key}": value for key, value in report.latency if key.endswith("_us")}
        metrics |= {
            "model/parameters": report.model.parameters or 0,
            "model/onnx_bytes": report.model.onnx_bytes,
        }
        if features := set_of(report.model.features):
            metrics["model/extraction_cost"] = features.cost
        if box := report.box:
            metrics |= {"box/rmse": box.rmse, "box/max_abs_error": box.max_abs_error}
        self.log_metrics(metrics)

    def log_files(
        self, files: "Mapping[str, bytes] | Mapping[str, Figure]", folder: str = ""
    ) -> None:
        """Log artifacts by file name: bytes as they are, figures in the format of the name's ending."""
        import mlflow

        with tempfile.TemporaryDirectory(prefix="vmaf-train-") as made:
            for name, content in files.items():
                if isinstance(content, bytes):
                    Path(made, name).write_bytes(content)
                else:
                    content.savefig(Path(made, name))
            mlflow.log_artifacts(made, folder or None)

    def log_dataset(self, table: "FrameTable", corpus: str, context: str) -> None:
        """Log a table as an input of the run: name, digest, columns, source; not its rows."""
        import mlflow
        from mlflow.data.code_dataset_source import CodeDatasetSource
        from mlflow.data.meta_dataset import MetaDataset
        from mlflow.types import ColSpec, Schema

        schema = Schema([ColSpec("double", name) for name in (*table.features, "vmaf")])
        source = CodeDatasetSource({"corpus": corpus, "sources": ",".join(table.sources)})
        # MLflow's database keeps 36 characters of a digest; the whole one is a tag.
        dataset = MetaDataset(  # type: ignore[abstract]
            source, name=f"{corpus}-{context}", digest=table.digest[:32], schema=schema
        )
        mlflow.log_input(dataset, context=context)

    def log_model(self, student: "OnnxStudent", example_NF: np.ndarray) -> None:
        """Log the ONNX file as an MLflow model with its signature and a few example rows."""
        import mlflow.onnx
        import onnx
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec

        mlflow.onnx.log_model(
            onnx.load_model_from_string(student.content),
            name="model",
            save_as_external_data=False,
            # Stated, not inferred: inference would import and run everything once more.
            pip_requirements=[
                f"{name}=={version(name)}" for name in ("mlflow", "onnx", "onnxruntime", "numpy")
            ],
            signature=ModelSignature(
                Schema([TensorSpec(np.dtype("float32"), (-1, len(student.features)), "features")]),
                Schema([TensorSpec(np.dtype("float32"), (-1,), "vmaf")]),
            ),
            input_example={"features": example_NF.astype(np.float32)},
            onnx_execution_providers=["CPUExecutionProvider"],
        )

    def log_arch(self, row: "ArchRow", report: "EvalReport") -> None:
        """Log what a sweep found out about an architecture: folds, all out-of-fold frames, the kept student's facts."""
        metrics: dict[str, float | None] = {
            "loso/mean_rmse": row.mean_fold.mean,
            "loso/mean_rmse_deviation": row.mean_fold.deviation,
            "loso/worst_rmse": row.worst_fold.mean,
            "loso/worst_rmse_deviation": row.worst_fold.deviation,
            "oof/rmse_low": row.rmse_interval.low,
            "oof/rmse_high": row.rmse_interval.high,
        }
        for source, rmse in row.folds.items():
            metrics |= {
                f"loso/{source}/rmse": rmse.mean,
                f"loso/{source}/rmse_deviation": rmse.deviation,
            }
        for prefix, figures in (
            ("oof", row.frames),
            ("oof_pooled", row.clips),
            ("oof_no_points", row.without_points),
        ):
            metrics |= (
                {f"{prefix}/{key}": getattr(figures, key) for key in _FRAME_METRICS}
                if figures
                else {}
            )
        self.log_metrics({key: value for key, value in metrics.items() if value is not None})
        self._log_model_facts(report)

    def share_view(self, name: str, tag: str, order_by: str) -> str:
        """Keep a view of the run's experiment as the UI's own "Share view" does, and return its key.

        It holds the runs whose `tag` is `name`, all of them charted (the UI shows ten unless told), in the order of a
        metric, lowest first.
        """
        import mlflow

        view = {
            "searchFilter": f"tags.{tag} = '{name}'",
            "orderByKey": f"metrics.`{order_by}`",
            "orderByAsc": True,
            "runsHiddenMode": "SHOW_ALL",
        }
        experiment = mlflow.get_run(self.run_id).info.experiment_id
        mlflow.MlflowClient().set_experiment_tag(
            experiment, f"mlflow.sharedViewState.{name}", json.dumps(view)
        )
        return name

    def where_to_look(self, view: str = "") -> Sequence[str]:
        """Return lines that lead to the run: its id, the command for the UI, and the address of the chart view.

        Args:
            view: key of a shared view to chart; without one all of the experiment's runs are charted.
        """
        import mlflow

        uri, run = without_password(mlflow.get_tracking_uri()), mlflow.get_run(self.run_id)
        served = uri.startswith("http")
        base = f"{uri if served else 'http://127.0.0.1:5000'}/#/experiments/{run.info.experiment_id}/runs"
        start = () if served else (f"start the UI: mlflow ui --backend-store-uri {uri}",)
        return (
            f"run {self.run_id}",
            *start,
            f"this run:     {base}/{self.run_id}",
            f"all, charted: {base}{CHART_VIEW}" + (f"&viewStateShareKey={view}" if view else ""),
        )

    def _flush(self) -> None:
        import mlflow

        # Taken off first: what a store refuses once must not keep the run from ending.
        pending, self._pending, self._flushed = self._pending, [], time.monotonic()
        for start in range(0, len(pending), METRICS_A_BATCH):
            mlflow.MlflowClient().log_batch(
                self.run_id, metrics=pending[start : start + METRICS_A_BATCH]
            )


_FRAME_METRICS = ("plcc", "srocc", "krocc", "rmse", "max_abs_error", "bias")


@contextmanager
def job(run_name: str) -> Iterator[Job]:
    """Do a piece of work as an MLflow run: FINISHED at the end, KILLED by an interrupt, FAILED by an error.

    A run handed over by `mlflow run` is taken up at once, so that bad input is seen there too; otherwise none
    exists until the work calls `start`.

    Raises:
        VmafTrainError: in place of an error of MLflow itself.
    """
    work = Job()
    try:
        if "MLFLOW_RUN_ID" in os.environ:
            work.start(run_name)
        yield work
        work.end("FINISHED")
    except KeyboardInterrupt:
        _end_after_failure(work, "KILLED", "interrupted")
        raise
    except Exception as error:
        _end_after_failure(work, "FAILED", f"{type(error).__name__}: {error}")
        if type(error).__module__.partition(".")[0] in ("mlflow", "sqlalchemy", "requests"):
            raise VmafTrainError(
                f"MLflow failed: {without_password(first_line(error))}; "
                "check the tracking store (MLFLOW_TRACKING_URI) and run again"
            ) from error
        raise


def git_state() -> tuple[str, str]:
    """Return the commit of the checkout this code runs from and "true" or "false" for dirty, or "unknown" twice."""
    here = Path(__file__).resolve()

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here.parent), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        # An installed copy may lie inside somebody else's checkout; only one that tracks this file counts.
        git("ls-files", "--error-unmatch", here.name)
        # What a promotion writes is no input of any training.
        changed = git(
            "status",
            "--porcelain",
            "--",
            ":/",
            ":(top,exclude)model/tiny",
            ":(top,exclude)docs/ai/models",
        )
        return git("rev-parse", "HEAD"), str(bool(changed)).lower()
    except (OSError, subprocess.CalledProcessError):
        return "unknown", "unknown"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its type where it has none."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _end_after_failure(work: Job, status: str, reason: str) -> None:
    try:
        work.end(status, reason)
    except Exception as error:  # the store may be what failed; the first error is the one to tell
        log.warning("run %s could not be marked %s: %s", work.run_id, status, first_line(error))


def open_store() -> None:
    """Reach the tracking store, once a process, making a local one if need be; call it before asking MLflow.

    Raises:
        InputError: it cannot be used.
    """
    import mlflow

    uri = mlflow.get_tracking_uri()
    if uri in _opened:
        return
    retries = os.environ.get(RETRIES)
    # MLflow's own seven retries take minutes to say that nobody listens.
    os.environ[RETRIES] = retries or "2"
    try:
        with store_lock(uri):
            mlflow.MlflowClient().search_experiments(max_results=1)
        _opened.add(uri)
    except (
        Exception
    ) as error:  # MLflow's, SQLAlchemy's, alembic's and requests' errors share no base class
        raise InputError(
            f"the MLflow store {without_password(uri)} cannot be used: "
            f"{without_password(first_line(error))}; set MLFLOW_TRACKING_URI to a running server or to "
            "sqlite:////path/of/mlflow.db (a file store also needs MLFLOW_ALLOW_FILE_STORE=true)"
        ) from error
    finally:
        os.environ.pop(RETRIES)
        if retries:
            os.environ[RETRIES] = retries


def without_password(text: str) -> str:
    """Return a text with user names and passwords in its addresses left out."""
    return re.sub(r"//[^/@\s]*@", "//***@", text)


@contextmanager
def store_lock(uri: str) -> Iterator[None]:
    """Hold a lock beside a local store; a server keeps order by itself.

    An SQLite store that several processes open cold breaks for good, and a file store loses version numbers when two
    register at once.
    """
    if uri.startswith(SQLITE):
        place = Path(uri.removeprefix(SQLITE)).absolute()
    elif "://" not in uri or uri.startswith("file:"):
        from urllib.request import url2pathname

        place = Path(url2pathname(urlparse(uri).path)).absolute()
    else:
        yield
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    # One lock object for each path, so that a holder may ask again.
    with FileLock(f"{place}.lock", is_singleton=True):
        yield
