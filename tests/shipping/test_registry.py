"""From a run to a version and an alias: gates, idempotence, rolling back."""

import re
import threading
from pathlib import Path

import mlflow
import numpy as np
import pytest
from promotion import alias, call, register, tree_files, versions

from vmaf_train.commands import train as pipeline
from vmaf_train.shipping import registry
from vmaf_train.shipping.in_tree import Index
from vmaf_train.shipping.sync import Tree


def test_a_run_becomes_a_version_an_alias_and_files_that_agree(ids):
    result = register(ids["small"])
    assert result.exit_code == 0, result.output
    assert versions() == {"1": ids["small"]}
    assert alias("default") == "1"
    assert sorted(tree_files()) == [
        "docs/ai/models/vmaf_tiny_v1.md",
        "model/tiny/registry.json",
        f"model/tiny/training_runs/{ids['small']}/eval_report.json",
        "model/tiny/vmaf_tiny_v1.json",
        "model/tiny/vmaf_tiny_v1.onnx",
    ]
    checked = call("sync", "--check")
    assert (checked.exit_code, checked.output) == (0, "the tree and the registry agree\n")


def test_a_version_carries_what_it_came_from(ids):
    register(ids["small"])
    tags = mlflow.MlflowClient().get_model_version("vmaf_tiny", "1").tags
    wanted = {
        "run_id",
        "arch",
        "sha256",
        "dataset_digest",
        "teacher",
        "hold_out",
        "git_commit",
        "val_rmse",
        "val_plcc",
    }
    assert wanted <= tags.keys()
    assert (tags["run_id"], tags["arch"], tags["hold_out"]) == (
        ids["small"],
        "mlp_small",
        "Weather",
    )


def test_two_archs_fill_two_places(ids):
    assert register(ids["small"]).exit_code == register(ids["medium"]).exit_code == 0
    index = Index.model_validate_json(Path("model/tiny/registry.json").read_bytes())
    assert [entry.id for entry in index.models] == ["vmaf_tiny_v1", "vmaf_tiny_v1_medium"]
    assert call("sync", "--check").exit_code == 0


def test_registering_again_and_syncing_again_change_nothing(ids):
    register(ids["small"])
    before = {path: Path(path).stat().st_mtime_ns for path in tree_files()}
    assert register(ids["small"]).exit_code == 0
    assert call("sync").output == "the tree held all of it already\n"
    assert versions() == {"1": ids["small"]}
    assert {path: Path(path).stat().st_mtime_ns for path in tree_files()} == before


REFUSALS = [
    ("linear", [], "shipped arch", "linear on features canonical: never shipped"),
    ("smoke", [], "finished run", "FINISHED, smoke true"),
]


@pytest.mark.parametrize(("run", "options", "gate", "fact"), REFUSALS)
def test_a_refused_gate_is_shown_exits_3_and_changes_nothing(run, options, gate, fact, ids):
    result = register(ids[run], *options)
    assert result.exit_code == 3, result.output
    assert re.search(rf"{gate} +│ REFUSED │ {fact}", result.output)
    assert (versions(), tree_files()) == ({}, {})


def test_uncommitted_code_is_refused_unless_allowed(ids):
    mlflow.MlflowClient().set_tag(ids["small"], "git_dirty", "true")
    result = register(ids["small"], dirty=False)
    assert (result.exit_code, versions()) == (3, {})
    assert re.search(r"clean checkout +│ REFUSED │ dirty true", result.output)
    assert register(ids["small"], dirty=True).exit_code == 0


def test_committed_code_needs_no_leave(ids):
    mlflow.MlflowClient().set_tag(ids["small"], "git_dirty", "false")
    assert register(ids["small"], dirty=False).exit_code == 0


def test_a_run_that_is_not_finished_is_refused(ids):
    mlflow.MlflowClient().set_terminated(ids["small"], "FAILED")
    result = register(ids["small"])
    mlflow.MlflowClient().set_terminated(ids["small"], "FINISHED")
    assert (result.exit_code, versions()) == (3, {})
    assert "FAILED, smoke false" in result.output


def test_a_worse_student_is_refused_unless_allowed(ids):
    assert register(ids["small"]).exit_code == 0
    before = tree_files()
    result = register(ids["short"])
    assert result.exit_code == 3
    told = re.search(
        r"not worse +│ REFUSED │ RMSE (\S+) against (\S+), PLCC .* of version 1", result.output
    )
    assert told, result.output
    assert float(told[1]) > 2 * float(told[2])  # by far, as four epochs against thirty should be
    assert (tree_files(), alias("default")) == (before, "1")
    assert register(ids["short"], "--allow-worse", "yes").exit_code == 0
    assert alias("default") == "2"


def test_a_better_student_takes_the_alias(ids):
    assert register(ids["short"]).exit_code == 0
    assert register(ids["small"]).exit_code == 0
    assert (alias("default"), versions()[alias("default")]) == ("2", ids["small"])
    assert f"model/tiny/training_runs/{ids['short']}/eval_report.json" not in tree_files()


def test_a_student_is_not_compared_on_what_the_holder_was_trained_on(ids):
    register(ids["small"])
    result = register(ids["other hold-out"])
    assert result.exit_code == 3
    assert "version 1 was trained on Colony, so the two cannot be compared on it" in result.output


@pytest.mark.parametrize(
    ("ours", "passes"),
    [
        (lambda y_N: y_N + 3, False),  # a perfect PLCC does not make up for a worse RMSE
        (lambda y_N: y_N.mean() + (1 - 1e-6) * (y_N - y_N.mean()), True),
    ],
)
def test_both_rmse_and_plcc_have_to_hold(ours, passes, ids, monkeypatch):
    register(ids["small"])
    candidate = registry.find_candidate(ids["short"])
    monkeypatch.setattr(candidate.student, "score", lambda x_NF: ours(candidate.held_out.y_N))
    (gate,) = [gate for gate in registry.judge(candidate, False, True) if gate.name == "not worse"]
    assert gate.passed is passes, gate.fact


def test_a_lower_plcc_is_refused_whatever_the_rmse(ids, monkeypatch):
    register(ids["small"])
    candidate = registry.find_candidate(ids["short"])
    y_N = candidate.held_out.y_N
    wobble_N = 0.7 * np.where(np.arange(len(y_N)) % 2, 1, -1)  # RMSE 0.7, below the holder's own
    monkeypatch.setattr(candidate.student, "score", lambda x_NF: y_N + wobble_N)
    holder = registry.promoted_students()["default"]
    monkeypatch.setattr(holder.student, "score", lambda x_NF: y_N + 3)
    monkeypatch.setattr(registry, "promoted_students", lambda: {"default": holder})
    (gate,) = [gate for gate in registry.judge(candidate, False, True) if gate.name == "not worse"]
    assert not gate.passed, gate.fact


def test_a_promotion_waits_for_another_that_writes_the_tree(ids):
    tree = Tree(Path())
    arguments = (ids["small"], "", Path(), False, True)
    with tree.lock:
        waiting = threading.Thread(target=pipeline.register, args=arguments)
        waiting.start()
        waiting.join(timeout=1.5)
        assert (waiting.is_alive(), versions()) == (True, {})
    waiting.join(timeout=30)
    assert versions() == {"1": ids["small"]}
    assert tree.check(registry.promoted_students()) == []


def test_a_report_that_the_model_does_not_reproduce_is_refused(ids, monkeypatch):
    candidate = registry.find_candidate(ids["small"])
    halved = candidate.report.model_copy(update={"rmse": candidate.report.rmse / 2})
    refused = {
        gate.name
        for gate in registry.judge(
            type(candidate)(**{**vars(candidate), "report": halved}), False, True
        )
        if not gate.passed
    }
    assert refused == {"report reproduced"}


def test_a_model_of_another_run_under_this_runs_report_is_refused(ids):
    candidate = registry.find_candidate(ids["small"])
    other = registry.find_candidate(ids["medium"]).student
    refused = {
        gate.name
        for gate in registry.judge(
            type(candidate)(**{**vars(candidate), "student": other}), False, True
        )
        if not gate.passed
    }
    assert refused == {"one file everywhere", "report reproduced"}


def test_rolling_back_points_the_alias_and_the_tree_at_the_older_version(ids):
    register(ids["short"])
    old = tree_files()
    register(ids["small"])
    result = call("register", "--version", "1")
    assert result.exit_code == 0, result.output
    assert alias("default") == "1"
    assert tree_files() == old
    assert len(versions()) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "either run_id or version"),
        (["--run-id", "0" * 32], "no usable run 0000"),
        (["--run-id", "../../etc"], "is not a run id"),
        (["--version", "9"], "no usable vmaf_tiny version 9"),
    ],
)
def test_a_run_or_version_that_is_not_there_is_bad_input(options, message, ids):
    result = call("register", *options)
    assert (result.exit_code, message in result.output) == (2, True), result.output
    assert tree_files() == {}


def test_a_report_without_correlations_is_refused_before_anything_changes(ids):
    candidate = registry.find_candidate(ids["small"])
    one_clip = candidate.report.model_copy(
        update={"pooled": candidate.report.pooled.model_copy(update={"plcc": None})}
    )
    gates = registry.judge(type(candidate)(**{**vars(candidate), "report": one_clip}), False, True)
    assert [gate.name for gate in gates if not gate.passed] == ["enough to judge"]


def test_a_deleted_run_is_refused(ids):
    mlflow.MlflowClient().delete_run(ids["small"])
    result = register(ids["small"])
    mlflow.MlflowClient().restore_run(ids["small"])
    assert (result.exit_code, "deleted, smoke false" in result.output, versions()) == (3, True, {})


def test_a_holder_that_cannot_be_read_is_told_and_can_be_replaced(ids):
    register(ids["short"])
    mlflow.MlflowClient().set_model_version_tag("vmaf_tiny", "1", "sha256", "f" * 64)
    refused = register(ids["small"])
    assert (refused.exit_code, "version 1 cannot be read" in refused.output) == (3, True)
    assert register(ids["small"], "--allow-worse", "yes").exit_code == 0
    assert call("sync", "--check").exit_code == 0
