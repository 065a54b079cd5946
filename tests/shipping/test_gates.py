"""The gates: refusals, allowances, and that a refusal changes nothing."""

import re
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
from promotion import alias, refused_gates, register, tree_files, versions

from vmaf_train.commands.promote import check_tree
from vmaf_train.errors import GateRefusedError, InputError
from vmaf_train.shipping.candidate import find_candidate
from vmaf_train.shipping.gates import GATES, Allowed, compare_with_holder, judge, not_worse
from vmaf_train.shipping.libvmaf_model import LibvmafModel, libvmaf_model_of
from vmaf_train.shipping.registry import fetch

ROOT = Path(__file__).parents[2]
MODEL_OF = "vmaf_train.shipping.gates.libvmaf_model_of"


@contextmanager
def refuses(**facts):
    """Expect a refusal by the gates with these names; facts are patterns. Spaces are written _."""
    with pytest.raises(GateRefusedError) as caught:
        yield
    refused = refused_gates(caught.value)
    assert set(refused) == {name.replace("_", " ") for name in facts}
    for name, fact in facts.items():
        assert re.fullmatch(fact, refused[name.replace("_", " ")]), refused


def test_a_refused_gate_changes_nothing(ids):
    with refuses(shipped_arch="linear on features canonical: never shipped for .*"):
        register(ids["linear"])
    assert (versions(), tree_files()) == ({}, {})


def test_a_smoke_is_refused(ids):
    with pytest.raises(GateRefusedError) as caught:
        register(ids["smoke"])
    assert refused_gates(caught.value)["finished run"] == "FINISHED, smoke true"
    assert (versions(), tree_files()) == ({}, {})


def test_uncommitted_code_is_refused_unless_allowed(ids):
    mlflow.MlflowClient().set_tag(ids["small"], "git_dirty", "true")
    with refuses(clean_checkout="dirty true"):
        register(ids["small"], allow_dirty=False)
    assert versions() == {}
    assert register(ids["small"], allow_dirty=True).version == "1"


def test_committed_code_passes_without_allow_dirty(ids):
    mlflow.MlflowClient().set_tag(ids["small"], "git_dirty", "false")
    assert register(ids["small"], allow_dirty=False).version == "1"


def test_a_run_that_is_not_finished_is_refused(ids):
    mlflow.MlflowClient().set_terminated(ids["small"], "FAILED")
    with refuses(finished_run="FAILED, smoke false"):
        register(ids["small"])
    mlflow.MlflowClient().set_terminated(ids["small"], "FINISHED")
    assert versions() == {}


def test_a_deleted_run_is_refused(ids):
    mlflow.MlflowClient().delete_run(ids["small"])
    with refuses(finished_run="deleted, smoke false"):
        register(ids["small"])
    mlflow.MlflowClient().restore_run(ids["small"])
    assert versions() == {}


def test_a_worse_student_is_refused_unless_allowed(ids):
    register(ids["small"])
    before = tree_files()
    worse, better = (find_candidate(ids[name]).report.rmse for name in ("short", "small"))
    assert worse > 2 * better
    with refuses(not_worse=f"RMSE {worse:.4f} against {better:.4f}, PLCC .* of version 1"):
        register(ids["short"])
    assert (tree_files(), alias("default")) == (before, "1")
    assert register(ids["short"], allow_worse=True).version == alias("default") == "2"


def test_a_holder_that_was_trained_on_the_hold_out_is_not_compared(ids):
    register(ids["small"])
    fact = "version 1 was trained on Colony, so the two cannot be compared on it"
    with refuses(not_worse=fact):
        register(ids["other hold-out"])


@pytest.mark.parametrize(
    ("ours", "passes"),
    [
        # A perfect PLCC does not make up for a worse RMSE.
        (lambda y_N: y_N + 3, False),
        (lambda y_N: y_N.mean() + (1 - 1e-6) * (y_N - y_N.mean()), True),
    ],
    ids=["worse RMSE", "better both"],
)
def test_a_worse_rmse_is_refused_whatever_the_plcc(ours, passes, ids, monkeypatch):
    register(ids["small"])
    candidate = find_candidate(ids["short"])
    monkeypatch.setattr(candidate.student, "score", lambda x_NF: ours(candidate.held_out.y_N))
    outcome = not_worse(candidate, Allowed(worse=False, dirty=True))
    assert outcome.passed is passes, outcome.fact


def test_a_worse_plcc_is_refused_whatever_the_rmse(ids, monkeypatch):
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


def gates_against(candidate):
    """Return the names of the gates that a candidate does not pass."""
    gates = judge(candidate, allow_worse=False, allow_dirty=True)
    return [gate.name for gate in gates if not gate.passed]


@pytest.mark.parametrize("key", ["rmse", "plcc", "srocc", "krocc", "max_abs_error", "bias"])
@pytest.mark.parametrize("part", ["frames", "pooled"])
def test_a_report_that_the_model_does_not_reproduce_is_refused(part, key, ids):
    candidate = find_candidate(ids["small"])
    report = candidate.report
    metrics = report if part == "frames" else report.pooled
    forged = metrics.model_copy(update={key: getattr(metrics, key) / 2 + 0.001})
    if part == "pooled":
        forged = report.model_copy(update={"pooled": forged})
    assert gates_against(replace(candidate, report=forged)) == ["report reproduced"]


@pytest.mark.parametrize("key", ["rmse", "max_abs_error", "worst_found", "proven"])
def test_a_report_that_states_too_little_error_over_the_box_is_refused(key, ids):
    candidate = find_candidate(ids["quintic"])
    box = candidate.report.box
    forged = box.model_copy(update={key: getattr(box, key) / 2})
    report = candidate.report.model_copy(update={"box": forged})
    assert gates_against(replace(candidate, report=report)) == ["box reproduced"]


def test_a_model_of_another_run_is_refused(ids):
    candidate = find_candidate(ids["small"])
    other = find_candidate(ids["medium"]).student
    assert gates_against(replace(candidate, student=other)) == [
        "one file everywhere",
        "facts agree",
        "report reproduced",
        "box reproduced",
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [("teacher", "vmaf_4k_v0.6.1"), ("libvmaf_version", "9.9"), ("hold_out", "Sand")],
)
def test_a_report_that_says_else_than_the_file_is_refused(key, value, ids):
    candidate = find_candidate(ids["small"])
    other = candidate.report.model_copy(update={key: value})
    assert "facts agree" in gates_against(replace(candidate, report=other))


def test_a_report_that_names_the_arch_of_another_place_is_refused(ids):
    candidate = find_candidate(ids["small"])
    model = candidate.report.model.model_copy(update={"arch": "quintic"})
    other = candidate.report.model_copy(update={"model": model})
    assert "facts agree" in gates_against(replace(candidate, report=other))


def test_a_report_without_correlations_is_refused_before_anything_changes(ids):
    candidate = find_candidate(ids["small"])
    pooled = candidate.report.pooled.model_copy(update={"plcc": None})
    one_clip = candidate.report.model_copy(update={"pooled": pooled})
    assert gates_against(replace(candidate, report=one_clip)) == [
        "enough to judge",
        "report reproduced",
    ]
    assert versions() == {}


@pytest.mark.parametrize(
    ("run", "without"),
    [("small", {"runs in libvmaf"}), ("linear", {"not worse"}), ("quintic", set())],
)
def test_gates_run_in_the_order_of_the_table(run, without, ids):
    # libvmaf can hold only polynomials. Only an arch that has a place can be compared with its
    # holder.
    gates = judge(find_candidate(ids[run]), allow_worse=False, allow_dirty=True)
    assert [gate.name for gate in gates] == [name for name in GATES if name not in without]


def test_a_student_that_libvmaf_scores_otherwise_is_refused(ids, monkeypatch):
    candidate = find_candidate(ids["quintic"])
    assert gates_against(candidate) == []
    other = libvmaf_model_of(find_candidate(ids["linear"]).student, "other")
    monkeypatch.setattr(MODEL_OF, lambda student, name: other)
    assert gates_against(candidate) == ["runs in libvmaf"]


def test_a_model_file_that_libvmaf_cannot_read_is_refused_with_what_it_said(ids, monkeypatch):
    broken = LibvmafModel(b"{}", degree=5, points=0, max_error=0.0)
    monkeypatch.setattr(MODEL_OF, lambda student, name: broken)
    with refuses(runs_in_libvmaf="ffmpeg.* could not load libvmaf model with path: model.json.*"):
        register(ids["quintic"])
    assert versions() == {}


def test_a_polynomial_needs_an_ffmpeg_with_libvmaf(ids, no_ffmpeg):
    with pytest.raises(InputError, match="no ffmpeg at no-such-ffmpeg; set VMAF_FFMPEG"):
        register(ids["quintic"])
    assert register(ids["small"]).version == "1"


def test_the_shipping_page_lists_the_gates():
    page = (ROOT / "docs" / "shipping.md").read_text()
    table = page.partition("## Gates")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([a-z ]+) \|", table, flags=re.M)
    assert rows == ["gate", *GATES]


def test_an_unreadable_holder_is_refused_and_can_be_replaced(ids):
    register(ids["short"])
    mlflow.MlflowClient().set_model_version_tag("vmaf_tiny", "1", "sha256", "f" * 64)
    with refuses(not_worse="version 1 cannot be read: .*"):
        register(ids["small"])
    assert register(ids["small"], allow_worse=True).version == "2"
    assert check_tree(Path()) == []
