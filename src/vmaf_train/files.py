"""Whole files: a reader sees the old content or the new content, never a part of it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

PREFIX, SUFFIX = ".vmaf-train-", ".part"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name beside its place, then rename it.

    Raises:
        OSError: as `whole_file` does.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside a file; what is written there is renamed to the file at the end.

    The folder must exist. After a failure the temporary file is removed and `path` is as it was.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    temporary = path.with_name(f"{PREFIX}{uuid4().hex}{SUFFIX}")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        # The first error is the one to report.
        with suppress(OSError):
            temporary.unlink()
        raise


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that a killed process left in a folder.

    Hold a lock on the folder first: the temporary file of a running process looks the same.
    """
    for path in folder.glob(f"{PREFIX}*{SUFFIX}"):
        path.unlink(missing_ok=True)
