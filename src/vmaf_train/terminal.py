"""Output for people: progress on standard error, results on standard output."""

import csv
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from vmaf_train.console import err, number_table, print_table, tell
from vmaf_train.reporting import Epoch, Reporter

if TYPE_CHECKING:  # not imported at run time, so that the command line starts fast
    from vmaf_train.commands.export import Exported
    from vmaf_train.commands.video_score import VideoScore
    from vmaf_train.judging.comparison import Comparison
    from vmaf_train.judging.intervals import Interval
    from vmaf_train.judging.opinion_report import OpinionReport
    from vmaf_train.judging.report import EvalReport, Metrics
    from vmaf_train.tracking.links import Links

# Time between two lines of progress if there is no terminal.
PLAIN_LINE_SECONDS = 10.0
# Widths of tables that are written to a file or a pipe, in characters.
REPORT_WIDTH, COMPARISON_WIDTH, GATES_WIDTH, OPINION_WIDTH = 110, 140, 160, 150
# Rows of a table of clips, at most.
MOST_ROWS = 20
UNSEEN = "of sources that it never saw"
TRAINED_ON = "that it was trained on"
METRIC_COLUMNS = ("samples", "RMSE", "PLCC", "SROCC", "KROCC", "max error", "bias")
OPINION_COLUMNS = (
    "SROCC",
    "KROCC",
    "PLCC",
    "RMSE",
    "PLCC fitted",
    "RMSE fitted",
    "difference",
)
COMPARISON_COLUMNS = (
    "parameters",
    "mean fold",
    "worst fold",
    "all frames",
    "interval",
    "no points",
    "box max",
    "p50, µs",
    "CPU",
)


class TerminalReporter(Reporter):
    """Shows progress on standard error: bars on a terminal, plain lines elsewhere."""

    def say(self, line: str) -> None:
        tell(line)

    @contextmanager
    def extraction(self, pairs: int, frames: int) -> Iterator[Callable[[int], None]]:
        with _bar("libvmaf", pairs, "pairs", _FramesPerSecond()) as step:
            done_pairs = done_frames = 0

            def advance(frames_of_pair: int) -> None:
                nonlocal done_pairs, done_frames
                done_pairs += 1
                done_frames += frames_of_pair
                line = f"{done_pairs} of {pairs} pairs, {done_frames} of {frames} frames"
                step(line, frames=done_frames)

            try:
                yield advance
            except KeyboardInterrupt:
                self.say(
                    f"{done_pairs} of {pairs} pairs are in the cache; "
                    "the same command continues from there"
                )
                raise

    @contextmanager
    def making(self, what: str, clips: int) -> Iterator[Callable[[str], None]]:
        with _bar(what, clips, "clips") as step:
            yield lambda clip: step(f"made {clip}")

    @contextmanager
    def scoring(self, pairs: int) -> Iterator[Callable[[str], None]]:
        with _bar("score", pairs, "pairs") as step:
            yield lambda dis: step(f"done with {dis}")

    def epoch(self, epoch: Epoch, of: int) -> None:
        if epoch.number % max(1, of // 10) == 0 or epoch.number == of:
            self.say(
                f"epoch {epoch.number:>3}: training loss {epoch.train_loss:.2e}, "
                f"held-out RMSE {epoch.val_rmse:.3f}"
            )


class _FramesPerSecond(ProgressColumn):
    def render(self, task: Task) -> Text:
        frames, elapsed = task.fields.get("frames", 0), task.elapsed or 0.0
        return Text(f"{frames / elapsed:,.0f} frames/s" if elapsed and frames else "")


@contextmanager
def _bar(
    title: str, total: int, unit: str, *columns: ProgressColumn
) -> Iterator[Callable[..., None]]:
    """Show progress; yield a function to call after each step.

    The function takes a line, which is printed every few seconds if there is no terminal, and
    fields for the columns of the bar.
    """
    shown = 0.0
    layout = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
    hidden = not err.is_terminal
    with Progress(
        *layout, *columns, TimeRemainingColumn(), console=err, disable=hidden, transient=True
    ) as bar:
        task = bar.add_task(title, total=total)

        def step(line: str, **fields: Any) -> None:
            nonlocal shown
            bar.update(task, advance=1, **fields)
            last = bar.tasks[0].completed == total
            due = time.monotonic() - shown > PLAIN_LINE_SECONDS
            if hidden and (last or due):
                shown = time.monotonic()
                tell(f"{title}: {line}")

        yield step


def print_report(report: "EvalReport", title: str) -> None:
    """Print a report: metrics of model and references, errors over the feature box, size, speed."""
    rows: dict[str, Metrics] = {report.model.name: report, "pooled scores": report.pooled}
    if report.without_teacher_points:
        rows["without teacher's points"] = report.without_teacher_points
    rows |= {name.replace("_", " "): row for name, row in report.references.items()}
    _print_metrics(title, rows)

    if limits := report.intervals.get("rmse"):
        print(
            f"RMSE {report.confidence:.0%} interval, by bootstrap over clips: "
            f"{limits.low:.4f} to {limits.high:.4f}"
        )
    if box := report.box:
        print(
            f"Over the box of possible features: RMSE {box.rmse:.4f}, "
            f"max error {box.max_abs_error:.3f} "
            f"({box.n_samples} random vectors against the teacher)"
        )
        if box.worst_found is not None:
            proven = "" if box.proven is None else f", proven at most {box.proven:.3f}"
            print(f"Anywhere in the box: worst error found {box.worst_found:.3f}{proven}")
    if out_of_fold := report.out_of_fold:
        interval, widest = out_of_fold.interval, out_of_fold.interval.half_widths[-1]
        truth = "the teacher's" if report.targets == "teacher" else "the opinion score"
        print(
            f"Pooled score of a new source: within {widest.half_width:.4g} of {truth} for "
            f"{interval.confidence:.0%} of clips of {widest.frames} frames "
            f"(out of fold, {interval.sources} sources)"
        )
    if report.opinions:
        print_opinions(report.opinions)
    latency = report.latency
    print(
        f"{report.model.parameters or 'unknown'} parameters, {report.model.onnx_bytes} bytes of "
        f"ONNX, one row p50 {latency.row_p50_us:.1f} p95 {latency.row_p95_us:.1f} µs, "
        f"{latency.clip_rows} rows p50 {latency.clip_p50_us:.1f} p95 {latency.clip_p95_us:.1f} µs"
    )


def print_opinions(report: "OpinionReport") -> None:
    """Print how well the student, the teacher and PSNR agree with opinion scores."""
    seen = "sources that it never saw" if report.unseen else "sources that it was trained on"
    title = (
        f"Against {report.clips} opinion scores of {report.sources} sources ({report.scores}), on "
        f"{seen}; difference: the student's SROCC minus this one's"
    )
    table = number_table(title, OPINION_COLUMNS)
    for name, row in report.figures.items():
        table.add_row(
            name,
            _with_limits(row.srocc, row.intervals.get("srocc")),
            _number(row.krocc),
            _with_limits(row.plcc, row.intervals.get("plcc")),
            _number(row.rmse, 2),
            _number(row.plcc_fitted),
            _number(row.rmse_fitted, 2),
            _limits(row.difference.get("srocc")),
        )
    print_table(table, OPINION_WIDTH)
    if "psnr" not in report.figures:
        print(
            "PSNR: not computed for every clip; remove the clips from the cache and prewarm again"
        )
    if report.doubt:
        tell(f"warning: {report.doubt}")


def print_misses(report: "EvalReport") -> None:
    """Print the clips for which the stated interval did not hold, or that lie outside."""
    check = report.interval_check
    if check is None:
        return
    clips = f"{len(check.held_by_clip)} clips {UNSEEN if check.unseen else TRAINED_ON}"
    line = f"The stated interval held for {check.coverage:.1%} of {clips}"
    if limits := check.coverage_interval:
        line += f" ({report.confidence:.0%} {limits.low:.1%} to {limits.high:.1%} over sources)"
    print(f"{line}; it states {check.confidence:.0%}")
    outside = {name: share for name, share in check.outside_by_clip.items() if share > 0}
    missed = [name for name, held in check.held_by_clip.items() if not held]
    named = sorted({*missed, *outside}, key=lambda name: (-outside.get(name, 0.0), name))
    if not named:
        return
    table = number_table(
        f"{len(named)} clips to look at", ("interval", "frames outside what it learnt")
    )
    for name in named[:MOST_ROWS]:
        held = {True: "held", False: "missed", None: "-"}[check.held_by_clip.get(name)]
        table.add_row(name, held, f"{outside.get(name, 0.0):.0%}")
    print_table(table, REPORT_WIDTH)
    if len(named) > MOST_ROWS:
        print(f"and {len(named) - MOST_ROWS} more, in eval_report.json")


def print_sources(report: "EvalReport") -> None:
    """Print a report's metrics per source."""
    seen = {True: " (trained on)", False: " (held out)", None: ""}
    rows = {source + seen[row.in_training]: row for source, row in report.per_source.items()}
    _print_metrics(f"{report.model.name} by source", {**rows, "all frames": report})


def print_comparison(comparison: "Comparison") -> None:
    """Print a sweep's table and its recommendation."""
    title = (
        f"RMSE out of fold, {comparison.seeds} seeds per fold; CPU of its features, full VMAF is 1"
    )
    table = number_table(title, COMPARISON_COLUMNS)
    for row in comparison.rows:
        table.add_row(
            row.arch,
            str(row.parameters),
            f"{row.mean_fold.mean:.4f}",
            f"{row.worst_fold.mean:.4f}",
            f"{row.frames.rmse:.4f}",
            f"{row.rmse_interval.low:.4f} to {row.rmse_interval.high:.4f}",
            f"{row.without_points.rmse:.4f}" if row.without_points else "-",
            f"{row.box.max_abs_error:.3f}" if row.box else "-",
            f"{row.latency.row_p50_us:.1f}",
            f"{row.extraction_cost:.2f}" if row.extraction_cost else "-",
        )
    print_table(table, COMPARISON_WIDTH)
    _print_compared_opinions(comparison)
    print(comparison.recommendation)


def _print_compared_opinions(comparison: "Comparison") -> None:
    """Print how well each row agrees with opinion scores, beside the teacher and PSNR."""
    rows = [(row.arch, row.opinions) for row in comparison.rows if row.opinions]
    if not rows:
        return
    report = rows[0][1]
    table = number_table(
        f"Out of fold against {report.clips} opinion scores ({report.scores}), first seed",
        ("SROCC", "PLCC", "RMSE", "SROCC minus the teacher's"),
    )
    figures = [(name, each.figures["student"], each.figures["teacher"]) for name, each in rows]
    for name, own, teacher in sorted(figures, key=lambda each: -(each[1].srocc or 0)):
        table.add_row(
            name,
            _with_limits(own.srocc, own.intervals.get("srocc")),
            _with_limits(own.plcc, own.intervals.get("plcc")),
            _number(own.rmse, 2),
            _limits(teacher.difference.get("srocc")),
        )
    for name in ("teacher", "psnr"):
        if row := report.figures.get(name):
            limits = [row.intervals.get(figure) for figure in ("srocc", "plcc")]
            values = (_with_limits(row.srocc, limits[0]), _with_limits(row.plcc, limits[1]))
            table.add_row(f"{name} itself", *values, _number(row.rmse, 2), "-")
    print_table(table, OPINION_WIDTH)
    for name, each in rows:
        if each.doubt:
            tell(f"warning: {name}: {each.doubt}")


def print_score(score: "VideoScore", format: str, *, per_frame: bool) -> None:
    """Print the pooled scores of a video, or with `per_frame` its frame scores, as JSON or CSV.

    JSON always holds the pooled scores. CSV holds either the frame scores or the pooled scores.
    What makes the scores doubtful goes to standard error.
    """
    for remark in score.remarks:
        tell(f"warning: {remark}")
    if format == "json":
        frames = {}
        if per_frame and score.seed is not None:
            frames["scored_frames"] = score.frame_S.tolist()
        if per_frame:
            frames["scores"] = score.score_S.tolist()
        print(json.dumps({**score.pooled, **frames}, indent=2))
        return
    writer = csv.writer(sys.stdout)
    if per_frame:
        rows = zip(score.frame_S.tolist(), score.score_S.tolist(), strict=True)
        writer.writerows([("frame", "score"), *rows])
    else:
        writer.writerows([score.pooled.keys(), score.pooled.values()])


def print_gates(gates: Sequence[Any]) -> None:
    """Print the gates of a promotion, if any."""
    table = Table()
    for name in ("gate", "", "fact"):
        table.add_column(name)
    for gate in gates:
        table.add_row(gate.name, "passed" if gate.passed else "REFUSED", gate.fact)
    if gates:
        print_table(table, GATES_WIDTH)


def print_export(done: "Exported") -> None:
    """Print what was exported, how exact it is, and the line that uses it."""
    model = done.model
    kind = f"a polynomial of degree {model.degree}" if model.degree else "the teacher's SVR"
    print(f"{done.path}: {done.name}, {kind}, {model.points} points, {len(model.content)} bytes")
    print(
        f"largest difference to the student on random features: {model.max_error:.1e} score points"
    )
    print(f"use it: {done.command}")


def print_links(links: "Links") -> None:
    """Print the links to a run."""
    print(f"run {links.run_id}")
    if links.start_ui:
        print(f"start the UI: {links.start_ui}")
    print(f"this run:     {links.run}")
    print(f"all, charted: {links.charts}")


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _limits(limits: "Interval | None") -> str:
    return "-" if limits is None else f"{limits.low:+.3f} to {limits.high:+.3f}"


def _with_limits(value: float | None, limits: "Interval | None") -> str:
    if limits is None:
        return _number(value)
    return f"{_number(value)} ({limits.low:.3f} to {limits.high:.3f})"


def _print_metrics(title: str, rows: "Mapping[str, Metrics]") -> None:
    table = number_table(title, METRIC_COLUMNS)
    for name, row in rows.items():
        correlations = [
            "-" if value is None else f"{value:.5f}" for value in (row.plcc, row.srocc, row.krocc)
        ]
        table.add_row(
            name,
            str(row.n_samples),
            f"{row.rmse:.4f}",
            *correlations,
            f"{row.max_abs_error:.3f}",
            f"{row.bias:+.3f}",
        )
    print_table(table, REPORT_WIDTH)
