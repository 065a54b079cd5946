"""Helpers for tests of promotion: promote a run, read the registry and the tree."""

from pathlib import Path

import mlflow

from vmaf_train.commands.promote import Registered
from vmaf_train.commands.promote import register as register_command
from vmaf_train.errors import GateRefusedError
from vmaf_train.shipping.gates import Gate


def register(run_id: str, *, allow_worse: bool = False, allow_dirty: bool = True) -> Registered:
    """Promote a run into the tree of the working folder; these tests run from uncommitted code."""
    return register_command(run_id, Path(), allow_worse=allow_worse, allow_dirty=allow_dirty)


def refused_gates(error: GateRefusedError) -> dict[str, str]:
    """Return the fact of each gate that refused, by name."""
    gates = [gate for gate in error.gates if isinstance(gate, Gate)]
    return {gate.name: gate.fact for gate in gates if not gate.passed}


def tree_files() -> dict[str, bytes]:
    """Return the content of all files below model/ and docs/, by path."""
    files = [*Path("model").rglob("*"), *Path("docs").rglob("*")]
    return {
        path.as_posix(): path.read_bytes()
        for path in files
        if path.is_file() and path.name != ".tiny.lock"
    }


def versions() -> dict[str, str]:
    """Return the run id of each registered version."""
    client = mlflow.MlflowClient()
    return {str(v.version): v.run_id for v in client.search_model_versions("name = 'vmaf_tiny'")}


def alias(name: str) -> str:
    """Return the version that an alias names."""
    return str(mlflow.MlflowClient().get_model_version_by_alias("vmaf_tiny", name).version)
