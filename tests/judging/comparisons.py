"""Tables, errors and rows of a sweep, made up for tests of comparisons."""

from types import SimpleNamespace

import numpy as np
from conftest import named_pair

from vmaf_train.extraction.logs import FrameScores
from vmaf_train.features import CANONICAL
from vmaf_train.frames.table import FrameTable
from vmaf_train.judging.comparison import Comparison, CrossValidated, compare_archs
from vmaf_train.judging.intervals import Interval
from vmaf_train.judging.report import BoxErrors, LatencyFacts, Metrics
from vmaf_train.judging.rows import ArchRow, Spread


def latency(row_p50_us: float) -> LatencyFacts:
    """Return latencies of which only the median of one row matters."""
    return LatencyFacts(
        row_p50_us=row_p50_us, row_p95_us=99, clip_p50_us=20, clip_p95_us=99, clip_rows=240
    )


def row_of(
    arch: str, rmse: float, speed: float, trained: bool = True, cost: float | None = None
) -> ArchRow:
    """Return the row of an arch.

    Args:
        arch: its name.
        rmse: over all frames; its interval is from half to twice of it.
        speed: median latency of one row, in µs.
        trained: whether anything was fitted.
        cost: of extraction.
    """
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


def table_of(clips: list[tuple[str, list[float]]]) -> FrameTable:
    """Return a table of clips, each given by its source and its teacher scores."""
    made = []
    for number, (source, scores) in enumerate(clips):
        pair = named_pair(source, f"{source}_{number}_64_1.yuv", len(scores))
        by_teacher = {"vmaf_v0.6.1": np.array(scores)}
        x_NF = np.zeros((len(scores), 6))
        made.append((pair, FrameScores(CANONICAL.features, x_NF, by_teacher)))
    return FrameTable.from_clips(made)


def result_of(table, error_SN, without_N=None, speed=5.0, trained=True) -> CrossValidated:
    """Return the result of a cross-validation whose students make these errors.

    Args:
        table: the frames.
        error_SN: of shape (seeds, frames) or (frames,).
        without_N: errors of the students without the teacher's points.
        speed: median latency of one row, in µs.
        trained: whether anything was fitted.
    """
    report = SimpleNamespace(
        model=SimpleNamespace(parameters=7, onnx_bytes=910, features=CANONICAL.features),
        box=BoxErrors(n_samples=10, rmse=1.5, max_abs_error=4.5),
        latency=latency(speed),
    )
    without_N = None if without_N is None else table.y_N + without_N
    return CrossValidated(table.y_N + np.atleast_2d(error_SN), without_N, None, report, trained)


def compared(table, teacher_points=0, **errors) -> Comparison:
    """Compare archs, each given by its errors or its result."""
    results = {
        name: e if isinstance(e, CrossValidated) else result_of(table, e)
        for name, e in errors.items()
    }
    return compare_archs(table, results, sweep="abc", corpus="demo", teacher_points=teacher_points)


def forty_clips() -> tuple[FrameTable, np.ndarray]:
    """Return 40 clips of four sources, five frames each, and errors that differ widely by clip."""
    draw = np.random.default_rng(3)
    table = table_of([("ABCD"[clip % 4], draw.uniform(10, 90, 5).tolist()) for clip in range(40)])
    return table, np.exp(draw.normal(0, 1.5, 40))[table.clip_N]


def three_archs(table: FrameTable, hard_N: np.ndarray) -> Comparison:
    """Compare a good arch, a bad one, and an untrained reference without errors."""
    zero_N = 0 * hard_N
    return compared(
        table,
        256,
        bad=result_of(table, [3 * hard_N, 4 * hard_N], 5 * hard_N, speed=1.0),
        good=result_of(table, [hard_N, 1.1 * hard_N], 2 * hard_N, speed=2.0),
        reference=result_of(table, [zero_N, zero_N], zero_N, speed=0.5, trained=False),
    )
