"""Writing the tree: what a kill leaves, and what a sync must not touch."""

import json
import shutil
from pathlib import Path

import pytest
from kills import run_killed_at
from promotion import register, tree_files

from vmaf_train.files import PREFIX, SUFFIX
from vmaf_train.shipping.candidate import find_candidate
from vmaf_train.shipping.in_tree import SHIPPED, Index
from vmaf_train.shipping.registry import promote, promoted_students
from vmaf_train.shipping.sync import write_tree
from vmaf_train.shipping.tree import Tree, check


def models_of(files):
    return {name: content for name, content in files.items() if name.startswith("model/tiny/")}


def test_killed_anywhere_a_sync_leaves_the_old_or_the_new_set_and_the_next_one_heals(ids):
    register(ids["short"])
    old, tree = tree_files(), Tree(Path())
    promote(find_candidate(ids["small"]), SHIPPED[0])
    promoted = promoted_students()
    shutil.copytree(".", "../spare")
    write_tree(tree, promoted)
    new = tree_files()
    assert new != old

    def sync_killed_at(event):
        shutil.rmtree("model")
        shutil.rmtree("docs")
        shutil.copytree("../spare", ".", dirs_exist_ok=True)
        return run_killed_at(event, lambda: write_tree(Tree(Path()), promoted))

    events = sync_killed_at(None)
    assert tree_files() == new
    outcomes = []
    for point in range(20):
        sync_killed_at(1 + point * (events - 1) // 20)
        models = models_of(tree_files())
        assert models in (models_of(old), models_of(new))
        outcomes.append(models == models_of(new))
        write_tree(tree, promoted)
        assert tree_files() == new
        assert not list(Path("model").glob(".tiny.s*"))
    assert set(outcomes) == {False, True}


def test_without_an_exchange_of_folders_two_renames_do_and_a_kill_between_is_healed(
    ids, monkeypatch
):
    register(ids["short"])
    old = tree_files()
    promote(find_candidate(ids["small"]), SHIPPED[0])
    promoted = promoted_students()
    monkeypatch.setattr("vmaf_train.shipping.exchange.exchange_folders", lambda one, other: False)
    write_tree(Tree(Path()), promoted)
    assert check(Tree(Path()), promoted) == []
    Path("model/tiny").rename("model/.tiny.spare")
    assert write_tree(Tree(Path()), promoted) == []
    assert tree_files().keys() != old.keys()
    assert check(Tree(Path()), promoted) == []


def test_sync_removes_nothing_that_it_did_not_write(ids):
    register(ids["short"])
    mine = Path("model/tiny/training_runs/mine/notes.txt")
    mine.parent.mkdir()
    mine.write_text("keep")
    result = register(ids["small"])
    assert f"removed model/tiny/training_runs/{ids['short']}/eval_report.json" in result.output
    assert mine.read_text() == "keep"


def test_other_files_and_index_entries_of_the_folder_survive(ids):
    Path("model/tiny").mkdir()
    Path("model/tiny/README.md").write_text("mine")
    entry = {"id": "their_model", "kind": "fr", "onnx": "their_model.onnx", "sha256": "0" * 64}
    Path("model/tiny/registry.json").write_text(
        json.dumps({"schema_version": 1, "models": [entry]})
    )
    register(ids["small"])
    assert Path("model/tiny/README.md").read_text() == "mine"
    index = Index.model_validate_json(Path("model/tiny/registry.json").read_bytes())
    assert [entry.id for entry in index.models] == ["vmaf_tiny_v1", "their_model"]


def test_a_card_that_cannot_be_written_leaves_no_temporary_file(ids):
    register(ids["small"])
    card = Path("docs/ai/models/vmaf_tiny_v1.md")
    card.unlink()
    card.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_tree(Tree(Path()), promoted_students())
    assert list(card.parent.iterdir()) == [card]


def test_what_a_killed_write_of_a_card_left_is_cleared_up(ids):
    register(ids["small"])
    before = tree_files()
    Path("docs/ai/models", f"{PREFIX}0{SUFFIX}").write_text("half a c")
    assert write_tree(Tree(Path()), promoted_students()) == []
    assert tree_files() == before
