"""The gates: what is refused, what may be allowed, and that a refusal changes nothing."""

import re
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
from promotion import alias, call, register, tree_files, versions

from vmaf_train.shipping.candidate import find_candidate
from vmaf_train.shipping.gates import GATES, compare_with_holder, judge
from vmaf_train.shipping.registry import fetch

ROOT = Path(__file__).parents[2]


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


def test_committed_code_passes_without_an_allowance(ids):
    mlflow.MlflowClient().set_tag(ids["small"], "git_dirty", "false")
    assert register(ids["small"], dirty=False).exit_code == 0


def test_a_run_that_is_not_finished_is_refused(ids):
    mlflow.MlflowClient().set_terminated(ids["small"], "FAILED")
    result = register(ids["small"])
    mlflow.MlflowClient().set_terminated(ids["small"], "FINISHED")
    assert (result.exit_code, versions()) == (3, {})
    assert "FAILED, smoke false" in result.output


def test_a_deleted_run_is_refused(ids):
    mlflow.MlflowClient().delete_run(ids["small"])
    result = register(ids["small"])
    mlflow.MlflowClient().restore_run(ids["small"])
    assert (result.exit_code, "deleted, smoke false" in result.output, versions()) == (3, True, {})


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
    candidate = find_candidate(ids["short"])
    monkeypatch.setattr(candidate.student, "score", lambda x_NF: ours(candidate.held_out.y_N))
    gates = judge(candidate, allow_worse=False, allow_dirty=True)
    (gate,) = [gate for gate in gates if gate.name == "not worse"]
    assert gate.passed is passes, gate.fact


def test_a_lower_plcc_is_refused_whatever_the_rmse(ids, monkeypatch):
    register(ids["small"])
    candidate, holder = find_candidate(ids["short"]), fetch("1")
    y_N = candidate.held_out.y_N
    wobble_N = 0.7 * np.where(np.arange(len(y_N)) % 2, 1, -1)
    # The candidate: RMSE 0.7, PLCC below 1. The holder: RMSE 3, PLCC 1.
    monkeypatch.setattr(candidate.student, "score", lambda x_NF: y_N + wobble_N)
    monkeypatch.setattr(holder.student, "score", lambda x_NF: y_N + 3)
    outcome = compare_with_holder(candidate, holder, allow_worse=False)
    assert outcome.fact.startswith("RMSE 0.7000 against 3.0000, PLCC 0.99")
    assert not outcome.passed
    assert compare_with_holder(candidate, holder, allow_worse=True).passed


def refused(candidate):
    gates = judge(candidate, allow_worse=False, allow_dirty=True)
    return [gate.name for gate in gates if not gate.passed]


def test_a_report_that_the_model_does_not_reproduce_is_refused(ids):
    candidate = find_candidate(ids["small"])
    halved = candidate.report.model_copy(update={"rmse": candidate.report.rmse / 2})
    assert refused(replace(candidate, report=halved)) == ["report reproduced"]


def test_a_model_of_another_run_under_this_runs_report_is_refused(ids):
    candidate = find_candidate(ids["small"])
    other = find_candidate(ids["medium"]).student
    gates = ["one file everywhere", "report reproduced"]
    assert refused(replace(candidate, student=other)) == gates


def test_a_student_of_another_teacher_takes_no_place_of_this_one(ids):
    candidate = find_candidate(ids["small"])
    other = candidate.report.model_copy(update={"teacher": "vmaf_4k_v0.6.1"})
    assert refused(replace(candidate, report=other)) == ["shipped arch"]


def test_a_report_without_correlations_is_refused_before_anything_changes(ids):
    candidate = find_candidate(ids["small"])
    pooled = candidate.report.pooled.model_copy(update={"plcc": None})
    one_clip = candidate.report.model_copy(update={"pooled": pooled})
    assert refused(replace(candidate, report=one_clip)) == ["enough to judge"]
    assert versions() == {}


@pytest.mark.parametrize(("run", "without"), [("small", set()), ("linear", {"not worse"})])
def test_every_gate_is_run_in_the_order_of_the_table_but_what_has_no_holder(run, without, ids):
    gates = judge(find_candidate(ids[run]), allow_worse=False, allow_dirty=True)
    assert [gate.name for gate in gates] == [name for name in GATES if name not in without]


def test_the_shipping_page_lists_the_gates():
    page = (ROOT / "docs" / "shipping.md").read_text()
    table = page.partition("## Gates")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([a-z ]+) \|", table, flags=re.M)
    assert rows == ["gate", *GATES]


def test_a_holder_that_cannot_be_read_is_told_and_can_be_replaced(ids):
    register(ids["short"])
    mlflow.MlflowClient().set_model_version_tag("vmaf_tiny", "1", "sha256", "f" * 64)
    refused = register(ids["small"])
    assert (refused.exit_code, "version 1 cannot be read" in refused.output) == (3, True)
    assert register(ids["small"], "--allow-worse", "yes").exit_code == 0
    assert call("sync", "--check").exit_code == 0
