"""The rows a student learns from and is judged on: one table of frames, its digest, its files, the hold-out split."""

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from vmaf_train.clips.layout import Pair
from vmaf_train.errors import InputError
from vmaf_train.extraction.libvmaf import FrameScores
from vmaf_train.features import CANONICAL, TEACHER, TEACHER_KEY

PARQUET_KEY = b"vmaf_train"
DEFAULT_HOLD_OUT = "Tennis"


@dataclass(frozen=True, eq=False)
class FrameTable:
    """Frames of many clips; the frames of a clip stand together, in time order, and the clips in index order.

    Attributes:
        features: column names of `x_NF`.
        x_NF: float64 of shape (frames, features), raw libvmaf values.
        y_N: float64 of shape (frames,), teacher scores, 0 to 100.
        clip_N: int32 of shape (frames,), index into `clips`.
        clips: clip names.
        clip_sources: the source of each clip, parallel to `clips`.
    """

    features: tuple[str, ...]
    x_NF: np.ndarray
    y_N: np.ndarray
    clip_N: np.ndarray
    clips: tuple[str, ...]
    clip_sources: tuple[str, ...]

    @classmethod
    def from_clips(
        cls, clips: Sequence[tuple[Pair, FrameScores]], features: Sequence[str] = CANONICAL.features
    ) -> "FrameTable":
        """Join some features of the frames of several clips.

        Raises:
            InputError: a clip does not have one of them.
        """
        pairs, scores = zip(*clips, strict=True)
        return cls(
            features=tuple(features),
            x_NF=np.concatenate(
                [clip.x_NF[:, columns_of(clip.features, features)] for clip in scores]
            ),
            y_N=np.concatenate([clip.y_N for clip in scores]),
            clip_N=np.repeat(
                np.arange(len(scores), dtype=np.int32), [len(clip.y_N) for clip in scores]
            ),
            clips=tuple(pair.clip for pair in pairs),
            clip_sources=tuple(pair.source for pair in pairs),
        )

    def __len__(self) -> int:
        return len(self.y_N)

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the sources, sorted, each once."""
        return tuple(sorted(set(self.clip_sources)))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over clip names, features and scores, independent of paths and of the order of the clips."""
        total = hashlib.sha256(json.dumps(self.features).encode())
        for index in sorted(
            range(len(self.clips)), key=lambda i: (self.clip_sources[i], self.clips[i])
        ):
            x_NF, y_N = self.x_NF[self.rows_of(index)], self.y_N[self.rows_of(index)]
            total.update(
                json.dumps([self.clip_sources[index], self.clips[index], len(y_N)]).encode()
            )
            total.update(x_NF.tobytes())
            total.update(y_N.tobytes())
        return total.hexdigest()

    def rows_of(self, clip: int) -> slice:
        """Return the rows of the clip with this index."""
        return slice(self._starts[clip], self._starts[clip + 1])

    @cached_property
    def _starts(self) -> list[int]:
        starts: list[int] = np.searchsorted(self.clip_N, np.arange(len(self.clips) + 1)).tolist()
        return starts

    def window_rows(self, window: int) -> np.ndarray:
        """Return the rows of the window around each frame: int64 of shape (frames, window), len(self) beyond a clip."""
        rows = np.arange(len(self))[:, None] + np.arange(window) - window // 2
        inside = (rows >= 0) & (rows < len(self))
        inside &= self.clip_N[rows.clip(0, len(self) - 1)] == self.clip_N[:, None]
        return np.where(inside, rows, len(self))

    def only(self, sources: Iterable[str]) -> "FrameTable":
        """Return the frames of the given sources alone."""
        wanted = set(sources)
        return self.take(
            [index for index, source in enumerate(self.clip_sources) if source in wanted]
        )

    def take(self, clips: Sequence[int]) -> "FrameTable":
        """Return the frames of the clips with these indices, which ascend."""
        rows = np.isin(self.clip_N, clips)
        renumbered = np.full(len(self.clips), -1, dtype=np.int32)
        renumbered[clips] = np.arange(len(clips), dtype=np.int32)
        return FrameTable(
            features=self.features,
            x_NF=self.x_NF[rows],
            y_N=self.y_N[rows],
            clip_N=renumbered[self.clip_N[rows]],
            clips=tuple(self.clips[index] for index in clips),
            clip_sources=tuple(self.clip_sources[index] for index in clips),
        )

    def select(self, features: Sequence[str]) -> "FrameTable":
        """Return the same frames with these features alone.

        Raises:
            InputError: there is no such feature.
        """
        if tuple(features) == self.features:
            return self
        x_NF = np.ascontiguousarray(self.x_NF[:, columns_of(self.features, features)])
        return replace(self, features=tuple(features), x_NF=x_NF)


def columns_of(present: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Return where the wanted features stand among those present.

    Raises:
        InputError: one is not there.
    """
    if missing := [name for name in wanted if name not in present]:
        raise InputError(
            f"no {', '.join(missing)} among the features {', '.join(present)}; this libvmaf does not log them: "
            "unset VMAF_FFMPEG to use the ffmpeg of imageio-ffmpeg"
        )
    return [present.index(name) for name in wanted]


class ExportedClip(BaseModel):
    """One clip of an exported file: its name, how many frames it has, and the identity of what made them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: str
    clip: str
    n_frames: int
    identity: dict[str, Any]


class ExportedFacts(BaseModel):
    """What an exported file says of itself, as JSON under the key `vmaf_train` of its Parquet metadata."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_version: Literal[1] = 1
    features: tuple[str, ...]
    teacher: str
    libvmaf_version: str
    digest: str
    clips: tuple[ExportedClip, ...]


def write_parquet(
    table: FrameTable, path: Path, libvmaf_version: str, identities: Iterable[dict[str, Any]]
) -> None:
    """Write a table as Parquet: a row a frame with source, clip, frame, every feature and the teacher's score (vmaf).

    Args:
        table: the frames.
        path: of the file; written beside its place and renamed.
        libvmaf_version: that computed the features.
        identities: of the clips, in the table's order.

    Raises:
        InputError: the file cannot be written.
    """
    import pyarrow as pa
    from pyarrow import parquet

    counts = np.bincount(table.clip_N, minlength=len(table.clips))
    clips = [
        ExportedClip(source=source, clip=clip, n_frames=int(n_frames), identity=identity)
        for source, clip, n_frames, identity in zip(
            table.clip_sources, table.clips, counts, identities, strict=True
        )
    ]
    facts = ExportedFacts(
        features=table.features,
        teacher=TEACHER,
        libvmaf_version=libvmaf_version,
        digest=table.digest,
        clips=tuple(clips),
    )
    names = {"source": table.clip_sources, "clip": table.clips}
    columns: dict[str, Any] = {
        name: pa.DictionaryArray.from_arrays(table.clip_N, pa.array(values))
        for name, values in names.items()
    }
    columns["frame"] = np.concatenate([np.arange(n_frames, dtype=np.int32) for n_frames in counts])
    columns |= dict(zip(table.features, table.x_NF.T, strict=True))
    columns[TEACHER_KEY] = table.y_N
    rows = pa.table(columns).replace_schema_metadata({PARQUET_KEY: facts.model_dump_json()})
    part = path.with_name(f".{path.name}.part")
    try:
        try:
            parquet.write_table(rows, part, compression="zstd")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error}; name a file in a folder that can be written"
        ) from error


@dataclass(frozen=True, eq=False)
class Exported:
    """The frames of an exported file and the libvmaf that computed them."""

    table: FrameTable
    libvmaf_version: str


def read_parquet(path: Path) -> Exported:
    """Read what `write_parquet` wrote, and hold the rows against the digest.

    Raises:
        InputError: no such file, or its rows are not those that were exported.
    """
    import pyarrow as pa
    from pyarrow import parquet

    again = "write it with: vmaf-train export-features OUT.parquet --corpus FOLDER"
    try:
        facts = ExportedFacts.model_validate_json(
            (parquet.read_schema(path).metadata or {})[PARQUET_KEY]
        )
        rows = parquet.read_table(path, columns=[*facts.features, TEACHER_KEY])
        table = FrameTable(
            features=facts.features,
            x_NF=np.stack([rows[name].to_numpy() for name in facts.features], axis=1),
            y_N=rows[TEACHER_KEY].to_numpy(),
            clip_N=np.repeat(
                np.arange(len(facts.clips), dtype=np.int32), [clip.n_frames for clip in facts.clips]
            ),
            clips=tuple(clip.clip for clip in facts.clips),
            clip_sources=tuple(clip.source for clip in facts.clips),
        )
    except FileNotFoundError as error:
        raise InputError(f"no file {path}; {again}") from error
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else repr(error)
        raise InputError(f"{path} is no file of exported features ({reason}); {again}") from error
    if len(table.y_N) != len(table.clip_N) or table.digest != facts.digest:
        raise InputError(
            f"{path}: its rows are not those that were exported (their digest differs); {again}"
        )
    return Exported(table, facts.libvmaf_version)


def pack(table: FrameTable, score_N: np.ndarray) -> bytes:
    """Pack a table and a student's scores of it (float64 of shape (frames,)) into a compressed NumPy archive."""
    packed = io.BytesIO()
    columns: dict[str, Any] = {
        field.name: np.asarray(getattr(table, field.name)) for field in fields(table)
    }
    np.savez_compressed(packed, score_N=score_N, **columns)
    return packed.getvalue()


def unpack(content: bytes) -> tuple[FrameTable, np.ndarray]:
    """Read back what `pack` wrote.

    Raises:
        InputError: it is no such archive.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            columns: dict[str, Any] = {name: arrays[name] for name in arrays.files}
        for name in ("features", "clips", "clip_sources"):
            columns[name] = tuple(columns[name].tolist())
        score_N = columns.pop("score_N")
        return FrameTable(**columns), score_N
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise InputError(
            f"not an archive of held-out frames: {error!r}; train again to have one logged"
        ) from error


def choose_hold_out(sources: Iterable[str], wanted: str = "auto") -> str:
    """Return the validation source: the one asked for, or with "auto" Tennis, else the last by name.

    Raises:
        InputError: the source is not in the corpus, or it is the only one and nothing is left to train on.
    """
    known = sorted(set(sources))
    if wanted == "auto":
        wanted = DEFAULT_HOLD_OUT if DEFAULT_HOLD_OUT in known else known[-1]
    if wanted not in known:
        raise InputError(
            f"val_source {wanted} is not in the corpus; choose one of: {', '.join(known)}, or auto"
        )
    if len(known) == 1:
        raise InputError(
            f"{wanted} is the only source, so nothing is left to train on; use a corpus (or max_pairs) of two or more"
        )
    return wanted


def choose_folds(clip_sources: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the sources to hold out in turn: those asked for, or all of them.

    Raises:
        InputError: one is not in the corpus, nothing would be left to train on, or they hold a single clip.
    """
    present = sorted(set(clip_sources))
    chosen = tuple(dict.fromkeys(wanted)) or tuple(present)
    if unknown := [fold for fold in chosen if fold not in present]:
        raise InputError(
            f"folds {', '.join(unknown)} not in the corpus; choose some of: {', '.join(present)}, or all"
        )
    choose_hold_out(present)
    if sum(source in chosen for source in clip_sources) < 2:
        raise InputError(
            f"{', '.join(chosen)} has one pair, which settles no difference; choose folds with two or more"
        )
    return chosen


def split(table: FrameTable, hold_out: str) -> tuple[FrameTable, FrameTable]:
    """Return (training, validation): every other source, and the held-out one."""
    return table.only(set(table.sources) - {hold_out}), table.only({hold_out})
