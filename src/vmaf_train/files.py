"""Files: atomic writes, and reads of what may be anything.

A reader sees the old content or the new content of a file, never a part.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from vmaf_train.errors import InputError

# The most bytes of a file that is read whole, if the reader states no other limit.
MOST_BYTES = 64 << 20
# Of the names of temporary files.
PREFIX, SUFFIX = ".vmaf-train-", ".part"


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
            content = file.read(most + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; name another file") from error
    if len(content) > most:
        raise InputError(f"{path} is larger than the {most:,} bytes that are read; name another")
    return content


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


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that a killed process left in a folder.

    Hold a lock on the folder: the temporary file of a running process has the same kind of name.
    """
    for path in folder.glob(f"{PREFIX}*{SUFFIX}"):
        path.unlink(missing_ok=True)
