"""Helpers for tests of promotion: run a command, read the registry and the tree."""

from pathlib import Path

import mlflow
from typer.testing import CliRunner

from vmaf_train.cli import app
from vmaf_train.commands.train import train as train_command
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.reporting import Reporter
from vmaf_train.students.settings import Settings

DIRTY = ["--allow-dirty", "yes"]


def call(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def register(run_id: str, *options: str, dirty: bool = True):
    return call("register", "--run-id", run_id, *(DIRTY if dirty else []), *options)


def train(arch: str, **settings: int) -> str:
    done = train_command(CorpusChoice(), arch, Settings(**settings), Reporter(), val_source="auto")
    return done.links.run_id


def tree_files() -> dict[str, bytes]:
    files = [*Path("model").rglob("*"), *Path("docs").rglob("*")]
    return {
        path.as_posix(): path.read_bytes()
        for path in files
        if path.is_file() and path.name != ".tiny.lock"
    }


def versions() -> dict[str, str]:
    """Return run id by version."""
    client = mlflow.MlflowClient()
    return {str(v.version): v.run_id for v in client.search_model_versions("name = 'vmaf_tiny'")}


def alias(name: str) -> str:
    return str(mlflow.MlflowClient().get_model_version_by_alias("vmaf_tiny", name).version)
