"""Architectures held against each other: out-of-fold errors, intervals of their differences, and what follows.

Every frame is scored by students that never saw its source. Intervals come from resampling whole clips; a difference
is taken within each resample, so what makes a clip hard for all cancels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict

from vmaf_train.features import set_of
from vmaf_train.frames.table import FrameTable
from vmaf_train.judging.evaluation import (
    LEVEL,
    RESAMPLES,
    BoxErrors,
    EvalReport,
    Interval,
    LatencyFacts,
    Metrics,
    compare,
)
from vmaf_train.onnx_file.inference import OnnxStudent


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Spread(_Part):
    """Mean and standard deviation over seeds."""

    mean: float
    deviation: float


class ArchRow(_Part):
    """What a sweep found out about an architecture.

    Attributes:
        folds: RMSE on each held-out source.
        mean_fold, worst_fold: of the folds' RMSE.
        frames, clips: metrics over all out-of-fold frames, and over their clip means; averaged over the seeds.
        rmse_interval: of the frames' RMSE, by resampling clips.
        without_points: the frames' metrics without the teacher's points, one seed; None where there were none.
        box, latency, parameters, onnx_bytes: of the student fitted on all the sources that are no lone fold.
        trained: False where nothing was fitted: a reference, never recommended.
        extraction_cost: CPU of the libvmaf pass that gives its features, full VMAF's being 1.
    """

    arch: str
    extraction_cost: float | None = None
    parameters: int
    onnx_bytes: int
    trained: bool
    folds: dict[str, Spread]
    mean_fold: Spread
    worst_fold: Spread
    frames: Metrics
    clips: Metrics
    rmse_interval: Interval
    without_points: Metrics | None
    box: BoxErrors | None
    latency: LatencyFacts


class Difference(_Part):
    """RMSE of `arch` minus that of `against`, with its interval; better or worse when that leaves zero out."""

    arch: str
    against: str
    rmse: float
    interval: Interval

    @property
    def verdict(self) -> str:
        """Say "better", "worse" or "no different"."""
        return (
            "better"
            if self.interval.high < 0
            else "worse"
            if self.interval.low > 0
            else "no different"
        )


class Comparison(_Part):
    """comparison.json: a sweep's rows, best first, the differences of every two, and the recommendation.

    The recommendation is a line, or a list with a line for each cost of extraction where there are several.
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
        environment = Environment(
            loader=PackageLoader("vmaf_train.judging", ""),
            undefined=StrictUndefined,
            keep_trailing_newline=True,
        )
        return environment.get_template("comparison.md.j2").render(comparison=self, rows=self.rows)


@dataclass(frozen=True, eq=False)
class CrossValidated:
    """An architecture's out-of-fold scores on a table, and the student that is kept.

    Attributes:
        score_SN: float64 of shape (seeds, frames).
        without_N: float64 of shape (frames,), without the teacher's points; None where there were none.
        student: fitted on all sources, or on all but a lone choice of folds.
        report: on that student, on frames that it may have been trained on.
        trained: whether there was anything to fit.
    """

    score_SN: np.ndarray
    without_N: np.ndarray | None
    student: OnnxStudent
    report: EvalReport
    trained: bool


def compare_archs(
    table: FrameTable,
    results: Mapping[str, CrossValidated],
    sweep: str,
    corpus: str,
    teacher_points: int,
) -> Comparison:
    """Compare architectures on the same out-of-fold frames.

    Args:
        table: those frames; its sources are the folds.
        results: by name of the architecture.
        sweep: what tags the runs.
        corpus: its name.
        teacher_points: how many a fit had.
    """
    names = list(results)
    squares = [(one.score_SN - table.y_N) ** 2 for one in results.values()]
    rmse_AR = np.stack([_resampled_rmse(squares_SN, table.clip_N) for squares_SN in squares])
    rmse_A = [float(np.sqrt(squares_SN.mean(1)).mean()) for squares_SN in squares]
    rows = [
        _row(name, results[name], table, _interval(rmse_R))
        for name, rmse_R in zip(names, rmse_AR, strict=True)
    ]
    differences = [
        Difference(
            arch=a,
            against=b,
            rmse=rmse_A[i] - rmse_A[j],
            interval=_interval(rmse_AR[i] - rmse_AR[j]),
        )
        for i, a in enumerate(names)
        for j, b in enumerate(names)
        if i != j
    ]
    return Comparison(
        sweep=sweep,
        corpus=corpus,
        dataset_digest=table.digest,
        folds=table.sources,
        seeds=len(next(iter(results.values())).score_SN),
        teacher_points=teacher_points,
        n_frames=len(table),
        n_clips=len(table.clips),
        confidence=LEVEL,
        rows=tuple(sorted(rows, key=lambda row: row.frames.rmse)),
        differences=tuple(differences),
        recommendation=recommend(rows, differences),
    )


def recommend(rows: Sequence[ArchRow], differences: Sequence[Difference]) -> str:
    """Return a line for each cost of extraction: the fastest of the students no worse than its most accurate one."""
    costs = sorted(
        {row.extraction_cost for row in rows if row.trained}, key=lambda cost: -(cost or 0)
    )
    if not costs:
        return "nothing was fitted, so there is nothing to recommend"
    groups = {
        cost: {row.arch: row for row in rows if row.trained and row.extraction_cost == cost}
        for cost in costs
    }
    if len(groups) == 1:
        return _recommend_among(groups[costs[0]], differences)
    names = ["an unknown share" if cost is None else f"{cost:.2f}" for cost in costs]
    lines = [_recommend_among(groups[cost], differences) for cost in costs]
    return "\n".join(
        f"- at {name} of full VMAF's CPU: {line}" for name, line in zip(names, lines, strict=True)
    )


def _recommend_among(trained: Mapping[str, ArchRow], differences: Sequence[Difference]) -> str:
    best = min(trained.values(), key=lambda row: row.frames.rmse)
    level = {
        d.arch
        for d in differences
        if d.against == best.arch and d.arch in trained and d.verdict != "worse"
    }
    chosen = min(
        (trained[name] for name in {best.arch, *level}),
        key=lambda row: (row.latency.row_p50_us, row.arch),
    )
    fact = (
        f"{chosen.arch}: out-of-fold RMSE {chosen.frames.rmse:.4f} "
        f"({LEVEL:.0%} {chosen.rmse_interval.low:.4f} to {chosen.rmse_interval.high:.4f}), "
        f"{chosen.latency.row_p50_us:.1f} µs a row"
    )
    if chosen is not best:
        return f"{fact}; {best.arch} has {best.frames.rmse:.4f}, a difference that the clips do not settle"
    if len(trained) == 1:
        return fact
    return f"{fact}; " + (
        f"{', '.join(sorted(level))}: no worse, but slower"
        if level
        else "all other students are worse"
    )


def _row(name: str, result: CrossValidated, table: FrameTable, interval: Interval) -> ArchRow:
    source_N = np.array(table.clip_sources)[table.clip_N]
    fold_FS = np.array(
        [
            [_rmse(score_N[rows], table.y_N[rows]) for score_N in result.score_SN]
            for rows in (source_N == source for source in table.sources)
        ]
    )
    clips = [table.rows_of(clip) for clip in range(len(table.clips))]
    truth_C = np.array([table.y_N[rows].mean() for rows in clips])
    pooled_SC = np.array([[score_N[rows].mean() for rows in clips] for score_N in result.score_SN])
    report = result.report
    features = set_of(report.model.features)
    return ArchRow(
        arch=name,
        extraction_cost=features.cost if features else None,
        parameters=report.model.parameters or 0,
        onnx_bytes=report.model.onnx_bytes,
        trained=result.trained,
        folds={
            source: _spread(rmse_S) for source, rmse_S in zip(table.sources, fold_FS, strict=True)
        },
        mean_fold=_spread(fold_FS.mean(0)),
        worst_fold=_spread(fold_FS.max(0)),
        frames=_mean_metrics([compare(score_N, table.y_N) for score_N in result.score_SN]),
        clips=_mean_metrics([compare(pooled_C, truth_C) for pooled_C in pooled_SC]),
        rmse_interval=interval,
        without_points=None if result.without_N is None else compare(result.without_N, table.y_N),
        box=report.box,
        latency=report.latency,
    )


def _rmse(score_N: np.ndarray, truth_N: np.ndarray) -> float:
    return float(np.sqrt(np.mean((score_N - truth_N) ** 2)))


def _mean_metrics(metrics: Sequence[Metrics]) -> Metrics:
    """Average each figure over the seeds; a correlation that one of them lacks is None."""
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


def _resampled_rmse(squares_SN: np.ndarray, clip_N: np.ndarray) -> np.ndarray:
    """Return RMSE of shape (resamples,), averaged over the seeds; every call draws the same clips."""
    frames_C = np.bincount(clip_N)
    sums_SC = np.add.reduceat(squares_SN, np.concatenate([[0], np.cumsum(frames_C)[:-1]]), axis=1)
    # How often each clip is drawn in each resample.
    times_RC = np.random.default_rng(0).multinomial(
        len(frames_C), np.full(len(frames_C), 1 / len(frames_C)), size=RESAMPLES
    )
    resampled: np.ndarray = np.sqrt(sums_SC @ times_RC.T / (times_RC @ frames_C)).mean(0)
    return resampled
