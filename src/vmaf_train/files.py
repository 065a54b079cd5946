"""Whole files: a reader sees the old content or the new content, never a part of it."""

from contextlib import suppress
from pathlib import Path
from uuid import uuid4

PREFIX, SUFFIX = ".vmaf-train-", ".part"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name beside its place, then rename it.

    The folder must exist. After a failure the temporary file is removed and `path` is as it was.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    temporary = path.with_name(f"{PREFIX}{uuid4().hex}{SUFFIX}")
    try:
        temporary.write_bytes(content)
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
