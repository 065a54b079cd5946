"""eval_report.json: its contract, and the names of its metrics in MLflow.

PLCC, SROCC and KROCC are Pearson's, Spearman's and Kendall's (tau-b) correlation. RMSE, bias
(student minus teacher) and errors are in score points.
"""

from collections.abc import Mapping

from pydantic import Field

from vmaf_train.contracts import Contract
from vmaf_train.features import set_of
from vmaf_train.judging.intervals import Interval
from vmaf_train.judging.opinion_report import OpinionReport
from vmaf_train.onnx_file.expected_error import StatedInterval
from vmaf_train.students.settings import TEACHER

REPORT = "eval_report.json"
FIGURES = ("plcc", "srocc", "krocc", "rmse", "max_abs_error", "bias")


class Metrics(Contract):
    """Agreement of two score vectors; a correlation is None if one of the vectors is constant."""

    n_samples: int
    plcc: float | None
    srocc: float | None
    krocc: float | None
    rmse: float
    max_abs_error: float
    bias: float

    def named(self, prefix: str) -> dict[str, float]:
        """Return the metrics that are not None, by MLflow name `<prefix><metric>`."""
        figures = {f"{prefix}{name}": getattr(self, name) for name in FIGURES}
        return {name: value for name, value in figures.items() if value is not None}


class SourceMetrics(Metrics):
    """Metrics of a source's frames; `in_training` is None if the file names no training sources."""

    in_training: bool | None


class ClipMetrics(Metrics):
    """Metrics of a clip's frames, and its pooled scores."""

    source: str
    pooled_student: float
    pooled_teacher: float


class ModelFacts(Contract):
    """Facts about the evaluated file."""

    name: str
    arch: str | None
    parameters: int | None
    features: tuple[str, ...]
    onnx_bytes: int
    onnx_sha256: str


class DatasetFacts(Contract):
    """Facts about the frames of the evaluation."""

    corpus: str
    digest: str
    n_frames: int
    n_clips: int
    frames_by_source: dict[str, int]


class LatencyFacts(Contract):
    """Microseconds per onnxruntime call on one thread: for one row, and for `clip_rows` rows."""

    row_p50_us: float
    row_p95_us: float
    clip_p50_us: float
    clip_p95_us: float
    clip_rows: int


class BoxErrors(Contract):
    """Errors against the teacher's SVR over the feature box; they show errors of extrapolation.

    Attributes:
        n_samples: number of random vectors.
        rmse, max_abs_error: over these vectors.
        worst_found: the largest error that a search found, also from the corners of the box.
        proven: no vector of the box has a larger error; only of polynomials. Older reports lack
            both.
    """

    n_samples: int
    rmse: float
    max_abs_error: float
    worst_found: float | None = None
    proven: float | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics that a run logs, by MLflow name."""
        found = {name: getattr(self, name) for name in ("worst_found", "proven")}
        known = {f"box/{name}": value for name, value in found.items() if value is not None}
        return {"box/rmse": self.rmse, "box/max_abs_error": self.max_abs_error, **known}


class SourceErrors(Contract):
    """Errors on a source that the judged students never saw, per frame and pooled over clips."""

    frames: int
    clips: int
    rmse: float
    bias: float
    pooled_rmse: float
    pooled_max_abs_error: float


class PooledErrors(Contract):
    """Quantiles of the absolute error of a mean over `frames` frames; sources weigh the same.

    Each mean is taken over consecutive frames of a clip. With `clips`, it is taken over whole
    clips, and `frames` is the length of the longest.
    """

    frames: int
    clips: bool
    means: int
    median: float
    p90: float
    p95: float
    max: float


class OutOfFold(Contract):
    """Errors of students that never saw the source, and what follows for a new source.

    Of a student of opinions, every error is that of a pooled score against an opinion score.

    Attributes:
        rmse, worst_source_rmse: per frame, over all frames and on the worst source.
        pooled_rmse: over all clips.
        per_source: errors by source.
        pooled_errors: by number of frames, ascending.
        interval: the interval for the pooled error on a new source.
        outside_limit: distance beyond which a frame lies outside what the student learnt.
    """

    rmse: float
    worst_source_rmse: float
    pooled_rmse: float
    per_source: dict[str, SourceErrors]
    pooled_errors: tuple[PooledErrors, ...]
    interval: StatedInterval
    outside_limit: float

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics that a run logs, by MLflow name."""
        return {
            "oof/rmse": self.rmse,
            "oof/worst_source_rmse": self.worst_source_rmse,
            "oof/pooled_rmse": self.pooled_rmse,
            "oof/half_width": self.interval.half_widths[-1].half_width,
            "oof/confidence": self.interval.confidence,
        }


class IntervalCheck(Contract):
    """Whether the interval that the file states held on the judged frames.

    Attributes:
        confidence: what the file states.
        coverage: share of the clips whose pooled error is within the half-width.
        outside_share: share of the frames that lie outside what the student learnt.
        outside_by_source: number of those frames.
        held_by_clip: whether the interval held, for the clips that count.
        unseen: the student never saw the sources of the clips that count; None if not recorded.
        coverage_interval: of the coverage; sources count, not clips.
        outside_by_clip: share of each clip's frames that lie outside what the student learnt.
    """

    confidence: float
    coverage: float
    outside_share: float
    outside_by_source: dict[str, int]
    held_by_clip: dict[str, bool]
    # Older reports lack these.
    coverage_interval: Interval | None = None
    unseen: bool | None = None
    outside_by_clip: dict[str, float] = Field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics that a run logs, by MLflow name without its prefix."""
        metrics = {"interval_coverage": self.coverage, "outside_share": self.outside_share}
        if limits := self.coverage_interval:
            metrics["interval_coverage_low"] = limits.low
            metrics["interval_coverage_high"] = limits.high
        return metrics


class EvalReport(Metrics):
    """The metrics of all frames, then the model, the data and further metrics."""

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
    # Reports of older versions, and of students without a stated interval, lack these.
    out_of_fold: OutOfFold | None = None
    interval_check: IntervalCheck | None = None
    # What the student learnt, and how well it agrees with opinion scores; older reports lack both.
    targets: str = TEACHER
    opinions: OpinionReport | None = None

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the run: facts about the model that was judged."""
        return {
            "teacher": self.teacher,
            "libvmaf_version": self.libvmaf_version or "none",
            "onnx_sha256": self.model.onnx_sha256,
            "targets": self.targets,
        }

    @property
    def model_metrics(self) -> dict[str, float]:
        """Metrics that do not depend on the frames, by MLflow name: latency, size, cost, box."""
        latency = self.latency.model_dump()
        metrics: dict[str, float] = {
            f"latency/{name}": value for name, value in latency.items() if name.endswith("_us")
        }
        metrics["model/parameters"] = self.model.parameters or 0
        metrics["model/onnx_bytes"] = self.model.onnx_bytes
        if (cost := set_of(self.model.features).cost) is not None:
            metrics["model/extraction_cost"] = cost
        if self.box:
            metrics |= self.box.metrics
        return metrics

    def metrics(self, prefix: str) -> Mapping[str, float]:
        """Return the metrics that a run logs, by MLflow name.

        Args:
            prefix: "val" for the held-out source, "eval" for an evaluation, "smoke" for a smoke
                run.
        """
        metrics = self.named(f"{prefix}/") | self.pooled.named(f"{prefix}/pooled_")
        metrics |= {f"{prefix}/{name}_rmse": row.rmse for name, row in self.references.items()}
        if self.without_teacher_points:
            metrics |= self.without_teacher_points.named(f"{prefix}_without_points/")
        for name, interval in self.intervals.items():
            metrics[f"{prefix}/{name}_low"] = interval.low
            metrics[f"{prefix}/{name}_high"] = interval.high
        if len(self.per_source) > 1:
            for source, row in self.per_source.items():
                metrics[f"{prefix}/source/{source}/rmse"] = row.rmse
        if self.out_of_fold:
            metrics |= self.out_of_fold.metrics
        if self.opinions:
            metrics |= self.opinions.metrics
        if self.interval_check:
            check = self.interval_check.metrics
            metrics |= {f"{prefix}/{name}": value for name, value in check.items()}
        return metrics | self.model_metrics
