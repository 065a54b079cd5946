"""Atomic writes: a reader sees the old content or the new content of a file, never a part."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

# Of the names of temporary files.
PREFIX, SUFFIX = ".vmaf-train-", ".part"


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
