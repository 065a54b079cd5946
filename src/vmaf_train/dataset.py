"""The rows a student learns from and is judged on: one table of frames, its digest, and the hold-out split."""

import hashlib
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any
from zipfile import BadZipFile

import numpy as np

from vmaf_train.corpus import Pair
from vmaf_train.errors import InputError
from vmaf_train.libvmaf import FrameScores

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
    def from_clips(cls, clips: Iterable[tuple[Pair, FrameScores]]) -> "FrameTable":
        """Join the frame scores of several clips."""
        pairs, scores = zip(*clips, strict=True)
        return cls(
            features=scores[0].features,
            x_NF=np.concatenate([clip.x_NF for clip in scores]),
            y_N=np.concatenate([clip.y_N for clip in scores]),
            clip_N=np.repeat(np.arange(len(scores), dtype=np.int32), [len(clip.y_N) for clip in scores]),
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
        for index in sorted(range(len(self.clips)), key=lambda i: (self.clip_sources[i], self.clips[i])):
            x_NF, y_N = self.x_NF[self.rows_of(index)], self.y_N[self.rows_of(index)]
            total.update(json.dumps([self.clip_sources[index], self.clips[index], len(y_N)]).encode())
            total.update(x_NF.tobytes())
            total.update(y_N.tobytes())
        return total.hexdigest()

    def rows_of(self, clip: int) -> slice:
        """Return the rows of the clip with this index."""
        return slice(*np.searchsorted(self.clip_N, (clip, clip + 1)))

    def window_rows(self, window: int) -> np.ndarray:
        """Return the rows of the window around each frame: int64 of shape (frames, window), len(self) beyond a clip."""
        rows = np.arange(len(self))[:, None] + np.arange(window) - window // 2
        inside = (rows >= 0) & (rows < len(self))
        inside &= self.clip_N[rows.clip(0, len(self) - 1)] == self.clip_N[:, None]
        return np.where(inside, rows, len(self))

    def only(self, sources: Iterable[str]) -> "FrameTable":
        """Return the frames of the given sources alone."""
        wanted = set(sources)
        kept = [index for index, source in enumerate(self.clip_sources) if source in wanted]
        rows = np.isin(self.clip_N, kept)
        renumbered = np.full(len(self.clips), -1, dtype=np.int32)
        renumbered[kept] = np.arange(len(kept), dtype=np.int32)
        return FrameTable(
            features=self.features,
            x_NF=self.x_NF[rows],
            y_N=self.y_N[rows],
            clip_N=renumbered[self.clip_N[rows]],
            clips=tuple(self.clips[index] for index in kept),
            clip_sources=tuple(self.clip_sources[index] for index in kept),
        )


def pack(table: FrameTable, score_N: np.ndarray) -> bytes:
    """Pack a table and a student's scores of it (float64 of shape (frames,)) into a compressed NumPy archive."""
    packed = io.BytesIO()
    columns: dict[str, Any] = {field.name: np.asarray(getattr(table, field.name)) for field in fields(table)}
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
        raise InputError(f"not an archive of held-out frames: {error!r}; train again to have one logged") from error


def choose_hold_out(sources: Iterable[str], wanted: str = "auto") -> str:
    """Return the validation source: the one asked for, or with "auto" Tennis, else the last by name.

    Raises:
        InputError: the source is not in the corpus, or it is the only one and nothing is left to train on.
    """
    known = sorted(set(sources))
    if wanted == "auto":
        wanted = DEFAULT_HOLD_OUT if DEFAULT_HOLD_OUT in known else known[-1]
    if wanted not in known:
        raise InputError(f"val_source {wanted} is not in the corpus; choose one of: {', '.join(known)}, or auto")
    if len(known) == 1:
        raise InputError(
            f"{wanted} is the only source, so nothing is left to train on; use a corpus (or max_pairs) of two or more"
        )
    return wanted


def split(table: FrameTable, hold_out: str) -> tuple[FrameTable, FrameTable]:
    """Return (training, validation): every other source, and the held-out one."""
    return table.only(set(table.sources) - {hold_out}), table.only({hold_out})
