"""Files of a folder are replaced at once; a failure or a kill is repaired."""

import shutil
import sys

import pytest
from kills import run_killed_at

from vmaf_train.shipping import exchange
from vmaf_train.shipping.exchange import exchange_folders, heal, replace_files


def texts_below(folder):
    """Return the text of each file, by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def folder(tmp_path):
    """A folder with two files to be replaced and one to be kept."""
    folder = tmp_path / "parent" / "set"
    (folder / "runs" / "1").mkdir(parents=True)
    (folder / "model").write_text("old")
    (folder / "runs" / "1" / "report").write_text("old")
    (folder / "mine").write_text("kept")
    return folder


OLD = {"model": "old", "runs/1/report": "old", "mine": "kept"}
NEW = {"model": "new", "runs/2/report": "new", "mine": "kept"}
FILES = {"model": b"new", "runs/2/report": b"new"}
REPLACED = {"model", "runs/1/report"}


@pytest.mark.parametrize("in_one_step", [True, False])
def test_named_files_are_replaced_and_others_kept(in_one_step, folder, monkeypatch):
    if not in_one_step:
        monkeypatch.setattr(exchange, "exchange_folders", lambda one, other: False)
    replace_files(folder, FILES, REPLACED)
    assert texts_below(folder) == NEW
    assert not (folder / "runs" / "1").exists()
    assert list(folder.parent.iterdir()) == [folder]


def test_a_missing_folder_is_made(tmp_path):
    replace_files(tmp_path / "set", FILES, set())
    assert texts_below(tmp_path / "set") == {"model": "new", "runs/2/report": "new"}


def test_an_error_leaves_all_old_files_and_the_next_call_works(folder, monkeypatch):
    def full(one, other):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exchange, "exchange_folders", full)
    with pytest.raises(OSError, match="No space left"):
        replace_files(folder, FILES, REPLACED)
    assert texts_below(folder) == OLD
    monkeypatch.undo()
    heal(folder)
    replace_files(folder, FILES, REPLACED)
    assert texts_below(folder) == NEW
    assert list(folder.parent.iterdir()) == [folder]


def test_a_kill_between_two_renames_is_repaired(folder):
    shutil.copytree(folder, folder.with_name(".set.staged"))
    folder.rename(folder.with_name(".set.spare"))
    heal(folder)
    assert texts_below(folder) == OLD
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("in_one_step", [True, False])
def test_a_kill_at_any_event_leaves_all_old_or_all_new_files(in_one_step, folder, monkeypatch):
    if not in_one_step:
        monkeypatch.setattr(exchange, "exchange_folders", lambda one, other: False)
    before = folder.with_name("before")
    shutil.copytree(folder, before)

    def killed_at(event):
        shutil.rmtree(folder)
        shutil.copytree(before, folder)
        return run_killed_at(event, lambda: replace_files(folder, FILES, REPLACED))

    outcomes = []
    for event in range(1, killed_at(None) + 1):
        killed_at(event)
        # Between two renames there is no folder at all.
        assert not (in_one_step and not folder.exists())
        heal(folder)
        outcomes.append(texts_below(folder))
        assert sorted(folder.parent.iterdir()) == [before, folder]
    assert all(found in (OLD, NEW) for found in outcomes)
    assert OLD in outcomes and NEW in outcomes


def test_healing_changes_no_whole_folder(folder):
    heal(folder)
    assert texts_below(folder) == OLD


@pytest.mark.skipif(sys.platform != "linux", reason="needs renameat2")
def test_two_folders_change_places_in_one_step(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    if not exchange_folders(folder, other):
        pytest.skip("this file system cannot exchange two folders")
    assert texts_below(other) == OLD
    assert texts_below(folder) == {}
    with pytest.raises(OSError, match="No such file"):
        exchange_folders(folder, tmp_path / "nowhere")


@pytest.mark.parametrize("name", [".set.staged", ".set.spare"])
@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_leftover_that_is_no_folder_is_removed(folder, name, kind):
    leftover, before = folder.with_name(name), texts_below(folder)
    leftover.write_text("x") if kind == "file" else leftover.symlink_to(folder)
    heal(folder)
    assert not leftover.is_symlink() and not leftover.exists()
    assert texts_below(folder) == before
