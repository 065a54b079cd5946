"""Files: atomic writes, and reads of what may be anything.

A reader sees the old content or the new content of a file, never a part.
"""

import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from vmaf_train.errors import InputError

# The most bytes of a file that is read whole, if the reader states no other limit.
MOST_BYTES = 64 << 20
# Of the names of temporary files.
PREFIX, SUFFIX = ".vmaf-train-", ".part"
# Of the names of temporary folders, and how old one must be to be removed by another process.
FOLDER, ABANDONED_SECONDS = "vmaf-train-", 3600.0


def read_whole(path: Path, most: int = MOST_BYTES) -> bytes:
    """Read a regular file, or a link to one, up to a size.

    Raises:
        FileNotFoundError: there is none.
        InputError: it is something else, such as a folder, a pipe or a device, it is larger, or it
            cannot be read.
    """
    try:
        # Without O_NONBLOCK, opening a pipe waits for a writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise InputError(f"{path} is no regular file; remove it, or name another")
            if facts.st_size > most:
                raise InputError(f"{path} has more than the {most:,} bytes that are read")
            # Not more, so that a file that grows does not fill the memory.
            content = file.read(facts.st_size + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; name another file") from error
    if len(content) != facts.st_size:
        raise InputError(f"{path} changed while it was read; run again when it is complete")
    return content


def check_regular(path: Path) -> None:
    """Check that a path is that of a regular file, for a reader that would wait for a pipe.

    Raises:
        FileNotFoundError: there is none.
        InputError: it is something else.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise InputError(f"{path} is no regular file; remove it, or name another")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name in the same folder, then rename it.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; at the end, rename that file to `path`.

    The folder must exist. After a failure, the temporary file is removed and `path` is unchanged.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    temporary = path.with_name(f"{PREFIX}{uuid4().hex}{SUFFIX}")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        # Report the first error, not one of the clean-up.
        with suppress(OSError):
            temporary.unlink()
        raise


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder in the system's temporary folder, and remove it at the end.

    Its name holds the id of this process, so that a later one knows it as abandoned.
    """
    with tempfile.TemporaryDirectory(prefix=f"{FOLDER}{os.getpid()}-") as name:
        yield Path(name)


def remove_abandoned() -> None:
    """Remove the temporary folders of processes that were killed.

    The process must be gone and the folder old: machines that share a temporary folder can have
    processes of the same ids.
    """
    for path in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        found = re.match(rf"{FOLDER}(\d+)-", path.name)
        with suppress(OSError):
            old = time.time() - path.lstat().st_mtime > ABANDONED_SECONDS
            if found and old and not is_running(int(found[1])):
                shutil.rmtree(path, ignore_errors=True)


def is_running(process: int) -> bool:
    """Tell whether a process of this machine runs, by its id."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that a killed process left in a folder.

    Hold a lock on the folder: the temporary file of a running process has the same kind of name.
    """
    for path in folder.glob(f"{PREFIX}*{SUFFIX}"):
        path.unlink(missing_ok=True)
