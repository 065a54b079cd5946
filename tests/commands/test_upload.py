"""A server that dies after a fit: what was trained is kept, and `upload` finishes the run."""

import mlflow
import pytest
from commandline import call
from mlflow.exceptions import MlflowException
from mlflow_runs import artifacts, only_run
from promotion import alias, register

from vmaf_train.commands.train import train
from vmaf_train.errors import InputError, VmafTrainError
from vmaf_train.extraction.cache import cache_root
from vmaf_train.reporting import Reporter
from vmaf_train.students.settings import Settings
from vmaf_train.tracking.kept import read_kept
from vmaf_train.tracking.run import tracked

SHORT = Settings(epochs=4, teacher_points=256)


@pytest.fixture
def lost(demo_choice, store, tmp_path, monkeypatch):
    """Train with a store that refuses the model; return the folder that was kept."""

    def refuse(*args, **kwargs):
        raise MlflowException("the server is gone")

    (tmp_path / "checkout" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "checkout")
    with monkeypatch.context() as patch:
        patch.setattr("vmaf_train.commands.train.cache_root", lambda: tmp_path / "kept")
        patch.setattr(mlflow, "log_artifacts", refuse)
        with pytest.raises(VmafTrainError, match="what was trained is kept") as error:
            train(demo_choice, "mlp_small", SHORT, Reporter())
    (folder,) = (tmp_path / "kept" / "_unsent").iterdir()
    assert str(error.value).endswith(f"vmaf-train upload {folder}")
    return folder


def test_a_student_that_lost_its_server_is_uploaded_later_and_registers(lost):
    assert only_run().info.status == "FAILED"
    done = call("upload", lost)
    assert done.exit_code == 0, done.stderr
    run = only_run()
    assert run.info.status == "FINISHED" and not lost.exists()
    assert {"mlp_small.onnx", "eval_report.json", "held_out.npz"} <= artifacts(run)
    assert run.data.metrics["val/rmse"] > 0 and run.data.tags["smoke"] == "false"
    assert "error" not in run.data.tags
    assert register(run.info.run_id).version == alias("default") == "1"


def test_a_folder_that_was_changed_is_not_uploaded(lost):
    (lost / "mlp_small.onnx").write_bytes(b"other")
    assert call("upload", lost).exit_code == 2
    assert lost.exists() and only_run().info.status == "FAILED"


@pytest.mark.parametrize("content", [None, "{}", "[" * 5000])
def test_a_folder_that_holds_no_results_is_refused(content, tmp_path):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(InputError, match="holds no results of a training"):
        read_kept(tmp_path)


def test_nothing_is_kept_of_a_training_that_was_logged(trained):
    assert not any((cache_root() / "_unsent").glob("*"))


def test_metrics_wait_while_the_store_is_away(store, monkeypatch, caplog):
    def refuse(*args, **kwargs):
        raise MlflowException("not now")

    with tracked("work") as run:
        run.start("work")
        with monkeypatch.context() as patch:
            patch.setattr(mlflow.MlflowClient, "log_batch", refuse)
            run.log_metrics({"early": 1.0})
        run.log_metrics({"late": 2.0})
    assert only_run().data.metrics == {"early": 1.0, "late": 2.0}
    assert "metrics wait for the store: not now" in caplog.text
