"""What the tests of comparisons share: rows of a sweep, made up."""

from vmaf_train.judging.report import Interval, LatencyFacts, Metrics
from vmaf_train.judging.rows import ArchRow, Spread


def latency(row_p50_us: float) -> LatencyFacts:
    return LatencyFacts(
        row_p50_us=row_p50_us, row_p95_us=99, clip_p50_us=20, clip_p95_us=99, clip_rows=240
    )


def row_of(
    arch: str, rmse: float, speed: float, trained: bool = True, cost: float | None = None
) -> ArchRow:
    metrics = Metrics(n_samples=9, plcc=1, srocc=1, krocc=1, rmse=rmse, max_abs_error=1, bias=0)
    spread = Spread(mean=rmse, deviation=0)
    return ArchRow(
        arch=arch,
        extraction_cost=cost,
        parameters=7,
        onnx_bytes=900,
        trained=trained,
        folds={"A": spread},
        mean_fold=spread,
        worst_fold=spread,
        frames=metrics,
        clips=metrics,
        rmse_interval=Interval(low=rmse / 2, high=rmse * 2),
        without_points=None,
        box=None,
        latency=latency(speed),
    )
