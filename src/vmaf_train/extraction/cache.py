"""The cache: one JSON envelope per clip, with one pass's results and the identity of its inputs.

`$VMAF_TINY_AI_CACHE/<source>/<clip>.json`, default `~/.cache/vmaf-tiny-ai`; a range of frames has a
file of its own, `<clip>.<first>-<end>.json`. An envelope with another identity is a miss; so is a
file that does not parse. Files are written beside their place and renamed, so a reader sees the old
or the new one, whole. Removing the folder is always safe.
"""

import logging
import os
from pathlib import Path

import numpy as np
from pydantic import ValidationError, model_validator

from vmaf_train.clips.pairs import Pair
from vmaf_train.clips.video import FileStamp
from vmaf_train.contracts import Contract
from vmaf_train.errors import InputError
from vmaf_train.extraction.logs import FrameScores
from vmaf_train.files import write_whole
from vmaf_train.teacher.teachers import DEFAULT_TEACHER, Teacher, find_teacher

SCHEMA_VERSION = 2
# Options of the pass beside the teacher.
FEATURE_OPTIONS = "default"
log = logging.getLogger(__name__)


class Identity(Contract):
    """Everything that a clip's features and scores depend on."""

    schema_version: int = SCHEMA_VERSION
    ref: FileStamp
    dis: FileStamp
    width: int
    height: int
    pix_fmt: str
    frames: tuple[int, int] | None = None
    libvmaf_version: str
    teacher: str = DEFAULT_TEACHER.name
    feature_options: str = FEATURE_OPTIONS


class Envelope(Contract):
    """The JSON file: identity, one column per feature, teacher scores; all of equal length."""

    identity: Identity
    features: dict[str, list[float]]
    teacher_scores: list[float]

    @model_validator(mode="after")
    def _columns_agree(self) -> "Envelope":
        names = set(self.features)
        try:
            teacher = find_teacher(self.identity.teacher)
        except InputError as error:
            raise ValueError(str(error)) from error
        if not set(teacher.features) <= names <= set(teacher.logged):
            raise ValueError(f"features {sorted(names)} are not those of a pass")
        lengths = {len(column) for column in self.features.values()}
        if lengths != {len(self.teacher_scores)}:
            raise ValueError(
                f"columns of {lengths} frames beside {len(self.teacher_scores)} teacher scores"
            )
        return self


def cache_root() -> Path:
    """Return the cache folder, which need not exist yet."""
    root = os.environ.get("VMAF_TINY_AI_CACHE") or "~/.cache/vmaf-tiny-ai"
    return Path(root).expanduser().absolute()


def identity_of(pair: Pair, libvmaf_version: str, teacher: Teacher = DEFAULT_TEACHER) -> Identity:
    """Return the identity of a pair as its files were when the folder was scanned.

    Args:
        pair: from a scan.
        libvmaf_version: that extracts its features.
        teacher: that scores it.
    """
    assert pair.ref.stamp and pair.dis.stamp, f"{pair.clip} is only a name"
    return Identity(
        ref=pair.ref.stamp,
        dis=pair.dis.stamp,
        width=pair.format.width,
        height=pair.format.height,
        pix_fmt=pair.format.pix_fmt,
        frames=pair.frames,
        libvmaf_version=libvmaf_version,
        teacher=teacher.name,
    )


class ClipCache:
    """The cache under one root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path_of(self, pair: Pair) -> Path:
        """Return the file that holds, or would hold, the pair's envelope."""
        part = ".{}-{}".format(*pair.frames) if pair.frames else ""
        return self.root / pair.source / f"{pair.clip}{part}.json"

    def load(self, pair: Pair, identity: Identity) -> FrameScores | None:
        """Return what is stored for the pair under this identity; None is a miss."""
        path = self.path_of(pair)
        try:
            envelope = Envelope.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            log.warning(
                "%s is not a valid cache file (%s); extracting the clip again", path, reason
            )
            return None
        if envelope.identity != identity or len(envelope.teacher_scores) != pair.n_frames:
            return None

        logged = find_teacher(identity.teacher).logged
        features = tuple(name for name in logged if name in envelope.features)
        columns = np.array([envelope.features[name] for name in features])
        return FrameScores(features, columns.T.copy(), np.array(envelope.teacher_scores))

    def store(self, pair: Pair, identity: Identity, scores: FrameScores) -> None:
        """Write the pair's envelope.

        Raises:
            InputError: the folder cannot be written.
        """
        envelope = Envelope(
            identity=identity,
            features=dict(zip(scores.features, scores.x_NF.T.tolist(), strict=True)),
            teacher_scores=scores.y_N.tolist(),
        )
        self._write(self.path_of(pair), envelope.model_dump_json().encode())

    def check_writable(self) -> None:
        """Find out now, not after an hour of extraction, whether the folder can be written.

        Raises:
            InputError: it cannot.
        """
        probe = self.root / f".writable-{os.getpid()}"
        self._write(probe, b"")
        probe.unlink(missing_ok=True)

    def _write(self, path: Path, content: bytes) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
        except OSError as error:
            raise InputError(
                f"cannot write the cache {path}: {error.strerror}; free some space or set "
                "VMAF_TINY_AI_CACHE to a folder that can be written, then run again"
            ) from error
