"""How far a student is from its teacher: per frame, clip and source, with intervals and reference rows.

PLCC, SROCC, KROCC: Pearson's, Spearman's and Kendall's (tau-b) correlation; RMSE, bias (student minus teacher) and
errors in score points. A correlation is None where one side is constant.
"""

import warnings
from collections.abc import Mapping
from functools import cache

import numpy as np
from pydantic import BaseModel, ConfigDict

from vmaf_train.features import CANONICAL, TEACHER
from vmaf_train.frames.table import FrameTable
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.teacher.points import uniform
from vmaf_train.teacher.svr import load_teacher

RESAMPLES = 2000
LEVEL = 0.95
BOX_POINTS = 200_000


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Metrics(_Report):
    """Agreement of two score vectors."""

    n_samples: int
    plcc: float | None
    srocc: float | None
    krocc: float | None
    rmse: float
    max_abs_error: float
    bias: float


class SourceMetrics(Metrics):
    """A source's frames; `in_training` is None where the file does not say what it was trained on."""

    in_training: bool | None


class ClipMetrics(Metrics):
    """A clip's frames, and its pooled scores."""

    source: str
    pooled_student: float
    pooled_teacher: float


class Interval(_Report):
    """A percentile interval by bootstrap over clips."""

    low: float
    high: float


class ModelFacts(_Report):
    """The evaluated file."""

    name: str
    arch: str | None
    parameters: int | None
    features: tuple[str, ...]
    onnx_bytes: int
    onnx_sha256: str


class DatasetFacts(_Report):
    """The frames it was evaluated on."""

    corpus: str
    digest: str
    n_frames: int
    n_clips: int
    frames_by_source: dict[str, int]


class LatencyFacts(_Report):
    """Microseconds an onnxruntime call on one thread: a single row, and a clip."""

    row_p50_us: float
    row_p95_us: float
    clip_p50_us: float
    clip_p95_us: float
    clip_rows: int


class BoxErrors(_Report):
    """Errors over the whole feasible box of features, against the teacher's SVR: what extrapolation may cost."""

    n_samples: int
    rmse: float
    max_abs_error: float


class EvalReport(Metrics):
    """eval_report.json: the frame metrics on top, everything that they rest on below."""

    schema_version: int = 1
    teacher: str
    libvmaf_version: str | None
    hold_out: str | None
    model: ModelFacts
    dataset: DatasetFacts
    confidence: float
    intervals: dict[str, Interval]
    pooled: Metrics
    per_source: dict[str, SourceMetrics]
    per_clip: dict[str, ClipMetrics]
    references: dict[str, Metrics]
    box: BoxErrors | None = None
    without_teacher_points: Metrics | None = None
    latency: LatencyFacts

    @property
    def tags(self) -> dict[str, str]:
        """What a run says of the model it judged."""
        return {
            "teacher": self.teacher,
            "libvmaf_version": self.libvmaf_version or "none",
            "onnx_sha256": self.model.onnx_sha256,
        }


def evaluate(
    student: OnnxStudent,
    table: FrameTable,
    *,
    name: str,
    corpus: str,
    libvmaf_version: str | None,
    hold_out: str | None = None,
    without_points: OnnxStudent | None = None,
) -> tuple[EvalReport, np.ndarray]:
    """Judge a student on every frame of a table.

    Args:
        student: the ONNX file, loaded.
        table: frames with the teacher's scores.
        name: of the model, for people.
        corpus: name of the corpus, for people.
        libvmaf_version: what extracted the features; None when nothing did.
        hold_out: the validation source if the table holds only that.
        without_points: the same student trained without the teacher's points, to be reported beside it.

    Returns:
        The report, and the student's scores: float64 of shape (frames,).
    """
    score_N = score_table(student, table)
    clip_rows = [table.rows_of(clip) for clip in range(len(table.clips))]
    pooled_C = np.array([[score_N[rows].mean(), table.y_N[rows].mean()] for rows in clip_rows])
    trained_on = student.facts.get("train_sources")
    source_N = np.array([table.sources.index(source) for source in table.clip_sources])[
        table.clip_N
    ]
    per_source = {}
    for index, source in enumerate(table.sources):
        rows = source_N == index
        per_source[source] = SourceMetrics(
            **dict(compare(score_N[rows], table.y_N[rows])),
            in_training=source in trained_on if isinstance(trained_on, list) else None,
        )
    per_clip = {
        clip: ClipMetrics(
            **dict(compare(score_N[rows], table.y_N[rows])),
            source=source,
            pooled_student=pooled[0],
            pooled_teacher=pooled[1],
        )
        for clip, source, rows, pooled in zip(
            table.clips, table.clip_sources, clip_rows, pooled_C, strict=True
        )
    }
    report = EvalReport(
        **dict(compare(score_N, table.y_N)),
        teacher=TEACHER,
        libvmaf_version=libvmaf_version,
        hold_out=hold_out,
        model=ModelFacts(
            name=name,
            arch=student.facts.get("arch"),  # type: ignore[arg-type]
            parameters=student.facts.get("parameters"),  # type: ignore[arg-type]
            features=student.features,
            onnx_bytes=len(student.content),
            onnx_sha256=student.sha256,
        ),
        dataset=DatasetFacts(
            corpus=corpus,
            digest=table.digest,
            n_frames=len(table),
            n_clips=len(table.clips),
            frames_by_source={source: metrics.n_samples for source, metrics in per_source.items()},
        ),
        confidence=LEVEL,
        intervals=bootstrap_over_clips(score_N, table.y_N, table.clip_N),
        pooled=compare(pooled_C[:, 0], pooled_C[:, 1]),
        per_source=per_source,
        per_clip=per_clip,
        references=_references(table, student.facts),
        box=_box_errors(student),
        without_teacher_points=compare(score_table(without_points, table), table.y_N)
        if without_points
        else None,
        latency=LatencyFacts(**vars(student.measure_latency())),
    )
    return report, score_N


def score_table(student: OnnxStudent, table: FrameTable) -> np.ndarray:
    """Score every frame of a table, clip by clip where the student reads windows; float64 of shape (frames,)."""
    x_NF = table.x_NF[:, [table.features.index(feature) for feature in student.features]]
    if student.window == 1:
        return student.score(x_NF)
    return np.concatenate(
        [student.score(x_NF[table.rows_of(clip)]) for clip in range(len(table.clips))]
    )


def compare(score_N: np.ndarray, truth_N: np.ndarray) -> Metrics:
    """Compare two score vectors of shape (n,); a correlation is None where one side is constant."""
    from scipy import stats  # slow to import, wanted here alone

    error_N = score_N - truth_N
    plcc = srocc = krocc = None
    if np.ptp(score_N) > 0 and np.ptp(truth_N) > 0:
        plcc = float(stats.pearsonr(score_N, truth_N).statistic)
        srocc = float(stats.spearmanr(score_N, truth_N).statistic)
        krocc = float(stats.kendalltau(score_N, truth_N).statistic)
    return Metrics(
        n_samples=len(truth_N),
        plcc=plcc,
        srocc=srocc,
        krocc=krocc,
        rmse=float(np.sqrt(np.mean(error_N**2))),
        max_abs_error=float(np.abs(error_N).max()),
        bias=float(error_N.mean()),
    )


def bootstrap_over_clips(
    score_N: np.ndarray, truth_N: np.ndarray, clip_N: np.ndarray
) -> dict[str, Interval]:
    """Return 95 % percentile intervals of rmse, bias and plcc, resampling whole clips (frames are not independent).

    Each clip is reduced to its sums first, so the cost is independent of the number of frames. Fewer than two
    clips, or a constant side, leave an interval out.
    """
    from scipy import stats

    centred = score_N - score_N.mean(), truth_N - truth_N.mean()
    error_N = score_N - truth_N
    moments = (
        np.ones_like(error_N),
        error_N,
        error_N**2,
        *centred,
        *(c**2 for c in centred),
        centred[0] * centred[1],
    )
    sums_CM = np.stack([np.bincount(clip_N, weights=moment) for moment in moments], axis=-1)

    constant = 1e-12 * score_N.var() * truth_N.var()

    def resampled(picks: np.ndarray, axis: int) -> np.ndarray:
        picked = np.moveaxis(picks, axis, -1).astype(int)
        n, e, ee, p, t, pp, tt, pt = np.moveaxis(sums_CM[picked].sum(-2), -1, 0)
        # A resample of one clip over and over may be constant but for rounding: no correlation, left out as nan.
        spread = (pp / n - (p / n) ** 2) * (tt / n - (t / n) ** 2)
        with np.errstate(invalid="ignore", divide="ignore"):
            plcc = np.where(spread > constant, (pt / n - p * t / n**2) / np.sqrt(spread), np.nan)
        return np.stack([np.sqrt(ee / n), e / n, plcc])

    n_clips = len(sums_CM)
    if n_clips < 2:
        return {}
    with warnings.catch_warnings():
        # A constant side makes its limits nan, which are left out below.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        result = stats.bootstrap(
            (np.arange(n_clips),),
            resampled,
            vectorized=True,
            method="percentile",
            n_resamples=RESAMPLES,
            confidence_level=LEVEL,
            batch=100,
            rng=np.random.default_rng(0),
        )
    limits = zip(("rmse", "bias", "plcc"), *result.confidence_interval, strict=True)
    return {
        name: Interval(low=low, high=high)
        for name, low, high in limits
        if np.isfinite([low, high]).all()
    }


@cache
def _box(features: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of the box that every student is tried on, and the teacher's scores of them."""
    x_NF = uniform(BOX_POINTS, features, np.random.default_rng(0))
    return x_NF, load_teacher().score(x_NF, features)


def _box_errors(student: OnnxStudent) -> BoxErrors | None:
    if set(student.features) != set(CANONICAL.features):
        return None  # the teacher scores no other vectors
    x_NF, truth_N = _box(student.features)
    error_N = student.score(x_NF) - truth_N
    return BoxErrors(
        n_samples=len(truth_N),
        rmse=float(np.sqrt(np.mean(error_N**2))),
        max_abs_error=float(np.abs(error_N).max()),
    )


def _references(table: FrameTable, facts: Mapping[str, object]) -> dict[str, Metrics]:
    """What the student is to be held against: the teacher's own SVR, and always saying the training mean."""
    rows = {"teacher_svr": compare(load_teacher().score(table.x_NF, table.features), table.y_N)}
    if isinstance(mean := facts.get("target_mean"), float):
        rows["training_mean"] = compare(np.full(len(table), mean), table.y_N)
    return rows
