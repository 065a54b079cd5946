"""Results of a sweep: a row per architecture, and a difference per two architectures."""

from typing import Literal

from vmaf_train.contracts import Contract
from vmaf_train.judging.intervals import Interval
from vmaf_train.judging.opinion_report import OpinionReport
from vmaf_train.judging.report import BoxErrors, LatencyFacts, Metrics
from vmaf_train.students.settings import TEACHER


class Spread(Contract):
    """Mean and standard deviation over seeds, in score points."""

    mean: float
    deviation: float


class ArchRow(Contract):
    """The results of an architecture.

    Attributes:
        extraction_cost: CPU time of the libvmaf pass for its features; full VMAF is 1.
        trained: False if nothing was fitted: such a row is a reference, and never recommended.
        folds: RMSE on each held-out source.
        mean_fold, worst_fold: mean and maximum over the folds' RMSE.
        frames, clips: metrics of all out-of-fold frame scores, and of their pooled scores; averaged
            over seeds.
        rmse_interval: interval of the frames' RMSE, by resampling clips.
        without_points: metrics of the frame scores of fits without the teacher's points, with one
            seed; None if no fit has points.
        box, latency, parameters, onnx_bytes: facts of the student that is kept.
        targets: what the student learnt.
        opinions: agreement with opinion scores, out of fold; None if the corpus has none.
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
    targets: str = TEACHER
    opinions: OpinionReport | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics that a run logs, by MLflow name."""
        metrics = {
            "loso/mean_rmse": self.mean_fold.mean,
            "loso/mean_rmse_deviation": self.mean_fold.deviation,
            "loso/worst_rmse": self.worst_fold.mean,
            "loso/worst_rmse_deviation": self.worst_fold.deviation,
            "oof/rmse_low": self.rmse_interval.low,
            "oof/rmse_high": self.rmse_interval.high,
        }
        for source, spread in self.folds.items():
            metrics[f"loso/{source}/rmse"] = spread.mean
            metrics[f"loso/{source}/rmse_deviation"] = spread.deviation
        metrics |= self.frames.named("oof/") | self.clips.named("oof_pooled/")
        if self.without_points:
            metrics |= self.without_points.named("oof_no_points/")
        if self.opinions:
            metrics |= self.opinions.metrics
        return metrics


class Difference(Contract):
    """RMSE of `arch` minus that of `against`, with its interval."""

    arch: str
    against: str
    rmse: float
    interval: Interval

    @property
    def verdict(self) -> Literal["better", "worse", "no different"]:
        """Whether `arch` is better or worse; "no different" if the interval holds zero."""
        if self.interval.high < 0:
            return "better"
        if self.interval.low > 0:
            return "worse"
        return "no different"
