"""A job from end to end, and what it leaves in MLflow."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import mlflow
import numpy as np
import pytest
from conftest import write_corpus

from vmaf_train.clips import demo
from vmaf_train.commands.evaluate import evaluate_model
from vmaf_train.commands.main import run_all
from vmaf_train.commands.promote import check_tree, point_back, register
from vmaf_train.commands.train import train
from vmaf_train.errors import ExtractionError, InputError
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.judging.report import EvalReport
from vmaf_train.reporting import Reporter
from vmaf_train.shipping.finding import FOR_EVALUATE, find_student
from vmaf_train.students.settings import Settings

ROOT = Path(__file__).parents[2]
SMOKE = ["train", "--epochs", "0", "--assume-dims", "16x16"]


def only_run():
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    return run


def artifacts(run) -> set[str]:
    return {entry.path for entry in mlflow.artifacts.list_artifacts(run_id=run.info.run_id)}


@pytest.fixture
def demo_choice(demo_cache, monkeypatch):
    monkeypatch.setenv("VMAF_TINY_AI_CACHE", str(demo_cache))
    return CorpusChoice()


@pytest.fixture(scope="module")
def trained_once(demo_cache, tmp_path_factory, store_template):
    """Train mlp_small on the demo corpus in a store of its own; return the store's address and what came of it."""
    address = store_template(tmp_path_factory.mktemp("trained"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VMAF_TINY_AI_CACHE", str(demo_cache))
        patch.setenv("MLFLOW_TRACKING_URI", address)
        done = train(CorpusChoice(), "mlp_small", Settings(), Reporter(), val_source="auto")
        return address, done, only_run()


@pytest.fixture
def trained(trained_once, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", trained_once[0])
    return trained_once[1:]


def test_a_finished_run_holds_report_figures_and_one_onnx_file(trained):
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
    report = EvalReport.model_validate_json(
        mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/eval_report.json")
    )
    assert report == done.report


def test_the_report_is_of_the_held_out_source_alone(trained):
    report = trained[0].report
    assert report.hold_out == max(source.name for source in demo.SOURCES)
    assert list(report.per_source) == [report.hold_out]
    assert report.per_source[report.hold_out].in_training is False
    assert report.n_samples == report.dataset.n_frames == 8 * demo.FRAMES


def test_the_student_learned_something(trained):
    report = trained[0].report
    assert report.rmse < report.references["training_mean"].rmse / 10
    assert report.references["teacher_svr"].rmse < 2e-4


def test_params_metrics_and_tags_say_what_was_done(trained):
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


def test_the_logged_mlflow_model_scores_like_the_artifact(trained):
    done, run = trained
    (logged,) = mlflow.search_logged_models(
        output_format="list", experiment_ids=[run.info.experiment_id]
    )
    rows = np.random.default_rng(0).uniform(0, 1, (5, 6)).astype(np.float32)
    answered = mlflow.pyfunc.load_model(f"models:/{logged.model_id}").predict({"features": rows})
    np.testing.assert_allclose(answered["vmaf"], done.student.score(rows), atol=1e-4)


@pytest.mark.parametrize("address", ["{run}", "runs:/{run}/mlp_small.onnx", "models:/{model}"])
def test_a_logged_student_is_found_by_run_id_and_by_uri(trained, address, tmp_path):
    done, run = trained
    model = mlflow.search_logged_models(
        output_format="list", experiment_ids=[run.info.experiment_id]
    )[0].model_id
    found = find_student(address.format(run=run.info.run_id, model=model), FOR_EVALUATE)
    assert (found.student.content, found.name) == (done.student.content, "mlp_small")


def test_a_run_without_an_onnx_file_is_bad_input(store):
    with mlflow.start_run() as run:
        pass
    with pytest.raises(InputError, match="holds none"):
        find_student(run.info.run_id, FOR_EVALUATE)


def test_the_same_seed_gives_the_same_bytes(trained, demo_choice, store):
    again = train(demo_choice, "mlp_small", Settings(), Reporter(), val_source="auto")
    assert again.student.content == trained[0].student.content


def test_evaluate_judges_every_source_and_marks_those_trained_on(
    trained, demo_choice, store, tmp_path
):
    file = tmp_path / "student.onnx"
    file.write_bytes(trained[0].student.content)
    report = evaluate_model(demo_choice, str(file), Reporter(), val_source="all").report
    assert [report.per_source[source.name].in_training for source in demo.SOURCES] == [True] * 8 + [
        False
    ]
    assert report.hold_out is None
    run = only_run()
    assert run.data.metrics["eval/source/Weather/rmse"] == pytest.approx(trained[0].report.rmse)
    assert {"eval_report.json", "rmse_by_clip.png"} <= artifacts(run)


def test_evaluate_on_one_source_agrees_with_the_training_report(
    trained, demo_choice, store, tmp_path
):
    file = tmp_path / "student.onnx"
    file.write_bytes(trained[0].student.content)
    report = evaluate_model(demo_choice, str(file), Reporter(), val_source="Weather").report
    assert (report.rmse, report.dataset.digest) == (
        trained[0].report.rmse,
        trained[0].report.dataset.digest,
    )


def test_the_whole_demo_is_one_run_with_both_reports(demo_choice, store):
    done = run_all(demo_choice, "linear", Settings(), Reporter())
    run = only_run()
    assert {"eval_report.json", "linear.onnx", "all_sources"} <= artifacts(run)
    assert run.data.metrics["val/rmse"] == pytest.approx(done.trained.report.rmse)
    assert run.data.metrics["eval/rmse"] == pytest.approx(done.evaluated.report.rmse)
    assert run.data.tags["onnx_sha256"] == done.trained.student.sha256


def test_a_smoke_runs_no_libvmaf_makes_no_demo_and_ranks_nowhere(store, monkeypatch, tmp_path):
    monkeypatch.setenv("VMAF_FFMPEG", "no-such-ffmpeg")
    done = train(
        CorpusChoice(assume_dims="16x16"),
        "mlp_medium",
        Settings(epochs=0),
        Reporter(),
        val_source="auto",
    )
    run = only_run()
    assert (run.info.status, run.data.tags["smoke"]) == ("FINISHED", "true")
    assert not any(key.startswith("val/") for key in run.data.metrics)
    assert "mlp_medium.onnx" in artifacts(run)
    assert done.report.n_samples == 8 * demo.FRAMES
    assert not Path(os.environ["VMAF_TINY_AI_CACHE"]).exists()


def test_a_smoke_of_a_given_corpus_checks_its_files(tmp_path, store):
    corpus = write_corpus(tmp_path / "corpus", dims=(32, 32))
    choice = CorpusChoice(corpus=str(corpus), assume_dims="16x16")
    done = train(choice, "mlp_small", Settings(epochs=0), Reporter(), val_source="auto")
    assert done.report.n_samples == 2 * 24
    with pytest.raises(InputError, match="not a whole number"):
        train(
            CorpusChoice(corpus=str(corpus), assume_dims="48x40"),
            "mlp_small",
            Settings(epochs=0),
            Reporter(),
            val_source="auto",
        )


def test_tennis_is_held_out_where_it_is(tmp_path, store):
    corpus = write_corpus(tmp_path / "corpus", sources=("Alpha", "Tennis", "Zeta"))
    done = train(
        CorpusChoice(corpus=str(corpus), assume_dims="64x64"),
        "linear",
        Settings(),
        Reporter(),
        val_source="auto",
    )
    assert done.report.hold_out == "Tennis"


def test_a_failed_extraction_marks_the_run_failed_with_the_error(tmp_path, store, monkeypatch):
    from test_cli import failing_for

    corpus = write_corpus(tmp_path / "corpus")
    clip = sorted(path.stem for path in (corpus / "dis").iterdir())[0]
    monkeypatch.setenv("VMAF_FFMPEG", failing_for(clip, tmp_path))
    with pytest.raises(ExtractionError):
        train(
            CorpusChoice(corpus=str(corpus), assume_dims="64x64"),
            "linear",
            Settings(),
            Reporter(),
            val_source="auto",
        )
    run = only_run()
    assert run.info.status == "FAILED"
    assert run.data.tags["error"].startswith("ExtractionError: 1 of 4 pairs failed")


def test_a_run_handed_over_is_taken_up_and_its_params_left_alone(store, monkeypatch):
    client = mlflow.MlflowClient()
    run_id = client.create_run("0").info.run_id
    client.log_param(run_id, "epochs", "'0'")
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    train(
        CorpusChoice(assume_dims="16x16"),
        "linear",
        Settings(epochs=0),
        Reporter(),
        val_source="auto",
    )
    run = only_run()
    assert (run.info.run_id, run.info.status, run.info.run_name) == (run_id, "FINISHED", "linear")
    assert (run.data.params["epochs"], run.data.params["arch"]) == ("'0'", "linear")


def test_bad_input_marks_a_run_handed_over_as_failed(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", mlflow.MlflowClient().create_run("0").info.run_id)
    with pytest.raises(InputError):
        train(CorpusChoice(), "mlp_huge", Settings(), Reporter(), val_source="auto")
    assert only_run().info.status == "FAILED"
    assert "mlp_huge" in only_run().data.tags["error"]


def test_a_checkout_is_dirty_by_what_is_not_committed_but_not_by_what_a_promotion_writes(tmp_path):
    clone = tmp_path / "clone"
    quiet = ["git", "clone", "-q", "--no-hardlinks"]
    subprocess.run([*quiet, str(ROOT), str(clone)], check=True)
    package = Path("src") / "vmaf_train"
    shutil.copytree(ROOT / package, clone / package, dirs_exist_ok=True)
    git = ["git", "-C", str(clone), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qam", "as it is here", "--allow-empty"], check=True)

    def state() -> list[str]:
        code = (
            "from vmaf_train.tracking.checkout import find_checkout; "
            "found = find_checkout(); print(found.commit, found.dirty)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(clone / "src")},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()

    commit = subprocess.run(
        [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    (clone / "model" / "tiny" / "new.onnx").write_bytes(b"")
    assert state() == [commit, "false"]
    (clone / "src" / "new.py").write_text("")
    assert state() == [commit, "true"]


def test_passwords_and_paths_stay_out_of_what_is_shown_and_kept(tmp_path, store, monkeypatch):
    corpus = write_corpus(tmp_path / "corpus")
    done = train(
        CorpusChoice(corpus=str(corpus), assume_dims="64x64"),
        "linear",
        Settings(),
        Reporter(),
        val_source="auto",
    )
    assert done.report.dataset.corpus == "corpus"
    assert str(tmp_path) not in done.report.model_dump_json()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:s3cret@127.0.0.1:9")
    with pytest.raises(InputError, match="cannot be used") as caught:
        train(
            CorpusChoice(assume_dims="16x16"),
            "linear",
            Settings(epochs=0),
            Reporter(),
            val_source="auto",
        )
    assert "s3cret" not in str(caught.value)


def test_a_name_chosen_by_the_user_is_kept(store, monkeypatch):
    run_id = mlflow.MlflowClient().create_run("0", run_name="tuesday").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    train(
        CorpusChoice(assume_dims="16x16"),
        "linear",
        Settings(epochs=0),
        Reporter(),
        val_source="auto",
    )
    assert only_run().info.run_name == "tuesday"


def test_a_file_store_works_and_one_not_allowed_is_bad_input(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path}/mlruns")
    choice = CorpusChoice(assume_dims="16x16")
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    with pytest.raises(InputError, match="MLFLOW_ALLOW_FILE_STORE=true"):
        train(choice, "linear", Settings(epochs=0), Reporter(), val_source="auto")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    train(choice, "linear", Settings(epochs=0), Reporter(), val_source="auto")
    assert only_run().info.status == "FINISHED"
    assert "linear.onnx" in artifacts(only_run())


@pytest.mark.slow
def test_eight_first_runs_at_once_all_succeed(tmp_path, cold_store):
    command = [sys.executable, "-m", "vmaf_train", *SMOKE]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(8)]
    outputs = [process.communicate(timeout=110)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, outputs
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert [run.info.status for run in runs] == ["FINISHED"] * 8


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serve MLflow on the loopback with proxied artifacts and point at it; return its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    serve = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        address.rpartition(":")[2],
    ]
    serve += [
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/server.db",
        "--artifacts-destination",
        f"{tmp_path}/kept",
    ]
    process = subprocess.Popen(
        [*serve, "--workers", "1"], cwd=tmp_path, start_new_session=True, stderr=subprocess.DEVNULL
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
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path}/mlruns")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return f"file://{tmp_path}/mlruns"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["server", "file_store"])
def test_a_student_goes_the_whole_way_from_training_to_the_tree(
    kind, request, tmp_path, demo_choice
):
    address = request.getfixturevalue(kind)
    done = train(demo_choice, "mlp_small", Settings(), Reporter(), val_source="auto")
    assert only_run().info.status == "FINISHED"
    run_id = only_run().info.run_id
    assert find_student(run_id, FOR_EVALUATE).student.content == done.student.content
    if kind == "server":
        assert done.links.run.startswith(address) and done.links.start_ui is None
    (tmp_path / "checkout" / "model").mkdir(parents=True)
    checkout = tmp_path / "checkout"
    registered = register(run_id, checkout, allow_dirty=True)
    assert (registered.version, registered.alias) == ("1", "default")
    assert (checkout / "model" / "tiny" / "vmaf_tiny_v1.onnx").read_bytes() == done.student.content
    assert check_tree(checkout) == []
    assert register(run_id, checkout, allow_dirty=True).changed == []
    assert point_back("1", checkout).changed == []
    assert evaluate_model(
        demo_choice, "models:/vmaf_tiny@default", Reporter(), val_source="Weather"
    ).report.rmse == (done.report.rmse)


@pytest.mark.slow
def test_mlflow_run_finishes_a_smoke_from_another_folder(store, tmp_path):
    parameters = [
        word
        for pair in ("arch=mlp_small", "epochs=0", "assume_dims=16x16")
        for word in ("-P", pair)
    ]
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
    run = only_run()
    assert (run.info.status, run.info.run_name) == ("FINISHED", "mlp_small")
    assert (
        json.loads(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/eval_report.json"))[
            "n_samples"
        ]
        == 384
    )
