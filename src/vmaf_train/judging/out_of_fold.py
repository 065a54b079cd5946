"""What a student's error is on sources that it never saw, and what it learnt, out of fold.

The training sources are left out in turn: a student of the others judges each. The held-out source
is judged by the student itself. So the held-out source changes no student and no centre.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vmaf_train.frames.splits import split
from vmaf_train.frames.table import FrameTable, rated_clips
from vmaf_train.judging import conformal, familiarity
from vmaf_train.judging.conformal import pooled_errors, source_quantile
from vmaf_train.judging.evaluation import pool, score_table
from vmaf_train.judging.report import OutOfFold, PooledErrors, SourceErrors
from vmaf_train.metrics import rmse
from vmaf_train.onnx_file.expected_error import ExpectedErrorFacts
from vmaf_train.onnx_file.familiar import Familiar
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.students.architectures import find_architecture
from vmaf_train.students.export import to_onnx
from vmaf_train.students.settings import TEACHER, Job, Settings
from vmaf_train.students.training import fit_many

# With more training sources, several are left out together.
MOST_FOLDS = 64


@dataclass(frozen=True, eq=False)
class Judged:
    """Out-of-fold errors: the part of the report, and what the ONNX file states.

    Attributes:
        report: the part of the report.
        facts: what the ONNX file states.
        table: the frames of the sources that were judged.
        score_N: their scores by students that never saw the source, float64 of shape (frames,).
    """

    report: OutOfFold
    facts: ExpectedErrorFacts
    table: FrameTable
    score_N: np.ndarray


@dataclass(frozen=True, eq=False)
class _Fold:
    """Sources that are judged by a student of the others, which knows the centres of the others."""

    sources: tuple[str, ...]
    student: OnnxStudent
    familiar: Familiar


def judge_out_of_fold(
    student: OnnxStudent, arch: str, table: FrameTable, settings: Settings, *, hold_out: str
) -> Judged:
    """Fit a student per fold, and judge each source by a student that never saw it.

    A student without training, such as the teacher itself, judges every source.

    Args:
        student: the student of all sources except the held-out one.
        arch: name of its architecture.
        table: frames of every source.
        settings: settings of the student, which those of the folds share.
        hold_out: the held-out source.

    Raises:
        InputError: a fit diverged.
    """
    train, _ = split(table, hold_out)
    inputs = table.select(student.features)
    known = familiarity.learn(inputs.only(train.sources).x_NF)

    score_N, distance_N = np.empty(len(table)), np.empty(len(table))
    folds = _folds(student, arch, train, settings)
    for fold in (_Fold((hold_out,), student, known), *folds):
        for source in fold.sources:
            rows, judged = table.is_of(source), inputs.only({source})
            score_N[rows] = score_table(fold.student, judged)
            distance_N[rows] = fold.familiar.distance(judged.x_NF)

    # Without folds, only the held-out source was judged by a student that never saw it.
    unseen = [hold_out, *(source for fold in folds for source in fold.sources)]
    kept = np.isin(np.array(table.clip_sources)[table.clip_N], unseen)
    by_opinions = settings.targets != TEACHER
    return _judged(table.only(unseen), score_N[kept], distance_N[kept], known, by_opinions)


def _folds(
    student: OnnxStudent, arch: str, train: FrameTable, settings: Settings
) -> Sequence[_Fold]:
    """Fit the students of the folds; there is none if only one source is left to train on."""
    if len(train.sources) == 1:
        return []
    n = min(MOST_FOLDS, len(train.sources))
    left_out = [train.sources[number::n] for number in range(n)]
    return list(_fitted(left_out, student, arch, train, settings))


def _fitted(
    left_out: Sequence[tuple[str, ...]],
    student: OnnxStudent,
    arch: str,
    train: FrameTable,
    settings: Settings,
) -> Iterator[_Fold]:
    inputs = train.select(student.features)
    students = dict.fromkeys(left_out, student)
    if find_architecture(arch, student.features, train.teacher).trained:
        jobs = {
            sources: Job(sources, settings.seed, settings.teacher_points) for sources in left_out
        }
        fitted = fit_many(arch, train, list(jobs.values()), settings)
        students = {
            sources: OnnxStudent(to_onnx(fitted[job], {}), arch) for sources, job in jobs.items()
        }
    for sources, each in students.items():
        others = inputs.only(set(inputs.sources) - set(sources))
        yield _Fold(sources, each, familiarity.learn(others.x_NF))


def _judged(
    table: FrameTable,
    score_N: np.ndarray,
    distance_N: np.ndarray,
    known: Familiar,
    by_opinions: bool,
) -> Judged:
    """Return report and facts from the scores and distances of the frames of a table."""
    judged, error_N = table, score_N - table.y_N
    if by_opinions:
        judged, error_N = _clip_errors(table, score_N)
    pooled = pooled_errors(error_N, judged)
    interval = conformal.interval_of([(frames, list(errors.values())) for frames, errors in pooled])
    familiar = familiarity.limited(known, [distance_N[table.is_of(s)] for s in table.sources])
    error_C = pool(error_N, judged)
    per_source = {
        source: _source_errors(source, error_N, error_C, judged) for source in judged.sources
    }
    report = OutOfFold(
        rmse=rmse(error_N, np.zeros_like(error_N)),
        worst_source_rmse=max(row.rmse for row in per_source.values()),
        pooled_rmse=rmse(error_C, np.zeros_like(error_C)),
        per_source=per_source,
        pooled_errors=tuple(
            _quantiles(frames, list(errors.values()), clips=number == len(pooled) - 1)
            for number, (frames, errors) in enumerate(pooled)
        ),
        interval=interval,
        outside_limit=familiar.limit,
    )
    facts = ExpectedErrorFacts(interval=interval, familiar=familiarity.facts_of(familiar))
    return Judged(report, facts, table, score_N)


def _clip_errors(table: FrameTable, score_N: np.ndarray) -> tuple[FrameTable, np.ndarray]:
    """Return the rated clips as a table of one row each, and their errors against the opinions."""
    assert table.mos_C is not None, "no clip has an opinion score"
    rated = np.flatnonzero(rated_clips(table)).tolist()
    clips = replace(
        table,
        x_NF=np.zeros((len(rated), len(table.features))),
        y_N=table.mos_C[rated],
        clip_N=np.arange(len(rated), dtype=np.int32),
        clips=tuple(table.clips[clip] for clip in rated),
        clip_sources=tuple(table.clip_sources[clip] for clip in rated),
        mos_C=None,
        psnr_C=None,
    )
    return clips, pool(score_N, table)[rated] - clips.y_N


def _source_errors(
    source: str, error_N: np.ndarray, error_C: np.ndarray, table: FrameTable
) -> SourceErrors:
    of_frames = error_N[table.is_of(source)]
    of_clips = error_C[np.array([name == source for name in table.clip_sources])]
    return SourceErrors(
        frames=len(of_frames),
        clips=len(of_clips),
        rmse=rmse(of_frames, np.zeros_like(of_frames)),
        bias=float(of_frames.mean()),
        pooled_rmse=rmse(of_clips, np.zeros_like(of_clips)),
        pooled_max_abs_error=float(np.abs(of_clips).max()),
    )


def _quantiles(frames: int, errors: Sequence[np.ndarray], *, clips: bool) -> PooledErrors:
    return PooledErrors(
        frames=frames,
        clips=clips,
        means=sum(map(len, errors)),
        median=source_quantile(errors, 0.5),
        p90=source_quantile(errors, 0.9),
        p95=source_quantile(errors, 0.95),
        max=source_quantile(errors, 1.0),
    )
