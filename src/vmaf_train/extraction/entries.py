"""The entries of the cache, looked at as files: what each is of, and whether it can serve.

Passes find entries by the pair; here they are found in the folder.
"""

import random
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ValidationError

from vmaf_train.clips.pairs import Pair
from vmaf_train.clips.video import RAW_SUFFIX, FileStamp, Video, YuvFormat, stamp_of
from vmaf_train.errors import InputError
from vmaf_train.extraction.cache import Envelope, Identity, unseal
from vmaf_train.extraction.logs import FrameScores
from vmaf_train.files import ABANDONED_SECONDS, PREFIX, SUFFIX, read_whole

# Folders of the cache that hold other things, such as the demo corpus, begin with this.
OTHER = "_"
# The most bytes of an entry that is looked at: more than five hours at 30 frames per second.
MOST_BYTES = 1 << 30


class State(StrEnum):
    """Whether an entry can serve a pass, and why not."""

    ok = "ok"
    # Of an older version, which wrote no paths: its next use adds them.
    unnamed = "files unknown"
    stale = "stale"
    gone = "files gone"
    damaged = "damaged"
    # A temporary file of a killed process.
    left = "left over"


# Entries in these states serve no pass.
USELESS = (State.stale, State.gone, State.damaged, State.left)


class _Head(BaseModel):
    """What an entry is of, without its numbers."""

    identity: Identity
    files: tuple[str, str] | None = None


@dataclass(frozen=True)
class Entry:
    """One file of the cache.

    Attributes:
        path: of the file.
        bytes: its size.
        state: whether it can serve.
        reason: why not, for people.
    """

    path: Path
    bytes: int
    state: State
    reason: str = ""

    @property
    def source(self) -> str:
        """Name of the source, which is the folder."""
        return self.path.parent.name


def entries_below(root: Path) -> Iterator[Entry]:
    """Yield the entries of a cache, sorted by path; nothing if there is no such folder."""
    for path in sorted(root.glob("*/*.json")):
        if not path.parent.name.startswith(OTHER):
            yield _look_at(path)
    for path in sorted(root.rglob(f"{PREFIX}*{SUFFIX}")):
        with suppress(FileNotFoundError):
            facts = path.lstat()
            # A younger one can belong to a process that runs.
            if time.time() - facts.st_mtime > ABANDONED_SECONDS:
                yield Entry(path, facts.st_size, State.left)


def other_folders(root: Path) -> dict[str, int]:
    """Return the bytes of each folder of the cache that holds no entries, by name."""
    folders = sorted(path for path in root.glob(f"{OTHER}*") if path.is_dir())
    return {
        path.name: sum(each.lstat().st_size for each in path.rglob("*") if each.is_file())
        for path in folders
    }


def remove(entry: Entry) -> None:
    """Remove an entry; removing one is always safe.

    Raises:
        InputError: the folder cannot be written.
    """
    try:
        if entry.path.is_dir() and not entry.path.is_symlink():
            shutil.rmtree(entry.path)
        else:
            entry.path.unlink(missing_ok=True)
        with suppress(OSError):
            entry.path.parent.rmdir()
    except OSError as error:
        raise InputError(f"cannot remove {entry.path}: {error.strerror}") from error


def sample(entries: Sequence[Entry], count: int, seed: int) -> list[Entry]:
    """Return some of the entries that can serve and name their files, drawn by a seed."""
    usable = [entry for entry in entries if entry.state is State.ok]
    return random.Random(seed).sample(usable, min(count, len(usable)))


def content_of(path: Path) -> tuple[Pair, Envelope]:
    """Read an entry whole; return it, and the pair that it is of.

    Raises:
        InputError: it is damaged, or does not name its files.
    """
    try:
        envelope = Envelope.model_validate_json(unseal(read_whole(path, MOST_BYTES))[0])
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    if envelope.files is None:
        raise InputError(f"{path} does not name its files")
    identity = envelope.identity
    format = YuvFormat(identity.width, identity.height, identity.pix_fmt)
    ref, dis = (_video(Path(name), format) for name in envelope.files)
    scaled = (format.width, format.height) if identity.scaled_by else None
    dis = Video(dis.path, dis.format, stamp=dis.stamp, scaled_to=scaled)
    n_frames = len(next(iter(envelope.scores.values())))
    pair = Pair(path.parent.name, ref, dis, n_frames, format)
    if identity.frames:
        pair = pair.between(*identity.frames, identity.offset)
    return pair, envelope


def largest_difference(envelope: Envelope, again: FrameScores) -> float:
    """Return the largest difference between an entry and another pass over its pair."""
    held = {**envelope.features, **envelope.scores}
    found = dict(zip(again.features, again.x_NF.T, strict=True)) | dict(again.scores)
    return max(float(np.abs(values - np.array(held[name])).max()) for name, values in found.items())


def _look_at(path: Path) -> Entry:
    size = path.lstat().st_size
    try:
        body, sealed = unseal(read_whole(path, MOST_BYTES))
        head = _Head.model_validate_json(body)
    except ValidationError as error:
        return Entry(path, size, State.damaged, error.errors()[0]["msg"])
    except (OSError, InputError, ValueError) as error:
        return Entry(path, size, State.damaged, str(error))
    if head.files is None or not sealed:
        return Entry(path, size, State.unnamed)
    stamps = (head.identity.ref, head.identity.dis)
    for name, stamp in zip(head.files, stamps, strict=True):
        if not Path(name).exists():
            return Entry(path, size, State.gone, f"{name} is gone")
        if not _is_of(Path(name), stamp):
            return Entry(path, size, State.stale, f"{name} is another file now")
    return Entry(path, size, State.ok)


def _is_of(path: Path, stamp: FileStamp) -> bool:
    """Tell whether a file is the one of a stamp; one with a hash may be a copy, of any time."""
    found = stamp_of(path)
    return found.size == stamp.size and (bool(stamp.blake2b) or found.mtime_ns == stamp.mtime_ns)


def _video(path: Path, format: YuvFormat) -> Video:
    return Video(path, format if path.suffix == RAW_SUFFIX else None, stamp=stamp_of(path))
