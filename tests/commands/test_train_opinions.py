"""Students of opinion scores by the command line: trained, compared, promoted, checked."""

import json
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
from commandline import call
from mlflow_runs import only_run
from opinion_scores import synthetic_scores, write_scores
from promotion import refused_gates, register

from vmaf_train.commands.promote import check_tree
from vmaf_train.errors import GateRefusedError
from vmaf_train.frames.parquet import read_parquet, write_parquet
from vmaf_train.judging.report import EvalReport
from vmaf_train.onnx_file.inference import OnnxStudent

QUICK = ["--epochs", "2", "--teacher-points", "512"]


@pytest.fixture(scope="module")
def rated(exported, tmp_path_factory):
    """Return the demo as a table, and a list of synthetic scores of its clips."""
    table = read_parquet(exported).table
    folder = tmp_path_factory.mktemp("rated")
    path = write_scores(folder / "scores.csv", table.clips, synthetic_scores(table))
    return ["--corpus", exported, "--mos-csv", path]


def train(rated, targets, *options, arch="quadratic"):
    done = call("train", "--arch", arch, "--targets", targets, *QUICK, *rated, *options)
    assert done.exit_code == 0, done.output
    return done.output, done.output.split("run ")[1].split()[0]


def report_of(run_id):
    return EvalReport.model_validate_json(
        mlflow.artifacts.load_text(f"runs:/{run_id}/eval_report.json")
    )


@pytest.mark.parametrize("targets", ["mos", "hybrid"])
def test_a_training_is_judged_out_of_fold_beside_the_teacher(rated, targets):
    output, run_id = train(rated, targets, arch="quartic")
    report = report_of(run_id)
    assert (report.targets, report.opinions.clips, report.opinions.unseen) == (targets, 72, True)
    assert "Against 72 opinion scores of 9 sources (scores.csv)" in output
    assert "of the opinion score for" in output
    metrics = only_run().data.metrics
    assert metrics["mos/srocc"] == report.opinions.figures["student"].srocc
    assert metrics["mos/srocc"] > 0.9 and "mos/teacher_srocc" in metrics
    assert only_run().data.params["targets"] == targets
    facts = OnnxStudent(
        Path(mlflow.artifacts.download_artifacts(f"runs:/{run_id}/quartic.onnx")).read_bytes(), "x"
    ).facts
    wanted = {"targets": targets, "opinion_scores": "scores.csv", "scored_clips": 64}
    assert {key: facts[key] for key in wanted} == wanted
    assert ("mos_weight" in facts) == (targets == "hybrid")
    # The file's own error is about the opinion score, of one length: a whole clip.
    (row,) = facts["expected_error"]["interval"]["half_widths"]
    assert row["frames"] == 1 and row["half_width"] > 3


def test_scores_of_a_corpus_are_judged_for_a_student_of_the_teacher_too(rated):
    _, run_id = train(rated, "teacher")
    report = report_of(run_id)
    assert report.targets == "teacher"
    assert report.opinions.figures["student"].srocc > 0.8
    assert len(report.out_of_fold.pooled_errors) > 1


def test_what_cannot_be_learnt_is_refused(rated, exported):
    cases = {
        ("--arch", "teacher_svr", "--targets", "mos"): "is the teacher itself and learns no mos",
        (
            "--targets",
            "opinions",
        ): "unknown targets 'opinions'; choose one of: teacher, mos, hybrid",
    }
    for options, message in cases.items():
        refused = call("train", *options, *QUICK, *rated)
        assert (refused.exit_code, message in refused.output) == (2, True), refused.output
    none = call("train", "--targets", "mos", *QUICK, "--corpus", exported)
    assert (none.exit_code, "pass mos_csv" in none.output) == (2, True), none.output


def test_a_smoke_run_of_opinions_runs_without_scores_of_quality(rated):
    output, run_id = train(rated, "hybrid", "--epochs", "0")
    assert "smoke run" in output
    assert report_of(run_id).opinions is None


def test_a_sweep_compares_teacher_mos_and_hybrid_in_one_view(rated):
    options = ["--archs", "quadratic", "--seeds", "1", "--targets", "all"]
    done = call("sweep", *options, *QUICK, *rated)
    assert done.exit_code == 0, done.output
    assert "Out of fold against 72 opinion scores (scores.csv)" in done.output
    assert "teacher itself" in done.output
    assert "- for opinion scores: quadratic-" in done.output
    assert "- for the teacher's scores: quadratic:" in done.output
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    of_archs = {run.info.run_name: run.data for run in runs if "loso/mean_rmse" in run.data.metrics}
    assert set(of_archs) == {"quadratic", "quadratic-mos", "quadratic-hybrid"}
    assert len({data.tags["sweep"] for data in of_archs.values()}) == 1
    assert all(data.metrics["mos/srocc"] > 0.8 for data in of_archs.values())
    (experiment,) = mlflow.search_experiments()
    (view,) = [json.loads(v) for k, v in experiment.tags.items() if k.startswith("mlflow.shared")]
    assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`mos/srocc`", False)
    comparison = next(run for run in runs if run.info.run_name == "sweep")
    text = mlflow.artifacts.load_text(f"runs:/{comparison.info.run_id}/comparison.json")
    pairs = {(each["arch"], each["against"]) for each in json.loads(text)["differences"]}
    assert pairs == set()


def test_a_student_of_opinions_takes_its_own_place_and_is_compared_with_its_kind(rated, tmp_path):
    Path("model").mkdir()
    Path("docs").mkdir()
    _, teacher_run = train(rated, "teacher", arch="mlp_small")
    register(teacher_run)
    _, run_id = train(rated, "mos", arch="quartic")
    done = register(run_id)
    assert done.alias == "mos"
    assert check_tree(Path()) == []
    sidecar = json.loads(Path("model/tiny/vmaf_tiny_mos.json").read_text())
    assert sidecar["targets_source"].startswith("opinion scores scores.csv of 64 clips of")
    assert sidecar["libvmaf_json"] == "vmaf_tiny_mos.libvmaf.json"
    card = Path("docs/ai/models/vmaf_tiny_mos.md").read_text()
    assert "estimates how people would rate the clip" in card
    assert "72 clips of 9 sources have a score in scores.csv" in card
    assert "its\n  opinion score in" in card
    assert "It is not an opinion score" not in card

    # The next one is worse: it learnt a constant, nearly.
    table = read_parquet(rated[1]).table
    noise = np.random.default_rng(0).uniform(0, 100, len(table.clips))
    wrong = write_scores(tmp_path / "wrong.csv", table.clips, noise)
    _, worse = train(["--corpus", rated[1], "--mos-csv", wrong], "hybrid", arch="mlp_small")
    with pytest.raises(GateRefusedError) as refused:
        register(worse)
    facts = refused_gates(refused.value)
    assert "of opinion scores" in facts.get("not worse", "of opinion scores")
    _, other = train(rated, "mos", "--features", "lite")
    with pytest.raises(GateRefusedError) as refused:
        register(other)
    assert "never shipped" in refused_gates(refused.value)["shipped arch"]


def test_evaluate_judges_unseen_sources_only_and_exits_with_3_where_the_interval_missed(
    rated, exported, tmp_path
):
    _, run_id = train(["--corpus", exported], "teacher", arch="mlp_small")
    good = call("evaluate", "--model", run_id, *rated, "--expect", "0.5")
    assert good.exit_code == 0, good.output
    assert "Against 8 opinion scores of 1 sources" in good.output
    assert "The stated interval held for" in good.output

    # The same frames with other scores: the interval cannot hold.
    table = read_parquet(exported).table
    moved = replace(table, y_N=np.clip(table.y_N + 20, 0, 100))
    write_parquet(moved, tmp_path / "moved.parquet", "3.2.0", [{}] * len(table.clips))
    refused = call(
        "evaluate", "--model", run_id, "--corpus", tmp_path / "moved.parquet", "--expect", "0.95"
    )
    assert refused.exit_code == 3, refused.output
    assert "refused: the stated interval held for fewer than 0.95 of the clips" in refused.output
    assert "clips to look at" in refused.output and "missed" in refused.output
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    last = max(runs, key=lambda run: run.info.start_time)
    assert (last.info.status, last.data.tags["expected"]) == ("FINISHED", "not held")
    assert 0 <= last.data.metrics["eval/interval_coverage_low"] < 0.6


def test_an_expectation_needs_a_stated_interval_and_a_share(exported):
    _, run_id = train(["--corpus", exported], "teacher", "--epochs", "0")
    none = call("evaluate", "--model", run_id, "--corpus", exported, "--expect", "0.95")
    assert (none.exit_code, "states no interval" in none.output) == (2, True), none.output
    bad = call("evaluate", "--model", run_id, "--corpus", exported, "--expect", "95")
    assert (bad.exit_code, "write it like 0.95" in bad.output) == (2, True)
    other = call("evaluate", "--model", run_id, "--corpus", exported, "--targets", "mos")
    assert (other.exit_code, "learnt teacher, not mos" in other.output) == (2, True)

    held, seen = read_parquet(exported).table.sources[:2]
    _, run_id = train(["--corpus", exported], "teacher", "--val-source", held)
    judge = ("evaluate", "--model", run_id, "--corpus", exported, "--expect", "0.5")
    trained_on = call(*judge, "--val-source", seen)
    assert trained_on.exit_code == 2, trained_on.output
    assert "was trained on every source of this corpus" in trained_on.output.replace("\n", " ")
    assert call(*judge, "--val-source", held).exit_code == 0
