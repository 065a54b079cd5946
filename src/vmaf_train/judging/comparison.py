"""Compare the students of a sweep: out-of-fold errors, and intervals of their differences.

Every frame is scored by students that never saw its source. Intervals come from resampling whole
clips. The difference of two students is taken in each resample, so errors that they share on a clip
cancel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vmaf_train.contracts import Contract
from vmaf_train.features import set_of
from vmaf_train.frames.table import FrameTable
from vmaf_train.judging.agreement import LEVEL, RESAMPLES, compare
from vmaf_train.judging.evaluation import pool
from vmaf_train.judging.intervals import Interval
from vmaf_train.judging.opinion_report import OpinionReport
from vmaf_train.judging.recommendation import recommend
from vmaf_train.judging.report import EvalReport, Metrics
from vmaf_train.judging.rows import ArchRow, Difference, Spread
from vmaf_train.metrics import rmse
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.students.settings import TEACHER
from vmaf_train.templates import template


class Comparison(Contract):
    """comparison.json: rows of a sweep, best first; differences; a recommendation.

    Only rows of the same targets are compared by their error against the teacher.

    The recommendation is one line, or a list with one line per cost of extraction.
    """

    schema_version: int = 1
    sweep: str
    corpus: str
    dataset_digest: str
    folds: tuple[str, ...]
    seeds: int
    teacher_points: int
    n_frames: int
    n_clips: int
    confidence: float
    rows: tuple[ArchRow, ...]
    differences: tuple[Difference, ...]
    recommendation: str

    def to_markdown(self) -> str:
        """Return comparison.md."""
        page = template("vmaf_train.judging", "comparison.md.j2")
        return page.render(comparison=self, rows=self.rows)


@dataclass(frozen=True, eq=False)
class CrossValidated:
    """An architecture's out-of-fold scores on a table, and the student that is kept.

    Attributes:
        score_SN: scores with each seed, float64 of shape (seeds, frames).
        without_N: scores without the teacher's points, float64 of shape (frames,); None if no fit
            has points.
        student: fitted on all sources; if only some are folds, on all the others.
        report: evaluation of that student, on frames that it may have been trained on.
        trained: whether there was a net to fit.
        targets: what the students learnt.
        opinions: agreement with opinion scores out of fold, with the first seed; None without any.
    """

    score_SN: np.ndarray
    without_N: np.ndarray | None
    student: OnnxStudent
    report: EvalReport
    trained: bool
    targets: str = TEACHER
    opinions: OpinionReport | None = None

    @property
    def seeds(self) -> int:
        """Number of fits per fold, each with another seed."""
        return len(self.score_SN)


def compare_archs(
    table: FrameTable,
    results: Mapping[str, CrossValidated],
    *,
    sweep: str,
    corpus: str,
    teacher_points: int,
) -> Comparison:
    """Compare architectures on the same out-of-fold frames.

    Args:
        table: the frames; its sources are the folds.
        results: results by name of the architecture, all with the same number of seeds.
        sweep: the tag of the sweep's runs.
        corpus: name of the corpus.
        teacher_points: number of teacher's points per fit.
    """
    errors = {name: _resampled_rmse(result, table) for name, result in results.items()}
    rows = {name: _row(name, result, table, errors[name]) for name, result in results.items()}
    differences = [
        Difference(
            arch=arch,
            against=against,
            rmse=_mean_rmse(results[arch], table) - _mean_rmse(results[against], table),
            interval=_interval(errors[arch] - errors[against]),
        )
        for arch in results
        for against in results
        if arch != against and results[arch].targets == results[against].targets
    ]
    return Comparison(
        sweep=sweep,
        corpus=corpus,
        dataset_digest=table.digest,
        folds=table.sources,
        seeds=next(iter(results.values())).seeds,
        teacher_points=teacher_points,
        n_frames=len(table),
        n_clips=len(table.clips),
        confidence=LEVEL,
        rows=tuple(sorted(rows.values(), key=lambda row: row.frames.rmse)),
        differences=tuple(differences),
        recommendation=recommend(list(rows.values()), differences),
    )


def _row(name: str, result: CrossValidated, table: FrameTable, rmse_R: np.ndarray) -> ArchRow:
    """Return the row of one architecture; `rmse_R` is its RMSE over all frames, per resample."""
    # RMSE of each fold with each seed: (folds, seeds).
    fold_FS = np.array(
        [
            [rmse(score_N[rows], table.y_N[rows]) for score_N in result.score_SN]
            for rows in map(table.is_of, table.sources)
        ]
    )
    truth_C = pool(table.y_N, table)
    report, without = result.report, result.without_N
    features = set_of(report.model.features)
    return ArchRow(
        arch=name,
        extraction_cost=features.cost,
        parameters=report.model.parameters or 0,
        onnx_bytes=report.model.onnx_bytes,
        trained=result.trained,
        folds={
            source: _spread(rmse_S) for source, rmse_S in zip(table.sources, fold_FS, strict=True)
        },
        mean_fold=_spread(fold_FS.mean(0)),
        worst_fold=_spread(fold_FS.max(0)),
        frames=_mean_metrics([compare(score_N, table.y_N) for score_N in result.score_SN]),
        clips=_mean_metrics(
            [compare(pool(score_N, table), truth_C) for score_N in result.score_SN]
        ),
        rmse_interval=_interval(rmse_R),
        without_points=None if without is None else compare(without, table.y_N),
        box=report.box,
        latency=report.latency,
        targets=result.targets,
        opinions=result.opinions,
    )


def _mean_rmse(result: CrossValidated, table: FrameTable) -> float:
    """Return the RMSE over all frames, averaged over seeds."""
    return float(np.mean([rmse(score_N, table.y_N) for score_N in result.score_SN]))


def _mean_metrics(metrics: Sequence[Metrics]) -> Metrics:
    """Average each metric over seeds; a correlation that one seed lacks is None."""
    columns = {key: [getattr(one, key) for one in metrics] for key in Metrics.model_fields}
    means = {
        key: None if None in values else float(np.mean(values)) for key, values in columns.items()
    }
    return Metrics.model_validate({**means, "n_samples": metrics[0].n_samples})


def _spread(values: np.ndarray) -> Spread:
    return Spread(mean=float(values.mean()), deviation=float(values.std()))


def _interval(resampled: np.ndarray) -> Interval:
    low, high = np.percentile(resampled, (100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2))
    return Interval(low=low, high=high)


def _resampled_rmse(result: CrossValidated, table: FrameTable) -> np.ndarray:
    """Return the RMSE over the frames of resampled clips, averaged over seeds.

    Every call draws the same clips, so that results can be subtracted resample by resample.

    Returns:
        float64 of shape (resamples,).
    """
    # The sum of squared errors of each clip.
    squares_SN = (result.score_SN - table.y_N) ** 2
    frames_C = np.bincount(table.clip_N)
    starts_C = np.concatenate([[0], np.cumsum(frames_C)[:-1]])
    sums_SC = np.add.reduceat(squares_SN, starts_C, axis=1)

    # How often each clip is drawn in each resample.
    n_clips = len(frames_C)
    draw = np.random.default_rng(0)
    times_RC = draw.multinomial(n_clips, np.full(n_clips, 1 / n_clips), size=RESAMPLES)
    sums_SR = sums_SC @ times_RC.T
    frames_R = times_RC @ frames_C
    rmse_SR = np.sqrt(sums_SR / frames_R)
    rmse_R: np.ndarray = rmse_SR.mean(0)
    return rmse_R
