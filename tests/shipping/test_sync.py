"""Writing the tree: after a kill, beside other files, and with a card that fails."""

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

# How many of a sync's system events are tried.
POINTS = 20


def models_of(files):
    """Return the files of model/tiny/ alone; model cards are written after them."""
    return {name: content for name, content in files.items() if name.startswith("model/tiny/")}


def test_a_killed_sync_leaves_a_whole_set_and_the_next_sync_repairs_it(ids):
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
    for point in range(POINTS):
        sync_killed_at(1 + point * (events - 1) // POINTS)
        models = models_of(tree_files())
        assert models in (models_of(old), models_of(new))
        outcomes.append(models == models_of(new))
        write_tree(tree, promoted)
        assert tree_files() == new
        assert not list(Path("model").glob(".tiny.s*"))
    assert set(outcomes) == {False, True}


def test_a_sync_by_two_renames_is_repaired_after_a_kill_between_them(ids, monkeypatch):
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


def test_sync_removes_only_files_that_it_wrote(ids):
    register(ids["short"])
    mine = Path("model/tiny/training_runs/mine/notes.txt")
    mine.parent.mkdir()
    mine.write_text("keep")
    done = register(ids["small"])
    assert f"removed model/tiny/training_runs/{ids['short']}/eval_report.json" in done.changed
    assert mine.read_text() == "keep"


def test_other_files_and_index_entries_are_kept(ids):
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


def test_leftovers_of_a_killed_card_write_are_removed(ids):
    register(ids["small"])
    before = tree_files()
    Path("docs/ai/models", f"{PREFIX}0{SUFFIX}").write_text("half a c")
    assert write_tree(Tree(Path()), promoted_students()) == []
    assert tree_files() == before
