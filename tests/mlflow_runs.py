"""Runs in the MLflow store that MLFLOW_TRACKING_URI names: made and read back by tests."""

import mlflow
from mlflow.entities import Run

from vmaf_train.commands.train import Trained, train
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.reporting import Reporter
from vmaf_train.students.settings import Settings


def all_runs() -> list[Run]:
    """Return the runs of all experiments."""
    return mlflow.search_runs(search_all_experiments=True, output_format="list")


def only_run() -> Run:
    """Return the one run of the store."""
    (run,) = all_runs()
    return run


def artifacts(run: Run) -> set[str]:
    """Return the paths of a run's artifacts at the top."""
    return {entry.path for entry in mlflow.artifacts.list_artifacts(run_id=run.info.run_id)}


def train_smoke(arch: str = "linear") -> Trained:
    """Log a training without epochs: the quickest run that has every part."""
    choice = CorpusChoice(assume_dims="16x16")
    return train(choice, arch, Settings(epochs=0), Reporter())
