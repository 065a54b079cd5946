"""Replace files of a folder all at once: a kill at any moment leaves all old or all new files.

The new folder is staged beside the old one, synced to disk, and exchanged with it in one step.
Where the system cannot exchange two folders, two renames do it; `heal` repairs a kill between them.
"""

import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

# Constants of Linux: linux/fs.h and fcntl.h.
RENAME_EXCHANGE, AT_FDCWD = 2, -100


def replace_files(folder: Path, files: Mapping[str, bytes], replaced: Collection[str]) -> None:
    """Replace some files of a folder and keep the others; no other process may write there.

    Args:
        folder: made if it is missing; its parent must exist.
        files: new content by path below the folder.
        replaced: paths of the old files, below the folder.

    Raises:
        OSError: the folder cannot be written; it holds all old files, or all new ones.
    """
    staged, spare = _staged(folder), _spare(folder)
    folder.mkdir(exist_ok=True)
    _stage(folder, files, replaced)
    if not exchange_folders(staged, folder):
        folder.rename(spare)
        staged.rename(folder)
    _to_disk(folder.parent)
    heal(folder)


def heal(folder: Path) -> None:
    """Finish or undo a `replace_files` that was killed, and remove its folders beside `folder`."""
    staged, spare = _staged(folder), _spare(folder)
    if spare.is_dir() and not spare.is_symlink() and not folder.exists():
        spare.rename(folder)
    for leftover in (spare, staged):
        if leftover.is_symlink() or leftover.is_file():
            leftover.unlink()
        else:
            shutil.rmtree(leftover, ignore_errors=True)


def exchange_folders(one: Path, other: Path) -> bool:
    """Exchange two folders in one step, by Linux' renameat2; return False if the system cannot.

    Raises:
        OSError: the system can exchange folders, but not these two.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    paths = os.fsencode(one), os.fsencode(other)
    if libc.renameat2(AT_FDCWD, paths[0], AT_FDCWD, paths[1], RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(code, os.strerror(code), str(other))


def _staged(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.staged")


def _spare(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.spare")


def _stage(folder: Path, files: Mapping[str, bytes], replaced: Collection[str]) -> None:
    """Make the new folder beside the old one, and sync all of its files to disk."""
    staged = _staged(folder)
    old = {folder / name for name in replaced}

    def left_out(parent: str, names: list[str]) -> list[str]:
        return [name for name in names if Path(parent, name) in old]

    shutil.copytree(folder, staged, ignore=left_out)
    for name, content in files.items():
        path = staged / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for path in (*staged.rglob("*"), staged):
        if path != staged and path.is_dir() and not any(path.iterdir()):
            path.rmdir()
        else:
            _to_disk(path)


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
