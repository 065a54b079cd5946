"""The per-clip store: one JSON envelope a clip, holding one libvmaf pass and the identity of all that made it.

`$VMAF_TINY_AI_CACHE/<source>/<clip>.json`, default `~/.cache/vmaf-tiny-ai`; a range of frames has its own,
`<clip>.<first>-<end>.json`. Another identity is a miss; so is a file that does not parse. Written beside its place
and renamed, so a reader sees the old or the new one, whole. Removing the folder is always safe.
"""

import logging
import os
import tempfile
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from vmaf_train.clips.layout import FileStamp, Pair
from vmaf_train.errors import InputError
from vmaf_train.extraction.libvmaf import FEATURE_OPTIONS, FrameScores
from vmaf_train.features import ADM_DETAILS, CANONICAL, TEACHER

SCHEMA_VERSION = 2
log = logging.getLogger(__name__)


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Identity(_Contract):
    """Everything that a clip's features and scores depend on."""

    schema_version: int = SCHEMA_VERSION
    ref: FileStamp
    dis: FileStamp
    width: int
    height: int
    pix_fmt: str
    frames: tuple[int, int] | None = None
    libvmaf_version: str
    teacher: str = TEACHER
    feature_options: str = FEATURE_OPTIONS


class Envelope(_Contract):
    """The JSON file: identity, one column per feature, the teacher's scores; all columns equally long."""

    identity: Identity
    features: dict[str, list[float]]
    teacher_scores: list[float]

    @model_validator(mode="after")
    def _columns_agree(self) -> "Envelope":
        names = set(self.features)
        if not names >= set(CANONICAL.features) or not names <= {*CANONICAL.features, *ADM_DETAILS}:
            raise ValueError(f"features {sorted(names)} are not those of a pass")
        if lengths := {len(column) for column in self.features.values()} - {
            len(self.teacher_scores)
        }:
            raise ValueError(
                f"columns of {lengths} frames beside {len(self.teacher_scores)} teacher scores"
            )
        return self


def cache_root() -> Path:
    """Return the cache folder: $VMAF_TINY_AI_CACHE, else ~/.cache/vmaf-tiny-ai. It need not exist yet."""
    return (
        Path(os.environ.get("VMAF_TINY_AI_CACHE") or "~/.cache/vmaf-tiny-ai")
        .expanduser()
        .absolute()
    )


def identity_of(pair: Pair, libvmaf_version: str) -> Identity:
    """Return the identity of a pair as its files were when the folder was scanned."""
    assert pair.stamps, f"{pair.clip} is only a name"
    ref, dis = pair.stamps
    return Identity(
        ref=ref,
        dis=dis,
        width=pair.format.width,
        height=pair.format.height,
        pix_fmt=pair.format.pix_fmt,
        frames=pair.frames,
        libvmaf_version=libvmaf_version,
    )


class ClipCache:
    """The store under one root folder.

    Raises:
        InputError: from `check_writable` and `store`, when the folder cannot be written.
    """

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
            first = error.errors()[0]
            log.warning(
                "%s is not a valid cache file (%s); extracting the clip again", path, first["msg"]
            )
            return None
        if envelope.identity != identity or len(envelope.teacher_scores) != pair.n_frames:
            return None
        features = tuple(
            name for name in (*CANONICAL.features, *ADM_DETAILS) if name in envelope.features
        )
        columns = np.array([envelope.features[name] for name in features])
        return FrameScores(features, columns.T.copy(), np.array(envelope.teacher_scores))

    def store(self, pair: Pair, identity: Identity, scores: FrameScores) -> None:
        """Write the pair's envelope: to a temporary file beside its place, then renamed."""
        envelope = Envelope(
            identity=identity,
            features=dict(zip(scores.features, scores.x_NF.T.tolist(), strict=True)),
            teacher_scores=scores.y_N.tolist(),
        )
        self._write(self.path_of(pair), envelope.model_dump_json().encode())

    def check_writable(self) -> None:
        """Find out now, not after an hour of extraction, whether the folder can be written."""
        probe = self.root / f".writable-{os.getpid()}"
        self._write(probe, b"")
        probe.unlink(missing_ok=True)

    def _write(self, path: Path, content: bytes) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                Path(temporary).replace(path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise InputError(
                f"cannot write the cache {path}: {error.strerror}; "
                "free some space or set VMAF_TINY_AI_CACHE to a folder that can be written, then run again"
            ) from error
