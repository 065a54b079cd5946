"""How a tree differs from the registry: every fault is named, and a sync repairs what it can."""

import json
import re
import shutil
from pathlib import Path

import mlflow
import pytest
from promotion import call, register, tree_files

from vmaf_train.shipping.in_tree import SHIPPED
from vmaf_train.shipping.tree import Tree


def test_a_folder_that_is_no_checkout_is_bad_input(ids, tmp_path):
    result = call("sync", "--tree", tmp_path / "here")
    assert (result.exit_code, "has no folder model" in result.output) == (2, True)


def flip_a_byte():
    path = Path("model/tiny/vmaf_tiny_v1.onnx")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def lose_the_sidecar():
    Path("model/tiny/vmaf_tiny_v1.json").unlink()


def edit_the_index():
    path = Path("model/tiny/registry.json")
    path.write_text(path.read_text().replace("distilled", "boiled"))


def lose_the_report():
    shutil.rmtree("model/tiny/training_runs")


def edit_the_card():
    path = Path("docs/ai/models/vmaf_tiny_v1.md")
    path.write_text(path.read_text() + "by hand")


FAULTS = [
    (flip_a_byte, r"model/tiny/vmaf_tiny_v1\.onnx: its sha256 is .*, its sidecar says"),
    (lose_the_sidecar, r"model/tiny/vmaf_tiny_v1\.json: is missing"),
    (edit_the_index, r"model/tiny/registry\.json: differs from"),
    (lose_the_report, r"eval_report\.json: is missing"),
    (edit_the_card, r"docs/ai/models/vmaf_tiny_v1\.md: differs from"),
]


@pytest.mark.parametrize(("spoil", "message"), FAULTS, ids=[fault[0].__name__ for fault in FAULTS])
def test_a_fault_in_the_tree_is_named_and_the_next_sync_heals_it(spoil, message, ids):
    register(ids["small"])
    whole = tree_files()
    spoil()
    result = call("sync", "--check")
    assert result.exit_code == 1
    assert re.search(message, result.output), result.output
    assert call("sync").exit_code == 0
    assert tree_files() == whole
    assert call("sync", "--check").exit_code == 0


def test_a_moved_alias_is_named(ids):
    register(ids["short"])
    register(ids["small"])
    mlflow.MlflowClient().set_registered_model_alias("vmaf_tiny", "default", "1")
    result = call("sync", "--check")
    assert result.exit_code == 1
    assert (
        f"alias default was moved: it names version 1 of run {ids['short']}, the tree holds run"
        in result.output
    )


def test_a_shipped_model_without_an_alias_is_named_and_kept(ids):
    register(ids["small"])
    before = tree_files()
    mlflow.MlflowClient().delete_registered_model_alias("vmaf_tiny", "default")
    assert (
        "alias default names nothing in the registry, the tree ships vmaf_tiny_v1"
        in call("sync", "--check").output
    )
    assert call("sync").exit_code == 0
    assert tree_files() == before


def test_a_damaged_model_that_nothing_can_restore_is_not_thrown_away(ids):
    register(ids["small"])
    mlflow.MlflowClient().delete_registered_model_alias("vmaf_tiny", "default")
    flip_a_byte()
    before = tree_files()
    result = call("sync")
    assert (result.exit_code, "git checkout -- model/tiny" in result.output) == (1, True)
    assert tree_files() == before


def test_an_index_entry_without_its_file_is_named(ids):
    register(ids["small"])
    path = Path("model/tiny/registry.json")
    index = json.loads(path.read_text())
    index["models"].append({"id": "evil", "kind": "fr", "onnx": "evil.onnx", "sha256": "0" * 64})
    path.write_text(json.dumps(index, indent=2) + "\n")
    assert "lists evil, but evil.onnx is missing" in call("sync", "--check").output


def test_an_index_entry_that_breaks_its_contract_is_not_dropped(ids):
    register(ids["small"])
    path = Path("model/tiny/registry.json")
    path.write_text(
        path.read_text().replace('"models": [', '"models": [{"id": "theirs", "color": "red"},')
    )
    before = tree_files()
    result = call("sync")
    assert (result.exit_code, "breaks its contract" in result.output) == (1, True)
    assert tree_files() == before


@pytest.mark.parametrize("name", ["vmaf_tiny_v1.json", "training_runs"])
def test_an_edited_sidecar_or_report_is_named_without_the_registry(name, ids):
    register(ids["small"])
    mlflow.MlflowClient().delete_registered_model_alias("vmaf_tiny", "default")
    path = Path("model/tiny", name)
    path = path if path.is_file() else next(path.rglob("*.json"))
    edited, changed = re.subn(r'"rmse": [^,]+', '"rmse": 0.5', path.read_text(), count=1)
    assert changed
    path.write_text(edited)
    assert (
        "model/tiny/vmaf_tiny_v1: model, sidecar and report do not agree"
        in call("sync", "--check").output
    )


def test_a_sidecar_that_names_another_model_is_damage(ids):
    register(ids["small"])
    path = Path("model/tiny/vmaf_tiny_v1.json")
    path.write_text(path.read_text().replace('"vmaf_tiny_v1.onnx"', '"other.onnx"'))
    assert Tree(Path()).is_damaged(SHIPPED[0])
    assert "vmaf_tiny_v1.json: differs from" in call("sync", "--check").output
