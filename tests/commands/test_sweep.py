"""Sweep: one run per arch, one for the comparison, and how they end."""

import json
import re

import mlflow
import pytest
from commandline import DIMS, call, files_below
from conftest import write_corpus
from mlflow.entities import Run
from mlflow_runs import all_runs, artifacts, only_run

from vmaf_train.commands.prewarm import prewarm
from vmaf_train.commands.sweep import sweep as sweep_command
from vmaf_train.errors import InputError
from vmaf_train.extraction import cache
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.judging.comparison import Comparison
from vmaf_train.judging.report import Metrics
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.reporting import Reporter
from vmaf_train.shipping.finding import FOR_EVALUATE, find_student
from vmaf_train.students import architectures as models
from vmaf_train.students.settings import Settings

SOURCES = ("Alpha", "Beta", "Gamma")
ARCHS = ("linear", "mlp_small")
QUICK = Settings(epochs=2, teacher_points=256)
SHORT = [*DIMS, "--epochs", 1, "--seeds", 1, "--teacher-points", 0]
FIGURES = {"rmse_by_arch.png", "rmse_by_cost.png", "rmse_by_source.png"}
FIGURES_OF_METRICS = [key for key in Metrics.model_fields if key != "n_samples"]


def runs_by_name() -> dict[str, Run]:
    """Return the runs of the store, whose names differ."""
    runs = {run.info.run_name: run for run in all_runs()}
    assert len(runs) == len(all_runs())
    return runs


def endings() -> dict[str, str]:
    """Return the status of each run, by name."""
    return {name: run.info.status for name, run in runs_by_name().items()}


def comparison_of(run: Run) -> Comparison:
    """Return the comparison that a run holds."""
    text = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/comparison.json")
    return Comparison.model_validate_json(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("sweep") / "corpus", SOURCES)


@pytest.fixture(scope="module")
def filled(folder, tmp_path_factory):
    """A cache that holds the corpus."""
    made = tmp_path_factory.mktemp("sweep-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VMAF_TINY_AI_CACHE", str(made))
        prewarm(CorpusChoice(corpus=str(folder), assume_dims="64x64"), Reporter())
    return made


@pytest.fixture(scope="module")
def swept_once(folder, filled, tmp_path_factory, store_template):
    """Sweep two architectures over all folds in a store of their own."""
    address = store_template(tmp_path_factory.mktemp("swept"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VMAF_TINY_AI_CACHE", str(filled))
        patch.setenv("MLFLOW_TRACKING_URI", address)
        return address, sweep_command(
            CorpusChoice(corpus=str(folder), assume_dims="64x64"),
            QUICK,
            Reporter(),
            archs=ARCHS,
            folds=(),
            seeds=2,
        )


@pytest.fixture
def swept(swept_once, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", swept_once[0])
    return swept_once[1], runs_by_name()


@pytest.fixture
def choice(folder, filled, store, monkeypatch):
    monkeypatch.setenv("VMAF_TINY_AI_CACHE", str(filled))
    return CorpusChoice(corpus=str(folder), assume_dims="64x64")


# what a sweep leaves


def test_a_sweep_makes_one_run_per_arch_and_one_for_the_comparison(swept):
    done, runs = swept
    assert {name: run.info.status for name, run in runs.items()} == dict.fromkeys(
        (*ARCHS, "sweep"), "FINISHED"
    )
    assert {run.data.tags["sweep"] for run in runs.values()} == {done.comparisons[0].sweep}
    assert not any(
        key in run.data.tags for run in runs.values() for key in ("mlflow.parentRunId", "error")
    )
    assert len({run.info.experiment_id for run in runs.values()}) == 1


def test_metrics_of_an_arch_run_equal_its_row_of_the_comparison(swept):
    done, runs = swept
    rows = comparison_of(runs["sweep"]).rows
    assert [row.arch for row in rows] == [row.arch for row in done.comparisons[0].rows]
    for row in rows:
        expected = {
            "loso/mean_rmse": row.mean_fold.mean,
            "loso/mean_rmse_deviation": row.mean_fold.deviation,
            "loso/worst_rmse": row.worst_fold.mean,
            "loso/worst_rmse_deviation": row.worst_fold.deviation,
            "oof/rmse_low": row.rmse_interval.low,
            "oof/rmse_high": row.rmse_interval.high,
            "box/rmse": row.box.rmse,
            "box/max_abs_error": row.box.max_abs_error,
            "box/worst_found": row.box.worst_found,
            **({"box/proven": row.box.proven} if row.box.proven is not None else {}),
            "model/parameters": row.parameters,
            "model/onnx_bytes": row.onnx_bytes,
            "model/extraction_cost": 1.0,
        }
        for figure in FIGURES_OF_METRICS:
            expected[f"oof/{figure}"] = getattr(row.frames, figure)
            expected[f"oof_pooled/{figure}"] = getattr(row.clips, figure)
            expected[f"oof_no_points/{figure}"] = getattr(row.without_points, figure)
        for source in SOURCES:
            expected[f"loso/{source}/rmse"] = row.folds[source].mean
            expected[f"loso/{source}/rmse_deviation"] = row.folds[source].deviation
        expected |= {f"latency/{key}": value for key, value in row.latency if key.endswith("_us")}
        assert runs[row.arch].data.metrics == pytest.approx(expected, rel=1e-9)


def test_the_comparison_covers_the_wanted_archs_folds_and_seeds(swept):
    comparison = swept[0].comparisons[0]
    assert {row.arch: row.parameters for row in comparison.rows} == {"linear": 7, "mlp_small": 257}
    assert (comparison.folds, comparison.seeds, comparison.teacher_points) == (SOURCES, 2, 256)
    assert (comparison.n_frames, comparison.n_clips, comparison.corpus) == (3 * 2 * 6, 6, "corpus")
    rows = {row.arch: row for row in comparison.rows}
    # Weights of a network depend on the seed.
    assert all(spread.deviation > 0 for spread in rows["mlp_small"].folds.values())
    assert rows["linear"].frames.rmse != rows["mlp_small"].frames.rmse


def test_params_state_the_settings(swept):
    _, runs = swept
    settled = {
        "folds": "all",
        "seeds": "2",
        "epochs": "2",
        "batch_size": "64",
        "lr": "0.0",
        "seed": "0",
    }
    settled |= {"teacher_points": "256", "assume_dims": "64x64", "max_pairs": "0"}
    for arch in ARCHS:
        assert {"arch": arch, **settled}.items() <= runs[arch].data.params.items()
    assert {"archs": "linear,mlp_small", **settled}.items() <= runs["sweep"].data.params.items()


def test_an_arch_run_holds_its_student_as_file_and_as_mlflow_model(swept):
    _, runs = swept
    for arch in ARCHS:
        run = runs[arch]
        assert artifacts(run) == {f"{arch}.onnx"}
        found = find_student(run.info.run_id, FOR_EVALUATE)
        assert (found.name, found.student.sha256) == (arch, run.data.tags["onnx_sha256"])
        assert found.student.facts["train_sources"] == list(SOURCES)
        (model,) = mlflow.search_logged_models(
            output_format="list",
            experiment_ids=[run.info.experiment_id],
            filter_string=f"source_run_id = '{run.info.run_id}'",
        )
        content = mlflow.onnx.load_model(f"models:/{model.model_id}").SerializeToString()
        assert OnnxStudent(content, arch).facts == found.student.facts
        assert {(row.dataset.name, row.tags[0].value) for row in run.inputs.dataset_inputs} == {
            ("corpus-sweep", "sweep")
        }


def test_the_sweep_run_holds_the_comparison_and_its_figures(swept):
    done, runs = swept
    assert artifacts(runs["sweep"]) == {"comparison.md", "comparison.json", *FIGURES}
    assert comparison_of(runs["sweep"]) == done.comparisons[0]
    markdown = mlflow.artifacts.load_text(f"runs:/{runs['sweep'].info.run_id}/comparison.md")
    assert markdown == done.comparisons[0].to_markdown()
    assert done.comparisons[0].recommendation in markdown


def test_the_charts_link_shows_only_runs_of_this_sweep(swept):
    done, runs = swept
    assert done.links.run_id == runs["sweep"].info.run_id
    charted = done.links.charts
    assert "compareRunsMode=CHART&workflowType=machine_learning" in charted
    key = done.comparisons[0].sweep
    assert charted.endswith(f"viewStateShareKey={key}")
    tags = mlflow.get_experiment(runs["sweep"].info.experiment_id).tags
    view = json.loads(tags[f"mlflow.sharedViewState.{key}"])
    assert view["searchFilter"] == f"tags.sweep = '{done.comparisons[0].sweep}'"
    found = mlflow.search_runs(
        search_all_experiments=True,
        output_format="list",
        filter_string=view["searchFilter"],
        order_by=[f"{view['orderByKey']} {'ASC' if view['orderByAsc'] else 'DESC'}"],
    )
    assert {run.info.run_id for run in found} == {run.info.run_id for run in runs.values()}
    by_rmse = sorted(ARCHS, key=lambda arch: runs[arch].data.metrics["loso/mean_rmse"])
    assert [run.info.run_name for run in found] == [*by_rmse, "sweep"]


def test_a_repeated_sweep_gives_the_same_students_under_another_tag(swept, choice):
    done, runs = swept
    hashes = {arch: runs[arch].data.tags["onnx_sha256"] for arch in ARCHS}
    again = sweep_command(
        choice, QUICK, Reporter(), archs=("linear", "mlp_small", "linear"), folds=SOURCES, seeds=2
    )
    assert {arch: runs_by_name()[arch].data.tags["onnx_sha256"] for arch in ARCHS} == hashes
    assert again.comparisons[0].sweep != done.comparisons[0].sweep
    unlike = {"sweep", "rows", "differences", "recommendation"}
    assert again.comparisons[0].model_dump(exclude=unlike) == done.comparisons[0].model_dump(
        exclude=unlike
    )
    scores = [
        {row.arch: (row.folds, row.frames, row.clips) for row in s.comparisons[0].rows}
        for s in (again, done)
    ]
    assert scores[0] == scores[1]


# folds, archs, and the command


def test_a_sweep_of_one_fold_keeps_a_student_not_trained_on_it(choice):
    result = call(
        "sweep", "--corpus", choice.corpus, *SHORT, "--archs", "linear", "--folds", "Beta"
    )
    assert result.exit_code == 0, result.output
    runs = runs_by_name()
    comparison = comparison_of(runs["sweep"])
    assert (comparison.folds, comparison.n_clips, comparison.seeds) == (("Beta",), 2, 1)
    metrics = runs["linear"].data.metrics
    assert [key for key in metrics if re.fullmatch("loso/.*/rmse", key)] == ["loso/Beta/rmse"]
    assert metrics["loso/Beta/rmse"] == metrics["loso/mean_rmse"] == metrics["oof/rmse"]
    assert not any(key.startswith("oof_no_points") for key in metrics)
    assert runs["linear"].data.params["folds"] == "Beta"
    found = find_student(runs["linear"].info.run_id, FOR_EVALUATE)
    assert found.student.facts["train_sources"] == ["Alpha", "Gamma"]


def test_the_command_prints_one_row_per_arch_the_recommendation_and_the_link(choice):
    result = call("sweep", "--corpus", choice.corpus, *SHORT, "--archs", "linear, quadratic")
    assert result.exit_code == 0, result.output
    comparison = comparison_of(runs_by_name()["sweep"])
    for row in comparison.rows:
        figures = [
            row.parameters,
            f"{row.mean_fold.mean:.4f}",
            f"{row.worst_fold.mean:.4f}",
            f"{row.frames.rmse:.4f}",
            f"{row.rmse_interval.low:.4f} to {row.rmse_interval.high:.4f}",
            "-",
            f"{row.box.max_abs_error:.3f}",
            f"{row.latency.row_p50_us:.1f}",
            "1.00",
        ]
        cells = "".join(rf"\s*│\s*{re.escape(str(figure))}" for figure in figures)
        assert re.search(rf"│ {row.arch}{cells}\s*│", result.output), result.output
        # Printed when the arch was done.
        assert f"{row.arch}: out-of-fold RMSE {row.frames.rmse:.4f}" in result.output
    assert comparison.recommendation in result.output
    assert re.search(
        rf"compareRunsMode=CHART.*viewStateShareKey={comparison.sweep}$", result.output, flags=re.M
    )


def test_all_archs_are_swept_unless_some_are_named(choice, monkeypatch):
    two = {name: models.ARCHITECTURES[name] for name in ("linear", "teacher_svr")}
    monkeypatch.setattr(models, "ARCHITECTURES", two)
    result = call("sweep", "--corpus", choice.corpus, *SHORT)
    assert result.exit_code == 0, result.output
    assert set(runs_by_name()) == {"linear", "teacher_svr", "sweep"}
    comparison = comparison_of(runs_by_name()["sweep"])
    assert [(row.arch, row.trained) for row in comparison.rows] == [
        ("teacher_svr", False),
        ("linear", True),
    ]
    assert comparison.recommendation.startswith("linear: ")


@pytest.mark.parametrize("named", [True, False], ids=["experiment named", "run alone"])
def test_a_given_run_becomes_the_sweep_run_beside_the_arch_runs(named, choice, monkeypatch):
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("theirs")
    given = client.create_run(experiment, run_name="carefree-stoat-42").info.run_id
    client.log_param(given, "seeds", "'1'")
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    if named:  # as `mlflow run` does
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
    sweep_command(
        choice,
        Settings(epochs=1, teacher_points=0),
        Reporter(),
        archs=("linear", "quadratic"),
        folds=(),
        seeds=1,
    )
    runs = runs_by_name()
    assert {name: run.info.status for name, run in runs.items()} == dict.fromkeys(
        ("linear", "quadratic", "sweep"), "FINISHED"
    )
    assert runs["sweep"].info.run_id == given
    assert "comparison.json" in artifacts(runs["sweep"])
    assert runs["sweep"].data.params["seeds"] == "'1'"
    assert {run.info.experiment_id for run in runs.values()} == {experiment}
    assert not any("mlflow.parentRunId" in run.data.tags for run in runs.values())


# bad input, and bad endings


BAD_INPUT = [
    (["--folds", "Alpha", "--max-pairs", "3"], "Alpha has one pair, too few for an interval"),
    (
        ["--archs", "linear,mlp_huge"],
        r"unknown arch 'mlp_huge'; choose one of: linear, .*mlp_small",
    ),
    (
        ["--folds", "Alpha,Delta"],
        r"folds Delta not in the corpus; choose some of: Alpha, Beta, Gamma, or all",
    ),
    (["--archs", ""], r"archs '' holds no name; write names like a,b or all"),
    (["--folds", ","], r"folds ',' holds no name; write names like a,b or all"),
    (["--max-pairs", "1"], r"Alpha is the only source"),
    (["--corpus", "nowhere"], r"no corpus folder .*nowhere"),
]


@pytest.mark.parametrize(("options", "message"), BAD_INPUT)
def test_bad_input_gives_one_error_line_exit_2_and_no_run(options, message, folder, cold_store):
    result = call("sweep", "--corpus", folder, *SHORT, "--archs", "linear", *options)
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.output.splitlines() if line.startswith("error: ")]
    assert re.search(message, line), line
    assert files_below(cache.cache_root(), cold_store) == []


@pytest.mark.parametrize("option", ["--seeds", "--epochs"])
def test_a_sweep_has_at_least_one_seed_and_epoch(option, folder, cold_store):
    result = call("sweep", "--corpus", folder, *SHORT, option, "0")
    assert (result.exit_code, f"Invalid value for '{option}'" in result.output) == (2, True)
    assert files_below(cache.cache_root(), cold_store) == []


def test_an_arch_that_diverges_marks_its_run_and_the_sweep_run_as_failed(choice):
    arguments = ["--archs", "linear,transformer,quadratic", "--lr", "1e30", "--epochs", "3"]
    result = call("sweep", "--corpus", choice.corpus, *SHORT, *arguments)
    assert result.exit_code == 2, result.output
    assert re.search(
        r"^error: training diverged in epoch \d; pass a lower lr", result.output, flags=re.M
    )
    assert endings() == {"linear": "FINISHED", "transformer": "FAILED", "sweep": "FAILED"}
    runs = runs_by_name()
    for name in ("transformer", "sweep"):
        assert runs[name].data.tags["error"].startswith("InputError: training diverged")
    assert artifacts(runs["sweep"]) == set()
    assert mlflow.active_run() is None


def test_an_interrupt_marks_the_current_arch_run_and_the_sweep_run_as_killed(choice):
    class Interrupting(Reporter):
        def say(self, line: str) -> None:
            if line.startswith("quadratic"):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep_command(
            choice,
            Settings(epochs=1, teacher_points=0),
            Interrupting(),
            archs=("linear", "quadratic"),
            folds=(),
            seeds=1,
        )
    assert endings() == {"linear": "FINISHED", "quadratic": "KILLED", "sweep": "KILLED"}


def test_bad_input_marks_the_given_sweep_run_as_failed(choice, monkeypatch):
    given = mlflow.MlflowClient().create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    with pytest.raises(InputError):
        sweep_command(choice, QUICK, Reporter(), archs=("linear",), folds=("Delta",), seeds=1)
    run = only_run()
    assert (run.info.run_id, run.info.status) == (given, "FAILED")
    assert "Delta" in run.data.tags["error"]


def test_a_sweep_run_holds_no_student(swept):
    with pytest.raises(InputError, match="holds none"):
        find_student(swept[1]["sweep"].info.run_id, FOR_EVALUATE)
