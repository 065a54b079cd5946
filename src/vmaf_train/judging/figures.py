"""Figures of an evaluation, a fit and a sweep, with matplotlib but without pyplot or a display."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vmaf_train.judging.comparison import Comparison
from vmaf_train.judging.report import EvalReport
from vmaf_train.judging.rows import ArchRow
from vmaf_train.reporting import Epoch

# Width and height in inches, and resolution.
SIZE, DPI = (6.4, 4.8), 90


def evaluation_figures(
    report: EvalReport, score_N: np.ndarray, truth_N: np.ndarray
) -> dict[str, Figure]:
    """Draw an evaluation: student against teacher, error by score, RMSE of each clip.

    Args:
        report: gives the titles and the metrics of each clip.
        score_N, truth_N: the student's and the teacher's frame scores, float64 of shape (frames,).

    Returns:
        Figures by file name.
    """
    judged_on = report.hold_out or report.dataset.corpus
    title = f"{report.model.name} on {judged_on}: RMSE {report.rmse:.3f}"
    x_label = f"{report.teacher} frame score"
    predicted, axes = _new(title, x_label, "student frame score")
    _density(axes, truth_N, score_N)
    axes.plot([0, 100], [0, 100], color="tab:red", linewidth=0.8)

    residual, axes = _new(title, x_label, "student minus teacher, score points")
    _density(axes, truth_N, score_N - truth_N)
    axes.axhline(0, color="tab:red", linewidth=0.8)
    return {
        "predicted_vs_teacher.png": predicted,
        "residual_by_score.png": residual,
        "rmse_by_clip.png": _clip_figure(report, title),
    }


def _clip_figure(report: EvalReport, title: str) -> Figure:
    """Draw the RMSE of each clip as a bar, with one colour per source."""
    by_source = sorted(report.per_clip.items(), key=lambda item: (item[1].source, item[0]))
    sources = list(report.per_source)
    figure, axes = _new(title, "RMSE, score points", "")
    figure.set_figheight(max(SIZE[1], 0.16 * len(by_source)))
    axes.barh(
        [clip for clip, _ in by_source],
        [metrics.rmse for _, metrics in by_source],
        color=[f"C{sources.index(metrics.source) % 10}" for _, metrics in by_source],
    )
    axes.tick_params(axis="y", labelsize=6)
    axes.invert_yaxis()
    return figure


def training_figure(history: Sequence[Epoch], hold_out: str) -> dict[str, Figure]:
    """Draw training loss and held-out RMSE by epoch; a fit without epochs gives no figure."""
    if not history:
        return {}
    figure, axes = _new("training", "epoch", "mean squared error, standardised scores (train)")
    numbers = [epoch.number for epoch in history]
    axes.semilogy(numbers, [epoch.train_loss for epoch in history], marker=".", color="tab:blue")
    right = axes.twinx()
    right.semilogy(numbers, [epoch.val_rmse for epoch in history], marker=".", color="tab:orange")
    right.set_ylabel(f"RMSE on {hold_out}, score points", color="tab:orange")
    axes.yaxis.label.set_color("tab:blue")
    return {"training_curves.png": figure}


def sweep_figures(comparison: Comparison) -> dict[str, Figure]:
    """Draw a sweep: a box plot of folds per arch, RMSE against costs, a heat map of arch by source.

    Returns:
        Figures by file name.
    """
    title = (
        f"{comparison.corpus}, {len(comparison.folds)} folds, {comparison.seeds} seeds, "
        f"{comparison.teacher_points} teacher's points"
    )
    archs = [row.arch for row in comparison.rows]
    rmse_AF = np.array(
        [[row.folds[source].mean for source in comparison.folds] for row in comparison.rows]
    )
    boxes, axes = _new(title, "", "RMSE on the held-out source, score points")
    axes.boxplot(rmse_AF.T, tick_labels=archs, whis=(0, 100))
    axes.set_yscale("log")
    axes.tick_params(axis="x", rotation=60)
    return {
        "rmse_by_arch.png": boxes,
        "rmse_by_cost.png": _cost_figure(comparison.rows, title),
        "rmse_by_source.png": _heat_map(rmse_AF, archs, comparison.folds, title),
    }


@dataclass(frozen=True)
class _Cost:
    """A cost of a student: label and scale of its axis, and its value for a row."""

    label: str
    scale: str
    of: Callable[[ArchRow], float]

    def limits(self, values: Sequence[float]) -> tuple[float, float]:
        # A log axis with a single value has no width unless limits are set.
        return (0, 1.2) if self.scale == "linear" else (min(values) / 1.3, max(values) * 2.5)


_COSTS = (
    _Cost("fitted parameters", "log", lambda row: float(max(row.parameters, 1))),
    _Cost("one row, one thread: p50, µs", "log", lambda row: row.latency.row_p50_us),
    _Cost(
        "CPU to extract its features, of full VMAF's",
        "linear",
        lambda row: row.extraction_cost or np.nan,
    ),
)


def _cost_figure(rows: Sequence[ArchRow], title: str) -> Figure:
    """Draw RMSE against parameters, latency and extraction; one colour per cost of extraction.

    With one cost of extraction, every row gets its name. With several, a row gets its name only if
    no other student of the same features beats it in both RMSE and cost.
    """
    figure = Figure(figsize=(3 * SIZE[0], SIZE[1]), dpi=DPI, layout="constrained")
    figure.suptitle(title)
    extraction_costs = list(dict.fromkeys(row.extraction_cost for row in rows))
    for axes, cost in zip(figure.subplots(1, len(_COSTS), sharey=True), _COSTS, strict=True):
        limits = cost.limits([cost.of(row) for row in rows])
        axes.set(xscale=cost.scale, yscale="log", xlabel=cost.label, xlim=limits)
        name_all = len(extraction_costs) == 1 and cost.scale == "log"
        for row in rows:
            colour = f"C{extraction_costs.index(row.extraction_cost)}"
            _draw_row(axes, row, cost.of(row), colour)
            if name_all or not _is_beaten(row, rows, cost):
                at = (cost.of(row), row.frames.rmse)
                axes.annotate(row.arch, at, xytext=(5, 4), textcoords="offset points", fontsize=8)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("out-of-fold RMSE, score points")
    return figure


def _draw_row(axes: Axes, row: ArchRow, value: float, colour: str) -> None:
    rmse, interval = row.frames.rmse, row.rmse_interval
    axes.errorbar(
        value,
        rmse,
        yerr=[[max(0, rmse - interval.low)], [max(0, interval.high - rmse)]],
        marker="o" if row.trained else "x",
        capsize=3,
        color=colour if row.trained else "tab:gray",
    )


def _is_beaten(row: ArchRow, rows: Sequence[ArchRow], cost: _Cost) -> bool:
    """Tell whether a trained student of the same features costs no more and has less error."""
    return any(
        other.trained
        and other.extraction_cost == row.extraction_cost
        and cost.of(other) <= cost.of(row)
        and other.frames.rmse < row.frames.rmse
        for other in rows
    )


def _heat_map(
    rmse_AF: np.ndarray, archs: Sequence[str], folds: Sequence[str], title: str
) -> Figure:
    """Draw RMSE, of shape (archs, folds), as colours on a log scale, with a number in each cell."""
    figure, axes = _new(title, "", "")
    logged_AF = np.log10(np.maximum(rmse_AF, 1e-6))
    shown = axes.imshow(logged_AF, aspect="auto", cmap="viridis")
    axes.set_xticks(range(len(folds)), folds, rotation=60, fontsize=8)
    axes.set_yticks(range(len(archs)), archs)
    light = logged_AF.min() + 0.7 * np.ptp(logged_AF)
    for (row, column), rmse in np.ndenumerate(rmse_AF):
        ink = "black" if logged_AF[row, column] > light else "white"
        axes.text(column, row, f"{rmse:.2g}", ha="center", va="center", fontsize=7, color=ink)
    figure.colorbar(shown, label="log10 of RMSE")
    return figure


def _new(title: str, x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return figure, axes


def _density(axes: Axes, x_N: np.ndarray, y_N: np.ndarray) -> None:
    axes.hexbin(x_N, y_N, gridsize=60, bins="log", mincnt=1, cmap="viridis", linewidths=0.2)
    axes.grid(alpha=0.3)
