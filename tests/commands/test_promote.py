"""Register and sync: from a training to the tree, and the output of the commands."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import mlflow
import pytest
from commandline import call
from mlflow_runs import only_run
from promotion import tree_files

from vmaf_train.commands.evaluate import evaluate_model
from vmaf_train.commands.promote import check_tree, point_back, register
from vmaf_train.commands.train import train
from vmaf_train.reporting import Reporter
from vmaf_train.shipping.finding import FOR_EVALUATE, find_student
from vmaf_train.students.settings import Settings


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Point MLflow at a server on the loopback that proxies artifacts; return its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    port = address.rpartition(":")[2]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", port]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{tmp_path}/server.db"]
    command += ["--artifacts-destination", f"{tmp_path}/kept"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        # Workers for background jobs would double the time to start.
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=2)
                break
            except OSError:
                assert time.monotonic() < deadline, "the server did not come up"
                time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def file_store(tmp_path, monkeypatch):
    """Point MLflow at a file store; return its address."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path}/mlruns")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return f"file://{tmp_path}/mlruns"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["server", "file_store"])
def test_a_trained_student_is_registered_synced_and_evaluated(kind, request, tmp_path, demo_choice):
    address = request.getfixturevalue(kind)
    done = train(demo_choice, "mlp_small", Settings(), Reporter())
    run_id = done.links.run_id
    assert (only_run().info.run_id, only_run().info.status) == (run_id, "FINISHED")
    assert find_student(run_id, FOR_EVALUATE).student.content == done.student.content
    if kind == "server":
        assert done.links.run.startswith(address) and done.links.start_ui is None

    checkout = tmp_path / "checkout"
    (checkout / "model").mkdir(parents=True)
    registered = register(run_id, checkout, allow_dirty=True)
    assert (registered.version, registered.alias) == ("1", "default")
    assert (checkout / "model" / "tiny" / "vmaf_tiny_v1.onnx").read_bytes() == done.student.content

    assert check_tree(checkout) == []
    assert register(run_id, checkout, allow_dirty=True).changed == []
    assert point_back("1", checkout).changed == []
    shipped = "models:/vmaf_tiny@default"
    judged = evaluate_model(demo_choice, shipped, Reporter(), val_source="Weather")
    assert judged.report.rmse == done.report.rmse


# The commands as a user types them.


def test_register_prints_its_gates_the_alias_and_the_files(ids):
    done = call("register", "--run-id", ids["small"], "--allow-dirty", "yes")
    assert done.exit_code == 0, done.output
    assert re.search(r"finished run +│ passed +│ FINISHED, smoke false", done.output)
    assert "alias default names version 1\nwrote model/tiny/registry.json\n" in done.output


def test_a_refused_register_prints_the_gate_and_exits_3(ids):
    refused = call("register", "--run-id", ids["linear"], "--allow-dirty", "yes")
    assert refused.exit_code == 3
    assert re.search(r"shipped arch +│ REFUSED │ linear on features canonical", refused.output)
    assert f"refused: run {ids['linear']} is not registered: shipped arch" in refused.output


def test_each_allowance_is_an_option_of_register(ids):
    mlflow.MlflowClient().set_tag(ids["small"], "git_dirty", "true")
    assert call("register", "--run-id", ids["small"]).exit_code == 3
    assert call("register", "--run-id", ids["small"], "--allow-dirty", "yes").exit_code == 0
    worse = ["register", "--run-id", ids["short"], "--allow-dirty", "yes"]
    assert call(*worse).exit_code == 3
    assert call(*worse, "--allow-worse", "yes").exit_code == 0


def test_sync_prints_the_files_it_changed_and_check_exits_1_on_a_difference(ids):
    call("register", "--run-id", ids["small"], "--allow-dirty", "yes")
    assert call("sync").output == "the tree is up to date\n"
    agreed = call("sync", "--check")
    assert (agreed.exit_code, agreed.output) == (0, "the tree and the registry agree\n")

    Path("docs/ai/models/vmaf_tiny_v1.md").unlink()
    differs = call("sync", "--check")
    assert differs.exit_code == 1
    assert "docs/ai/models/vmaf_tiny_v1.md: is missing\n" in differs.output
    assert "error: 1 difference(s) between the tree and the registry" in differs.output
    assert call("sync").output == "wrote docs/ai/models/vmaf_tiny_v1.md\n"


def test_register_points_an_alias_back_by_version(ids):
    call("register", "--run-id", ids["small"], "--allow-dirty", "yes")
    done = call("register", "--version", "1")
    assert done.exit_code == 0, done.output
    assert done.output == "alias default names version 1\nthe tree is up to date\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "either run_id or version"),
        (["--run-id", "0" * 32], "no usable run 0000"),
        (["--run-id", "../../etc"], "is not a run id"),
        (["--version", "9"], "no usable vmaf_tiny version 9"),
    ],
)
def test_an_unknown_run_or_version_is_bad_input(options, message, ids):
    result = call("register", *options)
    assert (result.exit_code, message in result.output) == (2, True), result.output
    assert tree_files() == {}


def test_a_folder_without_model_is_bad_input(ids, tmp_path):
    result = call("sync", "--tree", tmp_path / "here")
    assert (result.exit_code, "has no folder model" in result.output) == (2, True)
