"""The cache: one JSON envelope per clip, with the results of a pass and the identity of its input.

Path: `$VMAF_TINY_AI_CACHE/<source>/<clip>.json`, by default below `~/.cache/vmaf-tiny-ai`; for a
range of frames, `<clip>.<first>-<end>.json`, and `.offset<n>` before the ending for an offset. An
envelope with another identity is a miss, and so is a file that does not parse. Writes are atomic.
Removing the folder is always safe.
"""

import logging
import os
from pathlib import Path

import numpy as np
from pydantic import ValidationError, model_validator

from vmaf_train.clips.pairs import Pair
from vmaf_train.clips.video import SCALER, FileStamp
from vmaf_train.contracts import Contract
from vmaf_train.errors import InputError
from vmaf_train.extraction.logs import FrameScores
from vmaf_train.files import write_whole
from vmaf_train.teacher.teachers import DEFAULT_TEACHER, Teacher, find_teacher

SCHEMA_VERSION = 2
# Options of the pass, apart from the teacher.
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
    # How dis was scaled to the size of ref, and how many frames it lags; older entries lack these.
    scaled_by: str | None = None
    offset: int = 0

    def is_of(self, other: "Identity") -> bool:
        """Tell whether both stand for the same result; files are compared by their stamps."""
        same_files = self.ref.is_of(other.ref) and self.dis.is_of(other.dis)
        return same_files and self.model_copy(update={"ref": other.ref, "dis": other.dis}) == other


class Envelope(Contract):
    """The JSON file: the identity, and columns of equal length for each feature and the teacher."""

    identity: Identity
    features: dict[str, list[float]]
    teacher_scores: list[float]
    # By how many frames the clip seems to be off, and its PSNR; older entries lack them.
    offset_found: int = 0
    psnr: float | None = None

    @model_validator(mode="after")
    def _columns_agree(self) -> "Envelope":
        names = set(self.features)
        try:
            teacher = find_teacher(self.identity.teacher)
        except InputError as error:
            raise ValueError(str(error)) from error
        if not set(teacher.features) <= names <= set(teacher.logged):
            raise ValueError(f"features {sorted(names)} are not those that a pass logs")
        lengths = {len(column) for column in self.features.values()}
        if lengths != {len(self.teacher_scores)}:
            raise ValueError(
                f"features have {lengths} frames, teacher_scores has {len(self.teacher_scores)}"
            )
        return self


def cache_root() -> Path:
    """Return the cache folder, which need not exist yet."""
    root = os.environ.get("VMAF_TINY_AI_CACHE") or "~/.cache/vmaf-tiny-ai"
    return Path(root).expanduser().absolute()


def identity_of(pair: Pair, libvmaf_version: str, teacher: Teacher = DEFAULT_TEACHER) -> Identity:
    """Return the identity of a pair, with its files as they were when the folder was scanned.

    Args:
        pair: a pair from a scan.
        libvmaf_version: version of the libvmaf that extracts its features.
        teacher: the teacher that scores it.
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
        scaled_by=SCALER if pair.dis.scaled_to else None,
        offset=pair.offset,
    )


class ClipCache:
    """The cache under one root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path_of(self, pair: Pair) -> Path:
        """Return the path of the pair's envelope, which may not exist yet."""
        part = ".{}-{}".format(*pair.frames) if pair.frames else ""
        part += f".offset{pair.offset}" if pair.offset else ""
        return self.root / pair.source / f"{pair.clip}{part}.json"

    def load(self, pair: Pair, identity: Identity) -> FrameScores | None:
        """Return the scores of the pair if they are stored with this identity; None is a miss."""
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
        if not identity.is_of(envelope.identity) or len(envelope.teacher_scores) != pair.n_frames:
            return None

        logged = find_teacher(identity.teacher).logged
        features = tuple(name for name in logged if name in envelope.features)
        columns = np.array([envelope.features[name] for name in features])
        scores = np.array(envelope.teacher_scores)
        return FrameScores(features, columns.T.copy(), scores, envelope.offset_found, envelope.psnr)

    def store(self, pair: Pair, identity: Identity, scores: FrameScores) -> None:
        """Write the pair's envelope.

        Raises:
            InputError: the folder cannot be written.
        """
        envelope = Envelope(
            identity=identity,
            features=dict(zip(scores.features, scores.x_NF.T.tolist(), strict=True)),
            teacher_scores=scores.y_N.tolist(),
            offset_found=scores.offset,
            psnr=scores.psnr,
        )
        self._write(self.path_of(pair), envelope.model_dump_json().encode())

    def check_writable(self) -> None:
        """Check that the folder can be written, before an hour of extraction.

        Raises:
            InputError: the folder cannot be written.
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
