"""The tree and the registry: every difference is named, and a sync repairs what it can."""

import json
import re
import shutil
from pathlib import Path

import mlflow
import pytest
from promotion import register, tree_files

from vmaf_train.commands.promote import check_tree, sync_tree
from vmaf_train.errors import InputError, VmafTrainError
from vmaf_train.shipping.in_tree import SHIPPED
from vmaf_train.shipping.tree import Tree


def test_a_folder_without_model_is_no_checkout(tmp_path):
    with pytest.raises(InputError, match=r"has no folder model; .* pass tree=PATH"):
        Tree(tmp_path)


def test_a_missing_folder_of_models_is_a_difference(store):
    Path("model").mkdir()
    (difference,) = check_tree(Path())
    assert "model/tiny is missing; restore it" in difference


def test_an_entry_of_the_index_that_is_no_object_stops_a_sync_and_loses_no_other():
    tiny = Path("model/tiny")
    tiny.mkdir(parents=True)
    foreign = {"id": "other", "onnx": "other.onnx", "sha256": "0" * 64}
    (tiny / "registry.json").write_text(json.dumps({"models": [foreign, 3]}))
    with pytest.raises(VmafTrainError, match="has an entry that breaks its contract"):
        Tree(Path()).other_entries()


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


(EXACT,) = [row for row in SHIPPED if row.alias == "exact"]


def differences():
    """Return one line per difference, as sync --check prints them."""
    return "\n".join(check_tree(Path()))


@pytest.mark.parametrize(("spoil", "message"), FAULTS, ids=[fault[0].__name__ for fault in FAULTS])
def test_a_fault_in_the_tree_is_named_and_the_next_sync_repairs_it(spoil, message, ids):
    register(ids["small"])
    whole = tree_files()
    spoil()
    assert re.search(message, differences()), differences()
    assert sync_tree(Path()) != []
    assert tree_files() == whole
    assert differences() == ""


LIBVMAF = Path("model/tiny/vmaf_tiny_exact.libvmaf.json")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda: LIBVMAF.unlink(), "is missing"),
        (lambda: LIBVMAF.write_text("{}"), "differs from the file that a sync writes"),
    ],
    ids=["missing", "edited"],
)
def test_a_fault_in_the_file_for_libvmaf_is_named_and_the_next_sync_repairs_it(spoil, message, ids):
    register(ids["quintic"])
    whole = tree_files()
    spoil()
    assert differences() == f"{LIBVMAF}: {message}"
    assert sync_tree(Path()) == [f"wrote {LIBVMAF}"]
    assert tree_files() == whole


def test_a_file_for_libvmaf_that_its_sidecar_names_must_be_there(ids):
    register(ids["quintic"])
    mlflow.MlflowClient().delete_registered_model_alias("vmaf_tiny", "exact")
    LIBVMAF.unlink()
    assert "model/tiny/vmaf_tiny_exact: model, sidecar and report do not agree" in differences()


def test_a_tree_from_before_the_files_for_libvmaf_is_whole_and_a_sync_adds_them(ids):
    register(ids["quintic"])
    sidecar = Path("model/tiny/vmaf_tiny_exact.json")
    whole, newer = tree_files(), json.loads(sidecar.read_text())
    LIBVMAF.unlink()
    older = {key: value for key, value in newer.items() if not key.startswith("libvmaf_json")}
    sidecar.write_text(json.dumps(older, indent=2) + "\n")
    assert Tree(Path()).held(EXACT).sidecar.libvmaf_json is None
    assert set(sync_tree(Path())) >= {f"wrote {LIBVMAF}", f"wrote {sidecar}"}
    assert tree_files() == whole


def test_a_student_that_libvmaf_cannot_hold_leaves_no_file_of_the_last_one(ids):
    register(ids["small"])
    stray = Path("model/tiny/vmaf_tiny_v1.libvmaf.json")
    stray.write_text("{}")
    assert differences() == f"{stray}: differs from the file that a sync writes"
    assert sync_tree(Path()) == [f"removed {stray}"]


def test_a_moved_alias_is_named(ids):
    register(ids["short"])
    register(ids["small"])
    mlflow.MlflowClient().set_registered_model_alias("vmaf_tiny", "default", "1")
    named = f"alias default was moved: it names version 1 of run {ids['short']}"
    assert differences() == f"{named}, the tree holds run {ids['small']}"


def test_a_shipped_model_without_an_alias_is_named_and_kept(ids):
    register(ids["small"])
    before = tree_files()
    mlflow.MlflowClient().delete_registered_model_alias("vmaf_tiny", "default")
    line = "alias default names nothing in the registry, the tree ships vmaf_tiny_v1"
    assert differences() == line
    assert sync_tree(Path()) == []
    assert tree_files() == before


def test_a_damaged_model_without_an_alias_is_kept(ids):
    register(ids["small"])
    mlflow.MlflowClient().delete_registered_model_alias("vmaf_tiny", "default")
    flip_a_byte()
    before = tree_files()
    with pytest.raises(VmafTrainError, match="git checkout -- model/tiny"):
        sync_tree(Path())
    assert tree_files() == before


def test_an_index_entry_without_its_file_is_named(ids):
    register(ids["small"])
    path = Path("model/tiny/registry.json")
    index = json.loads(path.read_text())
    index["models"].append({"id": "evil", "kind": "fr", "onnx": "evil.onnx", "sha256": "0" * 64})
    path.write_text(json.dumps(index, indent=2) + "\n")
    assert "lists evil, but evil.onnx is missing" in differences()


def test_an_index_entry_that_breaks_its_contract_is_kept(ids):
    register(ids["small"])
    path = Path("model/tiny/registry.json")
    theirs = '"models": [{"id": "theirs", "color": "red"},'
    path.write_text(path.read_text().replace('"models": [', theirs))
    before = tree_files()
    with pytest.raises(VmafTrainError, match="breaks its contract"):
        sync_tree(Path())
    assert tree_files() == before


@pytest.mark.parametrize("name", ["vmaf_tiny_v1.json", "training_runs"])
def test_an_edited_sidecar_or_report_is_named_without_an_alias(name, ids):
    register(ids["small"])
    mlflow.MlflowClient().delete_registered_model_alias("vmaf_tiny", "default")
    path = Path("model/tiny", name)
    path = path if path.is_file() else next(path.rglob("*.json"))
    edited, changed = re.subn(r'"rmse": [^,]+', '"rmse": 0.5', path.read_text(), count=1)
    assert changed
    path.write_text(edited)
    assert "model/tiny/vmaf_tiny_v1: model, sidecar and report do not agree" in differences()


def test_a_sidecar_that_names_another_model_is_a_fault(ids):
    register(ids["small"])
    path = Path("model/tiny/vmaf_tiny_v1.json")
    path.write_text(path.read_text().replace('"vmaf_tiny_v1.onnx"', '"other.onnx"'))
    assert Tree(Path()).is_damaged(SHIPPED[0])
    assert "vmaf_tiny_v1.json: differs from" in differences()


def test_an_index_that_is_nested_without_end_has_no_other_entries(tmp_path):
    (tmp_path / "model" / "tiny").mkdir(parents=True)
    (tmp_path / "model" / "tiny" / "registry.json").write_text("[" * 100_000)
    assert Tree(tmp_path).other_entries() == []
