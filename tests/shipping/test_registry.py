"""From a run to a version and an alias: registered once, and the way back."""

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import mlflow
import pytest
from promotion import DIRTY, alias, call, register, tree_files, versions

from vmaf_train.commands.promote import register as register_command
from vmaf_train.errors import VmafTrainError
from vmaf_train.shipping.in_tree import Index
from vmaf_train.shipping.registry import fetch, promoted_students
from vmaf_train.shipping.sync import locked
from vmaf_train.shipping.tree import Tree, check


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
    assert call("sync").output == "the tree is up to date\n"
    assert versions() == {"1": ids["small"]}
    assert {path: Path(path).stat().st_mtime_ns for path in tree_files()} == before


def test_a_better_student_takes_the_alias(ids):
    assert register(ids["short"]).exit_code == 0
    assert register(ids["small"]).exit_code == 0
    assert (alias("default"), versions()[alias("default")]) == ("2", ids["small"])
    assert f"model/tiny/training_runs/{ids['short']}/eval_report.json" not in tree_files()


def test_a_promotion_waits_for_another_that_writes_the_tree(ids):
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


def test_two_registrations_at_once_end_with_a_version_each_and_one_alias(ids):
    command = [
        sys.executable,
        "-m",
        "vmaf_train",
        "register",
        "--allow-worse",
        "yes",
        *DIRTY,
        "--run-id",
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    both = [subprocess.Popen([*command, ids[name]], **pipes) for name in ("small", "short")]
    outputs = [process.communicate(timeout=100)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sorted(versions().values()) == sorted([ids["small"], ids["short"]])
    assert call("sync", "--check").exit_code == 0


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


def test_a_version_whose_file_is_not_that_of_its_tag_is_never_written(ids):
    register(ids["small"])
    before = tree_files()
    mlflow.MlflowClient().set_model_version_tag("vmaf_tiny", "1", "sha256", "f" * 64)
    flip = call("sync")
    assert flip.exit_code == 1
    assert "its tag says ffff" in flip.output
    assert "nothing was written" in flip.output
    assert tree_files() == before


def test_a_run_id_from_the_server_never_becomes_a_path(ids, tmp_path):
    register(ids["small"])
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("UPDATE model_versions SET run_id = '../../../../escaped'")
    result = call("sync")
    assert result.exit_code != 0
    assert not list(tmp_path.rglob("*escaped*"))
    with pytest.raises(VmafTrainError, match="is not a run id"):
        fetch("1")
