"""A piece of work and its MLflow run: its start, its metrics, its end."""

import mlflow
import numpy as np
import pytest
from conftest import write_corpus
from mlflow.exceptions import MlflowException
from mlflow_runs import all_runs, only_run, train_smoke

from vmaf_train.commands.train import train
from vmaf_train.errors import ExtractionError, InputError, VmafTrainError
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.reporting import Reporter
from vmaf_train.students.settings import Settings
from vmaf_train.tracking.run import tracked


def test_work_that_does_not_start_its_run_leaves_none(store):
    with tracked("work"):
        pass
    with pytest.raises(InputError), tracked("work"):
        raise InputError("no such corpus")
    assert all_runs() == []


def test_metrics_that_are_logged_before_the_start_reach_the_run(store):
    with tracked("work") as run:
        run.log_metrics({"early": 1.0})
        run.start("work")
        run.log_metrics({"late": 2.0}, step=3)
    assert only_run().data.metrics == {"early": 1.0, "late": 2.0}
    assert only_run().info.run_name == "work"


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (InputError("bad value"), "FAILED", "InputError: bad value"),
        (RuntimeError("bug"), "FAILED", "RuntimeError: bug"),
        (KeyboardInterrupt(), "KILLED", "interrupted"),
        (SystemExit(1), "KILLED", "interrupted"),
    ],
    ids=["bad input", "a bug", "an interrupt", "an exit, as Lightning's after an interrupt"],
)
def test_a_run_ends_as_its_work_does_and_names_the_error(error, status, reason, store):
    with pytest.raises(type(error)), tracked("work") as run:
        run.start("work")
        raise error
    assert (only_run().info.status, only_run().data.tags["error"]) == (status, reason)


def test_a_run_whose_store_refuses_metrics_and_tags_for_a_while_never_ends_finished(
    store, monkeypatch, caplog
):
    def refuse(*args, **kwargs):
        raise MlflowException("not now")

    with pytest.raises(VmafTrainError, match="not now"), tracked("work") as run:
        run.start("work")
        run.log_metrics({"sent": 1.0})
        run.log_metrics({"pending": 2.0})
        monkeypatch.setattr(mlflow.MlflowClient, "log_batch", refuse)
        monkeypatch.setattr(mlflow.MlflowClient, "set_tag", refuse)

    monkeypatch.undo()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    assert mlflow.active_run() is None
    assert only_run().info.status == "FAILED"
    assert "could not get its tag: not now" in caplog.text


def test_an_error_of_mlflow_says_to_check_the_store(store):
    with pytest.raises(VmafTrainError, match=r"MLflow failed: .*check the tracking store"):
        with tracked("work") as run:
            run.start("work")
            mlflow.get_run("0" * 32)


def test_a_dataset_of_thousands_of_sources_is_logged(make_table, store):
    # MLflow refuses the description of a dataset beyond 65,535 characters.
    sources = tuple(f"a source with a long name, number {index}" for index in range(4000))
    table = make_table(sources, clips=1, frames=1)
    with tracked("work") as run:
        run.start("work")
        run.log_dataset(table, "large", "train")
    (logged,) = only_run().inputs.dataset_inputs
    assert only_run().info.status == "FINISHED"
    assert "number 0," in logged.dataset.source
    assert "and 3800 more" in logged.dataset.source


def test_the_logged_mlflow_model_scores_like_the_artifact(trained):
    done, run = trained
    (logged,) = mlflow.search_logged_models(
        output_format="list", experiment_ids=[run.info.experiment_id]
    )
    rows = np.random.default_rng(0).uniform(0, 1, (5, 6)).astype(np.float32)
    answered = mlflow.pyfunc.load_model(f"models:/{logged.model_id}").predict({"features": rows})
    np.testing.assert_allclose(answered["vmaf"], done.student.score(rows), atol=1e-4)


def test_a_failed_extraction_marks_the_run_as_failed(tmp_path, store, monkeypatch, fake_ffmpeg):
    corpus = write_corpus(tmp_path / "corpus")
    clip = min(path.stem for path in (corpus / "dis").iterdir())
    broken = fake_ffmpeg(f'case "$*" in *{clip}*) exit 9;; esac; exec "$REAL" "$@"')
    monkeypatch.setenv("VMAF_FFMPEG", str(broken))
    choice = CorpusChoice(corpus=str(corpus), assume_dims="64x64")
    with pytest.raises(ExtractionError):
        train(choice, "linear", Settings(), Reporter())
    assert only_run().info.status == "FAILED"
    assert only_run().data.tags["error"].startswith("ExtractionError: 1 of 4 pairs failed")


# A run that exists already, as `mlflow run` makes one.


def test_a_given_run_is_resumed_and_keeps_its_params(store, monkeypatch):
    client = mlflow.MlflowClient()
    run_id = client.create_run("0").info.run_id
    client.log_param(run_id, "epochs", "'0'")
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    train_smoke()
    run = only_run()
    assert (run.info.run_id, run.info.status, run.info.run_name) == (run_id, "FINISHED", "linear")
    assert (run.data.params["epochs"], run.data.params["arch"]) == ("'0'", "linear")


def test_bad_input_marks_a_given_run_as_failed(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", mlflow.MlflowClient().create_run("0").info.run_id)
    with pytest.raises(InputError):
        train(CorpusChoice(), "mlp_huge", Settings(), Reporter())
    assert only_run().info.status == "FAILED"
    assert "mlp_huge" in only_run().data.tags["error"]


def test_a_run_name_that_the_user_chose_is_kept(store, monkeypatch):
    run_id = mlflow.MlflowClient().create_run("0", run_name="tuesday").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    train_smoke()
    assert only_run().info.run_name == "tuesday"
