"""Writing the tree: what a kill leaves, and what a sync must not touch."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from promotion import register, tree_files

from vmaf_train.files import PREFIX, SUFFIX
from vmaf_train.shipping.candidate import find_candidate
from vmaf_train.shipping.in_tree import SHIPPED, Index
from vmaf_train.shipping.registry import promote, promoted_students
from vmaf_train.shipping.sync import write_tree
from vmaf_train.shipping.tree import Tree, check


def test_killed_anywhere_a_sync_leaves_the_old_or_the_new_set_and_the_next_one_heals(ids):
    register(ids["short"])
    old, tree = tree_files(), Tree(Path())
    candidate = find_candidate(ids["small"])
    promote(candidate, SHIPPED[0])
    promoted = promoted_students()
    shutil.copytree(".", "../spare")
    write_tree(tree, promoted)
    new = tree_files()
    assert new != old

    def sync_killed_at(event: int | None) -> int:
        """Sync in a child and kill it at a system event; return how many events there were.

        Args:
            event: its number; None lets the child finish.
        """
        shutil.rmtree("model")
        shutil.rmtree("docs")
        shutil.copytree("../spare", ".", dirs_exist_ok=True)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            seen = 0

            def hook(name: str, arguments: object) -> None:
                nonlocal seen
                if name.startswith(("open", "os.", "shutil.", "ctypes.call")):
                    seen += 1
                    if seen == event:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(hook)
            write_tree(Tree(Path()), promoted)
            os.write(write, str(seen).encode())
            os._exit(0)
        _, status = os.waitpid(child, 0)
        os.close(write)
        with os.fdopen(read) as pipe:
            counted = pipe.read()
        assert os.waitstatus_to_exitcode(status) == (0 if event is None else -signal.SIGKILL)
        return int(counted or 0)

    events = sync_killed_at(None)
    assert tree_files() == new
    outcomes = set()
    for point in range(20):
        sync_killed_at(1 + point * (events - 1) // 20)
        models = {
            name: content
            for name, content in tree_files().items()
            if name.startswith("model/tiny/")
        }
        assert models in [
            {n: c for n, c in files.items() if n.startswith("model/tiny/")} for files in (old, new)
        ]
        outcomes.add("old" if models.items() <= old.items() else "new")
        write_tree(tree, promoted)
        assert tree_files() == new
        assert not list(Path("model").glob(".tiny.s*"))
    assert outcomes == {"old", "new"}


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
