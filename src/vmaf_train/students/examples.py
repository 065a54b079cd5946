"""The training data of a job: rows of the corpus, and the teacher's points.

Four steps lead from a table to a job's pools: keep the sources that the job may see, standardise by
these (`Student.standardise_by`), choose their targets, add the teacher's points.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vmaf_train.frames.table import FrameTable
from vmaf_train.students.architectures import Student
from vmaf_train.students.settings import MOS, TEACHER, TEACHER_AIM, Aim, Job
from vmaf_train.teacher.completion import CompletedTeacher
from vmaf_train.teacher.opinions import FrameScorer, OpinionScorer, Rated
from vmaf_train.teacher.points import cover, grid_of, mixtures
from vmaf_train.teacher.teachers import Teacher

# Rows per part of `Pool.parts`, to bound memory.
PART_ROWS = 16384
# Rows of a pool that least squares reads; more change no weight that matters.
MOST_ROWS = 262_144


@dataclass(frozen=True, eq=False)
class Examples:
    """The examples of a corpus for students of one feature set and window.

    Attributes:
        features: column names of `x`.
        x: float64 of shape (frames + 1, features), raw values of all frames, as the teacher
            corrects them; the last row, NaN, stands for every frame beyond a clip's ends.
        rows: rows of `x` that each example reads, int64 of shape (examples,) or (examples, window).
        frame_N: row of `x` of the frame that `y_N` scores, int64 of shape (examples,).
        missing_NM: float64 of shape (examples, missing), features that the teacher reads and the
            students do not.
        y_N: float64 of shape (examples,), the teacher's frame scores.
        clip_N: int32 of shape (examples,), index of each example's clip.
        clip_sources: the source of each clip.
        teacher: the teacher whose scores `y_N` holds.
        mos_C: opinion score of each clip, float64 of shape (clips,), NaN for none; None for none.
    """

    features: tuple[str, ...]
    x: np.ndarray
    rows: np.ndarray
    frame_N: np.ndarray
    missing_NM: np.ndarray
    y_N: np.ndarray
    clip_N: np.ndarray
    clip_sources: tuple[str, ...]
    teacher: Teacher
    mos_C: np.ndarray | None = None

    @classmethod
    def of(cls, table: FrameTable, features: Sequence[str], window: int) -> "Examples":
        """Return one example per frame of a table.

        Args:
            table: the frames.
            features: names of the features that the students read, in order.
            window: number of frames that one score depends on, odd.

        Raises:
            InputError: the table lacks one of the features, or one that the teacher reads.
        """
        x_NF = table.teacher.correct(table.select(features).x_NF, features)
        frame_N = np.arange(len(table))
        return cls(
            features=tuple(features),
            x=np.concatenate([x_NF, np.full((1, len(features)), np.nan)]),
            rows=table.window_rows(window) if window > 1 else frame_N,
            frame_N=frame_N,
            missing_NM=table.select(table.teacher.missing_from(features)).x_NF,
            y_N=table.y_N,
            clip_N=table.clip_N,
            clip_sources=table.clip_sources,
            teacher=table.teacher,
            mos_C=table.mos_C,
        )

    @property
    def frames(self) -> np.ndarray:
        """Raw values of each example's scored frame, float64 of shape (examples, features)."""
        x_NF: np.ndarray = self.x[self.frame_N]
        return x_NF

    def without(self, hold_out: Collection[str]) -> "Examples":
        """Return the examples of all other sources; `x` is shared and keeps all frames."""
        kept_clips = np.array([source not in hold_out for source in self.clip_sources])
        kept = kept_clips[self.clip_N]
        return replace(
            self,
            rows=self.rows[kept],
            frame_N=self.frame_N[kept],
            missing_NM=self.missing_NM[kept],
            y_N=self.y_N[kept],
            clip_N=self.clip_N[kept],
        )


@dataclass(frozen=True)
class Share:
    """Share of one kind of example, relative to the other kinds.

    Attributes:
        loss: share of the loss.
        batch: share of the rows of a batch.
    """

    loss: float
    batch: int


CORPUS = Share(loss=1.0, batch=2)
MIXTURES = Share(loss=1.0, batch=1)
COVER = Share(loss=0.3, batch=1)
# The even points are for solvers that keep the largest error over the box small.
EVEN, EVEN_POINTS = Share(loss=0.005, batch=0), 16_000
# Far from content, the completed teacher extrapolates a regression, and nobody rated anything, so
# labels count less there.
COVER_OF_COMPLETED = Share(loss=0.01, batch=1)


@dataclass(frozen=True, eq=False)
class Pool:
    """Examples of one kind, to draw batches from.

    Attributes:
        x: float64 of shape (frames, features), raw values.
        rows: rows of `x` that each example reads, int64 of shape (examples,) or (examples, window).
        y: float64 of shape (examples,), targets, in score points.
        share: share of this kind.
        even: whether the largest error of these examples counts, not their mean.
    """

    x: Tensor
    rows: Tensor
    y: Tensor
    share: Share
    even: bool = False

    def take(self, student: Student, picks: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Return standardised features and targets of some examples.

        Args:
            student: standardises them.
            picks: indices of the examples, int64 of any shape, or a slice.

        Returns:
            Features, float64 of shape (*picks, features) or (*picks, window, features), and
            targets, float64 of shape (*picks).
        """
        z = (self.x[self.rows[picks]] - student.x_mean_F) / student.x_std_F
        if self.rows.ndim > 1:
            # Frames beyond a clip's ends are NaN; they count as the mean.
            z = z.nan_to_num()
        return z, (self.y[picks] - student.y_mean) / student.y_std

    def parts(self, student: Student) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield examples, in the form of `take`, in parts that fit in memory.

        If there are more than MOST_ROWS examples, yield every second, third, ... of them.
        """
        stride = -(-len(self.y) // MOST_ROWS)
        span = PART_ROWS * stride
        for start in range(0, len(self.y), span):
            yield self.take(student, slice(start, start + span, stride))


def make_pools(
    examples: Examples,
    job: Job,
    x_mean_F: np.ndarray,
    aim: Aim = TEACHER_AIM,
    *,
    even: bool = False,
) -> list[Pool]:
    """Return the pools of a job: the corpus first, then the teacher's points.

    Args:
        examples: the examples that the job may see.
        job: gives the seed and the number of points.
        aim: what the students learn.
        x_mean_F: float64 of shape (features,), mean of the training rows; replaces the frames
            beyond a clip's ends.
        even: add points of the box whose largest error counts, where the teacher labels them
            exactly.
    """
    if not job.teacher_points and aim.targets == TEACHER:
        return [_pool_of(examples, examples.y_N)]

    teacher = CompletedTeacher(
        examples.teacher, examples.features, examples.frames, examples.missing_NM
    )
    if aim.targets == TEACHER:
        targets = _targets(examples, teacher)
        points = [*_teacher_points(examples, teacher, job, x_mean_F)]
        if even and job.teacher_points and not len(examples.missing_NM.T):
            points.append(_even_points(examples, teacher, job))
    else:
        opinions = _opinions(examples, teacher, aim)
        targets = opinions.score(examples.frames)
        points = [*_teacher_points(examples, opinions, job, x_mean_F)]
    return [pool for pool in (_pool_of(examples, targets), *points) if len(pool.y)]


def _opinions(examples: Examples, teacher: CompletedTeacher, aim: Aim) -> OpinionScorer:
    """Return the frame score that is fitted to the opinion scores of the examples' clips."""
    assert examples.mos_C is not None, "no clip has an opinion score"
    rated = Rated(examples.frames, examples.clip_N, examples.mos_C, examples.clip_sources)
    if aim.targets == MOS:
        return OpinionScorer(rated.only_rated())
    return OpinionScorer(rated, teacher, frame_weight=1.0, clip_weight=aim.mos_weight)


def _pool_of(examples: Examples, y_N: np.ndarray) -> Pool:
    x, rows, y = (torch.from_numpy(values) for values in (examples.x, examples.rows, y_N))
    return Pool(x, rows, y, CORPUS)


def _targets(examples: Examples, teacher: CompletedTeacher) -> np.ndarray:
    """Return the targets of a fit with teacher's points, float64 of shape (examples,)."""
    if len(examples.missing_NM.T):
        return _completed_targets(examples, teacher)
    return _unclipped_targets(examples, teacher)


def _completed_targets(examples: Examples, teacher: CompletedTeacher) -> np.ndarray:
    """Return the completed teacher's scores, so that rows and points agree.

    libvmaf's scores also depend on the missing features. The features that the student reads do not
    determine that part, so it must not be a target.
    """
    return teacher.score(examples.frames, clip=False)


def _unclipped_targets(examples: Examples, teacher: CompletedTeacher) -> np.ndarray:
    """Return the scores, with the teacher's unclipped score in place of each clipped one.

    The clip makes a kink, which costs a student accuracy elsewhere. A replaced score stays at or
    beyond the limit.
    """
    y_N = examples.y_N.copy()
    x_NF = examples.frames
    lowest, highest = examples.teacher.score_range
    high, low = y_N >= highest, y_N <= lowest
    y_N[high] = np.maximum(teacher.score(x_NF[high], clip=False), highest)
    y_N[low] = np.minimum(teacher.score(x_NF[low], clip=False), lowest)
    return y_N


def _teacher_points(
    examples: Examples, teacher: FrameScorer, job: Job, x_mean_F: np.ndarray
) -> Iterator[Pool]:
    """Yield a pool of mixtures and a pool that covers the feature box; each has half the points."""
    read = examples.x[examples.rows]
    read = np.where(np.isnan(read), x_mean_F, read)
    draw = np.random.default_rng([job.seed, 0])
    n_cover = job.teacher_points // 2
    n_mixed = job.teacher_points - n_cover

    box = examples.teacher.box_of(examples.features)
    mixed = mixtures(read, box, n_mixed, draw)
    # The limits of the box can make a chroma of exactly 0, which the teacher corrects.
    flat = examples.teacher.correct(mixed.reshape(-1, mixed.shape[-1]), examples.features)
    mixed = flat.reshape(mixed.shape)
    covering = cover((n_cover, *read.shape[1:-1]), box, draw)
    yield _labelled(mixed, teacher, MIXTURES)
    exact = isinstance(teacher, CompletedTeacher) and not len(examples.missing_NM.T)
    yield _labelled(covering, teacher, COVER if exact else COVER_OF_COMPLETED)


def _even_points(examples: Examples, teacher: FrameScorer, job: Job) -> Pool:
    """Return points over the box, and its corners and the middles of its edges and faces."""
    box = examples.teacher.box_of(examples.features)
    ends = box.at(grid_of(len(examples.features)))
    points = cover((EVEN_POINTS,), box, np.random.default_rng([job.seed, 2]))
    points = examples.teacher.correct(np.concatenate([points, ends]), examples.features)
    return replace(_labelled(points, teacher, EVEN), even=True)


def _labelled(points: np.ndarray, teacher: FrameScorer, share: Share) -> Pool:
    """Return points as a pool, labelled by the unclipped score; of a window, the middle frame's."""
    *shape, n_features = points.shape
    middle = points if points.ndim == 2 else points[:, points.shape[1] // 2]
    return Pool(
        x=torch.from_numpy(points.reshape(-1, n_features)),
        rows=torch.arange(points[..., 0].size).reshape(shape),
        y=torch.from_numpy(teacher.score(middle, clip=False)),
        share=share,
    )


def quotas(pools: Sequence[Pool], size: int) -> list[int]:
    """Return the number of batch rows of each pool; the corpus, the first pool, gets the rest."""
    total = sum(pool.share.batch for pool in pools)
    points = [size * pool.share.batch // total for pool in pools[1:]]
    return [size - sum(points), *points]


def root_weights(pools: Sequence[Pool], size: int) -> Tensor:
    """Return the square root of each batch row's weight in the loss: float64 of shape (size,).

    With these weights, the mean over the batch gives each pool its share of the loss.
    """
    drawn = [
        (pool.share.loss, quota)
        for pool, quota in zip(pools, quotas(pools, size), strict=True)
        if quota
    ]
    total = sum(share for share, _ in drawn)
    parts = [
        torch.full((quota,), (share / total * size / quota) ** 0.5, dtype=torch.float64)
        for share, quota in drawn
    ]
    return torch.cat(parts)


def training_rows(table: FrameTable, job: Job) -> tuple[np.ndarray, np.ndarray]:
    """Return the training rows of a job, for a student that reads the teacher's features per frame.

    Returns:
        Raw features, float64 of shape (rows, features), and targets, float64 of shape (rows,).
    """
    seen = Examples.of(table, table.teacher.features, window=1).without(job.hold_out)
    pools = make_pools(seen, job, seen.frames.mean(0))
    x = torch.cat([pool.x[pool.rows] for pool in pools])
    return x.numpy(), torch.cat([pool.y for pool in pools]).numpy()
