"""FrameTable: the frames of many clips, on which students are trained and judged."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import numpy as np

from vmaf_train.errors import InputError
from vmaf_train.extraction.logs import FrameScores
from vmaf_train.feature_names import parse_feature
from vmaf_train.features import options_by_extractor
from vmaf_train.teacher.teachers import DEFAULT_TEACHER, Teacher


class Clip(Protocol):
    """What a table keeps of a clip, such as a Pair: its source, and its name within the source."""

    @property
    def source(self) -> str: ...

    @property
    def clip(self) -> str: ...


@dataclass(frozen=True, eq=False)
class FrameTable:
    """Frames of many clips, sorted by the index of the clip and then by time.

    Attributes:
        features: names of the columns of `x_NF`.
        x_NF: float64 of shape (frames, features), raw libvmaf values.
        y_N: float64 of shape (frames,), the teacher's frame scores, 0 to 100.
        clip_N: int32 of shape (frames,), index of each frame's clip.
        clips: the name of each clip.
        clip_sources: the source of each clip.
        teacher: the teacher whose scores `y_N` holds.
        mos_C: opinion score of each clip, higher for better quality, float64 of shape (clips,); NaN
            for a clip without one, None if no clip has one.
        psnr_C: PSNR of each clip's luma, in dB, in the same form.
    """

    features: tuple[str, ...]
    x_NF: np.ndarray
    y_N: np.ndarray
    clip_N: np.ndarray
    clips: tuple[str, ...]
    clip_sources: tuple[str, ...]
    teacher: Teacher = DEFAULT_TEACHER
    mos_C: np.ndarray | None = None
    psnr_C: np.ndarray | None = None

    @classmethod
    def from_clips(
        cls,
        clips: Sequence[tuple[Clip, FrameScores]],
        features: Sequence[str] | None = None,
        teacher: Teacher = DEFAULT_TEACHER,
    ) -> "FrameTable":
        """Join the frames of several clips.

        Args:
            clips: each clip with its scores.
            features: the columns to keep; None keeps those that the teacher reads.
            teacher: the teacher that scored the clips.

        Raises:
            InputError: a clip lacks one of the features.
        """
        named, scores = zip(*clips, strict=True)
        features = tuple(teacher.features if features is None else features)
        return cls(
            features=features,
            x_NF=np.concatenate(
                [clip.x_NF[:, columns_of(clip.features, features)] for clip in scores]
            ),
            y_N=np.concatenate([clip.scores[teacher.name] for clip in scores]),
            clip_N=np.repeat(
                np.arange(len(scores), dtype=np.int32), [len(clip) for clip in scores]
            ),
            clips=tuple(each.clip for each in named),
            clip_sources=tuple(each.source for each in named),
            teacher=teacher,
        )

    def __len__(self) -> int:
        return len(self.y_N)

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the sources, sorted."""
        return tuple(sorted(set(self.clip_sources)))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over clip names, features and scores; paths and clip order do not matter."""
        total = hashlib.sha256(json.dumps(self.features).encode())
        by_name = sorted(
            range(len(self.clips)), key=lambda i: (self.clip_sources[i], self.clips[i])
        )
        for index in by_name:
            x_NF, y_N = self.x_NF[self.rows_of(index)], self.y_N[self.rows_of(index)]
            name: list[str | float] = [self.clip_sources[index], self.clips[index], len(y_N)]
            if self.mos_C is not None and not np.isnan(self.mos_C[index]):
                name.append(float(self.mos_C[index]))
            total.update(json.dumps(name).encode())
            total.update(x_NF.tobytes())
            total.update(y_N.tobytes())
        return total.hexdigest()

    @cached_property
    def clip_rows(self) -> list[slice]:
        """The rows of each clip."""
        starts = np.searchsorted(self.clip_N, np.arange(len(self.clips) + 1)).tolist()
        return [slice(start, end) for start, end in pairwise(starts)]

    def rows_of(self, clip: int) -> slice:
        """Return the rows of the clip with this index."""
        return self.clip_rows[clip]

    def is_of(self, source: str) -> np.ndarray:
        """Tell for each frame whether it is of a source: bool of shape (frames,)."""
        clips = np.array([name == source for name in self.clip_sources])
        frames: np.ndarray = clips[self.clip_N]
        return frames

    def window_rows(self, window: int) -> np.ndarray:
        """Return the rows of the window around each frame.

        Args:
            window: number of frames, odd.

        Returns:
            int64 of shape (frames, window); `len(self)` stands for a frame beyond the clip's ends.
        """
        rows = np.arange(len(self))[:, None] + np.arange(window) - window // 2
        inside = (rows >= 0) & (rows < len(self))
        inside &= self.clip_N[rows.clip(0, len(self) - 1)] == self.clip_N[:, None]
        return np.where(inside, rows, len(self))

    def only(self, sources: Iterable[str]) -> "FrameTable":
        """Return only the frames of these sources."""
        wanted = set(sources)
        return self.take(
            [index for index, source in enumerate(self.clip_sources) if source in wanted]
        )

    def take(self, clips: Sequence[int]) -> "FrameTable":
        """Return the frames of the clips with these indices, which must be ascending."""
        rows = np.isin(self.clip_N, clips)
        renumbered = np.full(len(self.clips), -1, dtype=np.int32)
        renumbered[clips] = np.arange(len(clips), dtype=np.int32)
        return replace(
            self,
            x_NF=self.x_NF[rows],
            y_N=self.y_N[rows],
            clip_N=renumbered[self.clip_N[rows]],
            clips=tuple(self.clips[index] for index in clips),
            clip_sources=tuple(self.clip_sources[index] for index in clips),
            mos_C=None if self.mos_C is None else self.mos_C[list(clips)],
            psnr_C=None if self.psnr_C is None else self.psnr_C[list(clips)],
        )

    def select(self, features: Sequence[str]) -> "FrameTable":
        """Return the same frames with only these features, in this order.

        Raises:
            InputError: the table lacks one of the features.
        """
        if tuple(features) == self.features:
            return self
        x_NF = np.ascontiguousarray(self.x_NF[:, columns_of(self.features, features)])
        return replace(self, features=tuple(features), x_NF=x_NF)


def relabelled(table: FrameTable, teacher: Teacher, name: str) -> FrameTable:
    """Return a table with the scores of another teacher, by the SVR of its model file.

    Raises:
        InputError: the table lacks a feature of the teacher.
    """
    if missing := [each for each in teacher.features if each not in table.features]:
        raise InputError(
            f"{name} holds the features of {table.teacher.name}, not the {', '.join(missing)} that "
            f"{teacher.name} reads; pass a corpus of clips"
        )
    y_N = teacher.score(table.x_NF, table.features)
    return replace(table, y_N=y_N, teacher=teacher)


def renamed(table: FrameTable, teacher: Teacher) -> FrameTable:
    """Return a table whose features have the options of another teacher, in name only.

    The vectors are then those of other frames, which the teacher can label.
    """
    options = options_by_extractor([parse_feature(name) for name in teacher.features])
    names = [parse_feature(name).with_options(options).name for name in table.features]
    return replace(table, features=tuple(names))


def rated_clips(table: FrameTable) -> np.ndarray:
    """Tell for each clip whether it has an opinion score: bool of shape (clips,)."""
    if table.mos_C is None:
        return np.zeros(len(table.clips), dtype=bool)
    known: np.ndarray = ~np.isnan(table.mos_C)
    return known


def columns_of(present: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Return the index of each wanted feature among those present.

    Raises:
        InputError: a wanted feature is not present.
    """
    if missing := [name for name in wanted if name not in present]:
        raise InputError(
            f"no {', '.join(missing)} among the features {', '.join(present)}; "
            "this libvmaf does not log them: unset VMAF_FFMPEG to use the ffmpeg of imageio-ffmpeg"
        )
    return [present.index(name) for name in wanted]
