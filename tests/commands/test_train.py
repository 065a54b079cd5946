"""Train: the report, the run in MLflow, the hold-out, and smoke runs."""

import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from conftest import write_corpus
from mlflow.entities import Run
from mlflow_runs import all_runs, artifacts, only_run, train_smoke

from vmaf_train.clips import demo
from vmaf_train.commands.train import train
from vmaf_train.errors import InputError
from vmaf_train.extraction.cache import cache_root
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.judging.report import EvalReport
from vmaf_train.reporting import Reporter
from vmaf_train.shipping.libvmaf_model import libvmaf_model_of
from vmaf_train.students.settings import Settings

ROOT = Path(__file__).parents[2]
QUICK = Settings(teacher_points=0)


def logged_report(run: Run) -> EvalReport:
    """Return the report that a run holds."""
    text = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/eval_report.json")
    return EvalReport.model_validate_json(text)


def test_a_finished_run_holds_the_report_figures_and_one_onnx_file(trained):
    done, run = trained
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "mlp_small"
    assert artifacts(run) == {
        "mlp_small.onnx",
        "eval_report.json",
        "held_out.npz",
        "predicted_vs_teacher.png",
        "residual_by_score.png",
        "rmse_by_clip.png",
        "training_curves.png",
    }
    assert logged_report(run) == done.report


def test_the_report_covers_only_the_held_out_source(trained):
    report = trained[0].report
    assert report.hold_out == max(source.name for source in demo.SOURCES)
    assert list(report.per_source) == [report.hold_out]
    assert report.per_source[report.hold_out].in_training is False
    assert report.n_samples == report.dataset.n_frames == 8 * demo.FRAMES


def test_the_student_is_ten_times_better_than_the_training_mean(trained):
    report = trained[0].report
    assert report.rmse < report.references["training_mean"].rmse / 10
    assert report.references["teacher_svr"].rmse < 2e-4


def test_params_metrics_and_tags_describe_the_training(trained):
    done, run = trained
    wanted = {
        "arch": "mlp_small",
        "corpus": "demo",
        "val_source": "auto",
        "hold_out": done.report.hold_out,
    }
    assert wanted.items() <= run.data.params.items()
    assert run.data.metrics["val/rmse"] == pytest.approx(done.report.rmse)
    assert run.data.metrics["model/parameters"] == 257
    assert done.report.box.max_abs_error == pytest.approx(run.data.metrics["box/max_abs_error"])
    assert done.report.without_teacher_points.rmse == pytest.approx(
        run.data.metrics["val_without_points/rmse"]
    )
    assert run.data.params["teacher_points"] == "8192"
    assert run.data.tags["onnx_sha256"] == done.report.model.onnx_sha256 == done.student.sha256
    assert run.data.tags["libvmaf_version"] == done.report.libvmaf_version
    assert len(run.data.tags["dataset_digest"]) == 64
    assert {"git_commit", "git_dirty", "teacher"} <= run.data.tags.keys()
    assert {(row.dataset.name, row.tags[0].value) for row in run.inputs.dataset_inputs} == {
        ("demo-training", "training"),
        ("demo-validation", "validation"),
    }


def test_held_out_rmse_is_logged_for_each_epoch(trained):
    history = mlflow.MlflowClient().get_metric_history(trained[1].info.run_id, "epoch/val_rmse")
    assert [point.step for point in history] == list(range(1, 31))
    assert history[-1].value < history[0].value


def test_the_same_seed_gives_the_same_bytes(trained, demo_choice, store):
    again = train(demo_choice, "mlp_small", Settings(), Reporter())
    assert again.student.content == trained[0].student.content


def test_a_smoke_logs_no_val_metrics_and_makes_no_demo_corpus(store, no_ffmpeg):
    done = train_smoke("mlp_medium")
    run = only_run()
    assert (run.info.status, run.data.tags["smoke"]) == ("FINISHED", "true")
    assert not any(key.startswith("val/") for key in run.data.metrics)
    assert "mlp_medium.onnx" in artifacts(run)
    assert done.report.n_samples == 8 * demo.FRAMES
    assert not cache_root().exists()


def test_only_a_polynomial_is_logged_as_a_file_for_libvmaf(store):
    done = train_smoke("linear")
    run = only_run()
    assert {"linear.onnx", "linear.libvmaf.json"} <= artifacts(run)
    logged = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/linear.libvmaf.json")
    assert libvmaf_model_of(done.student, "linear").content.decode() == logged
    train_smoke("mlp_small")
    (other,) = (run for run in all_runs() if run.info.run_name == "mlp_small")
    assert not any(name.endswith(".libvmaf.json") for name in artifacts(other))


def test_a_smoke_of_a_given_corpus_checks_its_files(tmp_path, store):
    corpus = str(write_corpus(tmp_path / "corpus", dims=(32, 32)))
    choice = CorpusChoice(corpus=corpus, assume_dims="16x16")
    done = train(choice, "mlp_small", Settings(epochs=0), Reporter())
    assert done.report.n_samples == 2 * 24
    wrong = CorpusChoice(corpus=corpus, assume_dims="48x40")
    with pytest.raises(InputError, match="not a whole number"):
        train(wrong, "mlp_small", Settings(epochs=0), Reporter())


def test_auto_holds_out_tennis_if_the_corpus_has_it(tmp_path, store):
    corpus = write_corpus(tmp_path / "corpus", sources=("Alpha", "Tennis", "Zeta"))
    choice = CorpusChoice(corpus=str(corpus), assume_dims="64x64")
    done = train(choice, "linear", QUICK, Reporter(), val_source="auto")
    assert done.report.hold_out == "Tennis"


def test_the_report_names_the_corpus_without_its_path(tmp_path, store):
    corpus = write_corpus(tmp_path / "corpus")
    choice = CorpusChoice(corpus=str(corpus), assume_dims="64x64")
    report = train(choice, "linear", QUICK, Reporter()).report
    assert report.dataset.corpus == "corpus"
    assert str(tmp_path) not in report.model_dump_json()


@pytest.mark.slow
def test_mlflow_run_finishes_a_smoke_from_another_folder(store, tmp_path):
    parameters = ["-P", "arch=mlp_small", "-P", "epochs=0", "-P", "assume_dims=16x16"]
    command = [sys.executable, "-m", "mlflow", "run", str(ROOT), "-e", "train", *parameters]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [*command, "--env-manager", "local"],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (only_run().info.status, only_run().info.run_name) == ("FINISHED", "mlp_small")
    assert logged_report(only_run()).n_samples == 384
