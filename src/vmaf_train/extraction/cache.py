"""The cache: one JSON envelope per clip, with the results of a pass and the identity of its input.

Path: `$VMAF_TINY_AI_CACHE/<source>/<clip>.json`, by default below `~/.cache/vmaf-tiny-ai`; for a
range of frames, `<clip>.<first>-<end>.json`, and `.offset<n>` before the ending for an offset. An
envelope with another identity is a miss. Writes are atomic. Removing the folder is always safe.

The first key of the file is the SHA-256 of the rest. A file is believed only with it; any other is
damaged: a miss, of which a warning tells, and which the next pass replaces. Entries of older
versions have no hash. They are believed if their values are possible, and then get one.
"""

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError, model_validator

from vmaf_train.clips.pairs import Pair
from vmaf_train.clips.video import SCALER, FileStamp
from vmaf_train.contracts import Contract
from vmaf_train.errors import InputError
from vmaf_train.extraction.logs import FrameScores, check_possible
from vmaf_train.feature_names import parse_feature
from vmaf_train.files import read_whole, write_whole
from vmaf_train.teacher.teachers import DEFAULT_TEACHER, TEACHERS, Teacher, find_teacher

SCHEMA_VERSION, SCHEMA_OF_ONE_TEACHER = 3, 2
# Options of the pass, apart from the teacher.
FEATURE_OPTIONS = "default"
# The start of a file with a hash.
SEAL = re.compile(rb'\{"sha256":"([0-9a-f]{64})",')
# The most bytes of an entry: a start, and per frame 64 columns of 26 characters.
MOST_BYTES, MOST_BYTES_PER_FRAME = 1 << 16, 64 * 26
log = logging.getLogger(__name__)


class Identity(Contract):
    """Everything that a clip's features depend on; scores also depend on their teacher."""

    schema_version: int = SCHEMA_VERSION
    ref: FileStamp
    dis: FileStamp
    width: int
    height: int
    pix_fmt: str
    frames: tuple[int, int] | None = None
    libvmaf_version: str
    feature_options: str = FEATURE_OPTIONS
    # How dis was scaled to the size of ref, and how many frames it lags; older entries lack these.
    scaled_by: str | None = None
    offset: int = 0

    def is_of(self, other: "Identity") -> bool:
        """Tell whether both stand for the same result; files are compared by their stamps."""
        same_files = self.ref.is_of(other.ref) and self.dis.is_of(other.dis)
        return same_files and self.model_copy(update={"ref": other.ref, "dis": other.dis}) == other


class Envelope(Contract):
    """The JSON file: the identity, and columns of equal length for each feature and each teacher.

    Passes with further teachers add their columns.
    """

    identity: Identity
    # Paths of reference and distorted file when it was written; older entries lack them. They are
    # for `cache ls`: the identity says which files an entry is of.
    files: tuple[str, str] | None = None
    features: dict[str, list[float]]
    scores: dict[str, list[float]]
    # By how many frames the clip seems to be off, and its PSNR; older entries lack them.
    offset_found: int = 0
    psnr: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_one_teacher(cls, content: Any) -> Any:
        """Read an older entry, which holds one teacher and names it in the identity."""
        if not isinstance(content, dict) or "teacher_scores" not in content:
            return content
        if not isinstance(identity := content.get("identity"), dict):
            return content
        identity = dict(identity)
        teacher = identity.pop("teacher", DEFAULT_TEACHER.name)
        if identity.get("schema_version") == SCHEMA_OF_ONE_TEACHER:
            identity["schema_version"] = SCHEMA_VERSION
        rest = {key: value for key, value in content.items() if key != "teacher_scores"}
        return {**rest, "identity": identity, "scores": {teacher: content["teacher_scores"]}}

    @model_validator(mode="after")
    def _columns_agree(self) -> "Envelope":
        for name in self.features:
            try:
                parse_feature(name)
            except InputError as error:
                raise ValueError(str(error)) from error
        for teacher in map(find_teacher, self.scores.keys() & set(TEACHERS)):
            if missing := set(teacher.features) - self.features.keys():
                raise ValueError(f"it lacks {', '.join(sorted(missing))} of {teacher.name}")
        lengths = {len(column) for column in (*self.features.values(), *self.scores.values())}
        if len(lengths) != 1:
            raise ValueError(f"its columns have different lengths: {sorted(lengths)}")
        return self

    def check_possible(self) -> None:
        """Check the values of an entry without a hash.

        Raises:
            ValueError: libvmaf does not give such values.
        """
        check_possible(self.features, self.scores)

    def holds(self, teacher: Teacher) -> bool:
        """Tell whether the scores and the features of a teacher are here."""
        return teacher.name in self.scores and set(teacher.features) <= self.features.keys()


def cache_root() -> Path:
    """Return the cache folder, which need not exist yet."""
    root = os.environ.get("VMAF_TINY_AI_CACHE") or "~/.cache/vmaf-tiny-ai"
    return Path(root).expanduser().absolute()


def files_of(pair: Pair) -> tuple[str, str] | None:
    """Return the absolute paths of a pair's files; None if JSON cannot hold them."""
    paths = str(pair.ref.path.absolute()), str(pair.dis.path.absolute())
    try:
        "".join(paths).encode()
    except UnicodeEncodeError:  # a name that is not UTF-8
        return None
    return paths


def _finds_files(envelope: Envelope, pair: Pair) -> bool:
    """Tell whether the paths in an entry name these files, or a copy that is still there."""
    own = files_of(pair)
    if envelope.files is None:
        return own is None
    return envelope.files == own or all(Path(name).exists() for name in envelope.files)


def identity_of(pair: Pair, libvmaf_version: str) -> Identity:
    """Return the identity of a pair, with its files as they were when the folder was scanned.

    Args:
        pair: a pair from a scan.
        libvmaf_version: version of the libvmaf that extracts its features.
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
        scaled_by=SCALER if pair.dis.scaled_to else None,
        offset=pair.offset,
    )


class _DamagedError(Exception):
    """A file of the cache is not what was written; the message says why."""


def seal(body: bytes) -> bytes:
    """Return a JSON object with the hash of its bytes as first key."""
    return b'{"sha256":"' + hashlib.sha256(body).hexdigest().encode() + b'",' + body[1:]


def unseal(content: bytes) -> tuple[bytes, bool]:
    """Return a JSON object without its hash, and whether it had one.

    Raises:
        ValueError: the hash is of other bytes.
    """
    found = SEAL.match(content)
    if not found:
        return content, False
    body = b"{" + content[found.end() :]
    if hashlib.sha256(body).hexdigest().encode() != found[1]:
        raise ValueError("its content was changed after it was written")
    return body, True


class ClipCache:
    """The cache under one root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path_of(self, pair: Pair) -> Path:
        """Return the path of the pair's envelope, which may not exist yet."""
        part = ".{}-{}".format(*pair.frames) if pair.frames else ""
        part += f".offset{pair.offset}" if pair.offset else ""
        return self.root / pair.source / f"{pair.clip}{part}.json"

    def load(
        self, pair: Pair, identity: Identity, teachers: Sequence[Teacher] = (DEFAULT_TEACHER,)
    ) -> FrameScores | None:
        """Return what is stored with this identity; None is a miss.

        Args:
            pair: the pair.
            identity: of its files and of the pass.
            teachers: the teachers whose scores are wanted; some may be missing in the result.
        """
        try:
            envelope = self._read(pair, identity)
        except _DamagedError as error:
            log.warning(
                "%s is not a valid cache file (%s); extracting the clip again",
                self.path_of(pair),
                error,
            )
            return None
        held = [teacher for teacher in teachers if envelope and envelope.holds(teacher)]
        if envelope is None or not held:
            return None

        logged = dict.fromkeys(name for teacher in held for name in teacher.logged)
        features = tuple(name for name in logged if name in envelope.features)
        columns = np.array([envelope.features[name] for name in features])
        scores = {teacher.name: np.array(envelope.scores[teacher.name]) for teacher in held}
        return FrameScores(features, columns.T.copy(), scores, envelope.offset_found, envelope.psnr)

    def store(self, pair: Pair, identity: Identity, scores: FrameScores) -> None:
        """Write the pair's envelope, with what it holds already of other teachers.

        Raises:
            InputError: the folder cannot be written.
        """
        held = None
        # `load` has told of a damaged file.
        with suppress(_DamagedError):
            held = self._read(pair, identity)
        features = dict(zip(scores.features, scores.x_NF.T.tolist(), strict=True))
        by_teacher = {name: y_N.tolist() for name, y_N in scores.scores.items()}
        envelope = Envelope(
            identity=identity,
            files=files_of(pair),
            features={**held.features, **features} if held else features,
            scores={**held.scores, **by_teacher} if held else by_teacher,
            offset_found=scores.offset,
            psnr=scores.psnr,
        )
        self._write(self.path_of(pair), seal(envelope.model_dump_json().encode()))

    def _read(self, pair: Pair, identity: Identity) -> Envelope | None:
        """Return the pair's envelope if it has this identity.

        Raises:
            _DamagedError: the file is damaged.
        """
        path = self.path_of(pair)
        try:
            content = read_whole(path, MOST_BYTES + MOST_BYTES_PER_FRAME * pair.n_frames)
            body, sealed = unseal(content)
            envelope = Envelope.model_validate_json(body)
            if not sealed:
                envelope.check_possible()
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise _DamagedError(error.errors()[0]["msg"]) from error
        except (InputError, ValueError) as error:
            raise _DamagedError(str(error)) from error
        lengths = {len(column) for column in envelope.features.values()}
        fits = identity.is_of(envelope.identity) and lengths == {pair.n_frames}
        if fits and not (sealed and _finds_files(envelope, pair)):
            renewed = envelope.model_copy(update={"files": files_of(pair)})
            # A cache that cannot be written still serves.
            with suppress(InputError):
                self._write(path, seal(renewed.model_dump_json().encode()))
        return envelope if fits else None

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
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            write_whole(path, content)
        except OSError as error:
            raise InputError(
                f"cannot write the cache {path}: {error.strerror}; free some space or set "
                "VMAF_TINY_AI_CACHE to a folder that can be written, then run again"
            ) from error
