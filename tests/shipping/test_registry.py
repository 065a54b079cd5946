"""The registry: one version per file, its alias, and the way back."""

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import mlflow
import pytest
from promotion import alias, register, tree_files, versions

from vmaf_train.commands.promote import check_tree, point_back, sync_tree
from vmaf_train.commands.promote import register as register_command
from vmaf_train.errors import VmafTrainError
from vmaf_train.shipping.in_tree import Index
from vmaf_train.shipping.registry import fetch, promoted_students
from vmaf_train.shipping.sync import locked
from vmaf_train.shipping.tree import Tree, check


def test_a_run_becomes_a_version_an_alias_and_files_that_agree(ids):
    done = register(ids["small"])
    assert (done.version, done.alias) == ("1", "default")
    assert versions() == {"1": ids["small"]}
    assert alias("default") == "1"
    assert sorted(tree_files()) == [
        "docs/ai/models/vmaf_tiny_v1.md",
        "model/tiny/registry.json",
        f"model/tiny/training_runs/{ids['small']}/eval_report.json",
        "model/tiny/vmaf_tiny_v1.json",
        "model/tiny/vmaf_tiny_v1.onnx",
    ]
    assert check_tree(Path()) == []


def test_a_version_has_tags_that_name_its_origin(ids):
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


def test_two_archs_have_two_places(ids):
    done = [register(ids[name]) for name in ("small", "medium")]
    assert [each.alias for each in done] == ["default", "medium"]
    index = Index.model_validate_json(Path("model/tiny/registry.json").read_bytes())
    assert [entry.id for entry in index.models] == ["vmaf_tiny_v1", "vmaf_tiny_v1_medium"]
    assert check_tree(Path()) == []


def test_registering_again_and_syncing_again_change_nothing(ids):
    register(ids["small"])
    before = {path: Path(path).stat().st_mtime_ns for path in tree_files()}
    assert register(ids["small"]).changed == []
    assert sync_tree(Path()) == []
    assert versions() == {"1": ids["small"]}
    assert {path: Path(path).stat().st_mtime_ns for path in tree_files()} == before


def test_a_better_student_takes_the_alias(ids):
    register(ids["short"])
    register(ids["small"])
    assert (alias("default"), versions()[alias("default")]) == ("2", ids["small"])
    assert f"model/tiny/training_runs/{ids['short']}/eval_report.json" not in tree_files()


def test_a_promotion_waits_for_the_lock_of_the_tree(ids):
    tree = Tree(Path())
    arguments, allowed = (ids["small"], Path()), {"allow_dirty": True}
    with locked(tree):
        waiting = threading.Thread(target=register_command, args=arguments, kwargs=allowed)
        waiting.start()
        waiting.join(timeout=1.5)
        assert (waiting.is_alive(), versions()) == (True, {})
    waiting.join(timeout=30)
    assert versions() == {"1": ids["small"]}
    assert check(tree, promoted_students()) == []


# The command in another process, which searches the box as little as these tests do.
QUICK = """
from vmaf_train.__main__ import run
from vmaf_train.judging import certificate, evaluation
evaluation.BOX_POINTS, certificate.CLIMBS = 5_000, 2
run()
"""


def test_two_registrations_at_once_give_two_versions_and_one_alias(ids):
    allowed = ["--allow-worse", "yes", "--allow-dirty", "yes"]
    command = [sys.executable, "-c", QUICK, "register", *allowed, "--run-id"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    both = [subprocess.Popen([*command, ids[name]], **pipes) for name in ("small", "short")]
    outputs = [process.communicate(timeout=100)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sorted(versions().values()) == sorted([ids["small"], ids["short"]])
    assert check_tree(Path()) == []


def test_pointing_back_restores_the_older_version_and_its_files(ids):
    register(ids["short"])
    old = tree_files()
    register(ids["small"])
    assert point_back("1", Path()).version == "1"
    assert alias("default") == "1"
    assert tree_files() == old
    assert len(versions()) == 2


def test_a_version_that_differs_from_its_tag_is_never_written(ids):
    register(ids["small"])
    before = tree_files()
    mlflow.MlflowClient().set_model_version_tag("vmaf_tiny", "1", "sha256", "f" * 64)
    with pytest.raises(VmafTrainError, match=r"its tag says ffff.*; nothing was written"):
        sync_tree(Path())
    assert tree_files() == before


def test_a_run_id_from_the_server_never_becomes_a_path(ids, tmp_path):
    register(ids["small"])
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("UPDATE model_versions SET run_id = '../../../../escaped'")
    with pytest.raises(VmafTrainError, match="is not a run id"):
        sync_tree(Path())
    assert not list(tmp_path.rglob("*escaped*"))
    with pytest.raises(VmafTrainError, match="is not a run id"):
        fetch("1")
