"""A file is written whole or not at all."""

import errno
import os
import tempfile
from pathlib import Path

import pytest

from vmaf_train.files import (
    PREFIX,
    SUFFIX,
    remove_abandoned,
    remove_leftovers,
    temporary_folder,
    write_whole,
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


def test_a_file_is_written_or_replaced_and_nothing_else_is_left(folder):
    path = folder / "file"
    for content in (b"old", b"new"):
        write_whole(path, content)
        assert path.read_bytes() == content
    assert list(folder.iterdir()) == [path]


def test_a_written_file_has_the_mode_of_a_new_file(folder):
    (folder / "plain").write_bytes(b"")
    write_whole(folder / "whole", b"")
    assert (folder / "whole").stat().st_mode == (folder / "plain").stat().st_mode


@pytest.mark.parametrize("fails", ["write_bytes", "replace"])
def test_a_failure_keeps_the_old_file_and_leaves_no_temporary_file(fails, folder, monkeypatch):
    path = folder / "file"
    path.write_bytes(b"old")

    def full(self, argument):
        # As a disk that fills up: a part is there already.
        self.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, fails, full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(folder.iterdir()) == [path]


def test_a_missing_folder_is_an_error(folder):
    with pytest.raises(FileNotFoundError):
        write_whole(folder / "none" / "file", b"new")


def test_leftovers_of_a_kill_are_removed_and_other_files_kept(folder):
    (folder / "mine.part").touch()
    (folder / f"{PREFIX}0{SUFFIX}").touch()
    remove_leftovers(folder)
    assert list(folder.iterdir()) == [folder / "mine.part"]
    remove_leftovers(folder / "none")


def test_temporary_folders_of_killed_processes_are_removed_later(folder, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    gone, other = 2**22 + 1, os.getppid()
    names = [f"vmaf-train-{gone}-old", f"vmaf-train-{gone}-young", f"vmaf-train-{other}-old", "own"]
    for name in names:
        (folder / name).mkdir()
        (folder / name / "log.json").write_text("")
        if not name.endswith("young"):
            os.utime(folder / name, (1, 1))
    with temporary_folder() as own:
        remove_abandoned()
        assert own.is_dir()
    assert sorted(path.name for path in folder.iterdir()) == sorted(names[1:])
