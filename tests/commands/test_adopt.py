"""A fresh clone and a fresh registry: what the tree ships is adopted, and guards its places."""

import shutil
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
from mlflow_runs import all_runs
from promotion import alias, refused_gates, register, tree_files, versions

from vmaf_train.commands import promote
from vmaf_train.errors import GateRefusedError
from vmaf_train.shipping.candidate import find_candidate
from vmaf_train.shipping.gates import judge
from vmaf_train.shipping.in_tree import SHIPPED, Promoted
from vmaf_train.shipping.tree import Tree

ROOT = Path(__file__).parents[2]
FILLED = [row for row in SHIPPED if Tree(ROOT).held(row)]


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """Work in a copy of what the project ships."""
    folder = tmp_path / "clone"
    shutil.copytree(ROOT / "model", folder / "model")
    shutil.copytree(ROOT / "docs" / "ai", folder / "docs" / "ai")
    monkeypatch.chdir(folder)
    return folder


def test_a_check_is_clean_after_a_fresh_registry_adopted_the_tree(clone, store):
    assert len(promote.check_tree(clone)) == len(FILLED)
    before = tree_files()
    lines = promote.adopt_tree(clone)
    assert [line.split()[1] for line in lines] == [row.alias for row in FILLED]
    assert promote.check_tree(clone) == []
    assert promote.sync_tree(clone) == []
    assert tree_files() == before


def test_a_file_is_adopted_once(clone, store):
    promote.adopt_tree(clone)
    held, runs = versions(), len(all_runs())
    assert promote.adopt_tree(clone) == []
    client = mlflow.MlflowClient()
    client.delete_registered_model_alias("vmaf_tiny", "exact")
    assert len(promote.adopt_tree(clone)) == 1
    assert (versions(), len(all_runs())) == (held, runs)
    assert promote.check_tree(clone) == []


def test_an_adopted_student_can_be_rolled_back_to(clone, store):
    promote.adopt_tree(clone)
    version = alias("exact")
    mlflow.MlflowClient().delete_registered_model_alias("vmaf_tiny", "exact")
    assert promote.point_back(version, clone).changed == []
    assert alias("exact") == version


def test_the_student_of_the_tree_guards_its_place_in_an_empty_registry(ids, clone):
    before = tree_files()
    with pytest.raises(GateRefusedError) as refused:
        register(ids["short"])
    (fact,) = refused_gates(refused.value).values()
    assert "the student in the tree was trained on Weather" in fact
    assert tree_files() == before


def test_a_student_that_is_worse_than_that_of_the_tree_is_refused(ids):
    better = find_candidate(ids["small"])
    shipped = Promoted(better.student, better.report, run_id=ids["small"], git_commit="unknown")
    worse = replace(find_candidate(ids["short"]), shipped=shipped)
    gates = judge(worse, allow_worse=False, allow_dirty=True)
    (refused,) = [gate for gate in gates if not gate.passed]
    assert refused.name == "not worse"
    assert refused.fact.endswith("of the student in the tree")
