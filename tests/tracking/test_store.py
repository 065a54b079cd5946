"""The tracking store: reached once, made under a lock, and named without passwords."""

import subprocess
import sys

import pytest
from mlflow_runs import all_runs, artifacts, only_run, train_smoke

from vmaf_train.errors import InputError
from vmaf_train.tracking.store import first_line, open_store, store_lock, without_password


def test_a_file_store_works_if_mlflow_allows_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path}/mlruns")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    train_smoke()
    assert only_run().info.status == "FINISHED"
    assert "linear.onnx" in artifacts(only_run())


def test_a_file_store_that_mlflow_refuses_is_an_input_error(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path}/mlruns")
    with pytest.raises(InputError, match="MLFLOW_ALLOW_FILE_STORE=true"):
        train_smoke()


def test_an_error_of_the_store_shows_no_password(monkeypatch):
    # No server listens there; a retry would only wait.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:s3cret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(InputError, match=r"http://\*\*\*@127.0.0.1:9 cannot be used") as caught:
        train_smoke()
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:pass@host/x", "http://***@host/x"),
        ("see postgresql://u@db and http://a:b@c", "see postgresql://***@db and http://***@c"),
        ("sqlite:////tmp/mlflow.db", "sqlite:////tmp/mlflow.db"),
    ],
)
def test_user_names_and_passwords_are_hidden_in_addresses(text, shown):
    assert without_password(text) == shown


def test_an_error_is_named_by_its_first_line_or_its_type():
    assert first_line(ValueError("what\nwhere")) == "what"
    assert first_line(ValueError()) == "ValueError"


def test_only_a_local_store_is_locked_and_its_holder_may_lock_it_again(tmp_path):
    address = f"sqlite:///{tmp_path}/new/mlflow.db"
    with store_lock(address), store_lock(address):
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["mlflow.db.lock"]
    with store_lock("http://127.0.0.1:9"):
        pass


@pytest.mark.slow
def test_first_runs_at_the_same_time_all_succeed(cold_store):
    work = (
        "from vmaf_train.tracking.run import tracked\n"
        "with tracked('work') as run:\n"
        "    run.start('work')\n"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    command = [sys.executable, "-c", work]
    processes = [subprocess.Popen(command, **pipes) for _ in range(4)]
    outputs = [process.communicate(timeout=110)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, outputs
    assert [run.info.status for run in all_runs()] == ["FINISHED"] * 4


@pytest.mark.parametrize("address", ["http://me:pa@ss@127.0.0.1:9", "http://me:pa@ss/w@host"])
def test_a_password_that_would_be_shown_in_part_is_refused_and_not_shown(address, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(InputError, match="write it as %40") as refused:
        open_store()
    assert "ss" not in str(refused.value).replace("password", "")
