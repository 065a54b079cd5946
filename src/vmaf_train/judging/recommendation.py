"""The recommendation of a sweep: the fastest architecture that is no worse than the best one.

The best one has the lowest out-of-fold RMSE.
"""

from collections.abc import Mapping, Sequence

from vmaf_train.judging.agreement import LEVEL
from vmaf_train.judging.opinion_report import STUDENT, TEACHER
from vmaf_train.judging.rows import ArchRow, Difference


def recommend(rows: Sequence[ArchRow], differences: Sequence[Difference]) -> str:
    """Return the recommendation: one line, or a list with one line per cost of extraction.

    Students of opinion scores are recommended by their agreement with these, not with the teacher.
    """
    trained = [row for row in rows if row.trained]
    if not trained:
        return "nothing was fitted, so there is nothing to recommend"
    by_opinions = [row for row in trained if row.targets != TEACHER]
    by_teacher = [row for row in trained if row.targets == TEACHER]
    if not by_opinions:
        return _by_teacher(by_teacher, differences)
    lines = [f"- for opinion scores: {_by_opinions(by_opinions)}"]
    if by_teacher:
        lines.append(f"- for the teacher's scores: {_by_teacher(by_teacher, differences)}")
    return "\n".join(lines)


def _by_opinions(rows: Sequence[ArchRow]) -> str:
    """Return the line of the student that agrees best with opinion scores."""
    judged = [row for row in rows if row.opinions]
    if not judged:
        return "too few clips have a score to say anything"
    # A correlation that is not defined is the worst.
    best = max(judged, key=lambda row: _srocc(row, STUDENT))
    report = best.opinions
    assert report
    limits = report.figures[STUDENT].intervals.get("srocc")
    line = f"{best.arch}: SROCC {_srocc(best, STUDENT):.3f}"
    if limits:
        line += f" ({LEVEL:.0%} {limits.low:.3f} to {limits.high:.3f})"
    line += f" out of fold on {report.clips} clips, the teacher's own {_srocc(best, TEACHER):.3f}"
    if gained := report.figures[TEACHER].difference.get("srocc"):
        line += f", a difference between {gained.low:+.3f} and {gained.high:+.3f}"
    return line


def _srocc(row: ArchRow, predictor: str) -> float:
    assert row.opinions
    value = row.opinions.figures[predictor].srocc
    return -1.0 if value is None else value


def _by_teacher(trained: Sequence[ArchRow], differences: Sequence[Difference]) -> str:
    # The highest cost first, an unknown one last.
    costs = sorted({row.extraction_cost for row in trained}, key=lambda cost: -(cost or 0))
    lines = {
        cost: _recommend_among(
            {row.arch: row for row in trained if row.extraction_cost == cost}, differences
        )
        for cost in costs
    }
    if len(costs) == 1:
        return lines[costs[0]]
    return "\n".join(
        f"- at {'an unknown share' if cost is None else f'{cost:.2f}'} of full VMAF's CPU: {line}"
        for cost, line in lines.items()
    )


def _recommend_among(trained: Mapping[str, ArchRow], differences: Sequence[Difference]) -> str:
    best = min(trained.values(), key=lambda row: row.frames.rmse)
    no_worse = {
        difference.arch
        for difference in differences
        if difference.against == best.arch
        and difference.arch in trained
        and difference.verdict != "worse"
    }
    chosen = min(
        (trained[name] for name in {best.arch, *no_worse}),
        key=lambda row: (row.latency.row_p50_us, row.arch),
    )
    fact = (
        f"{chosen.arch}: out-of-fold RMSE {chosen.frames.rmse:.4f} "
        f"({LEVEL:.0%} {chosen.rmse_interval.low:.4f} to {chosen.rmse_interval.high:.4f}), "
        f"{chosen.latency.row_p50_us:.1f} µs per row"
    )
    if chosen is not best:
        return (
            f"{fact}; {best.arch} has {best.frames.rmse:.4f}, which is not a significant difference"
        )
    if len(trained) == 1:
        return fact
    if no_worse:
        return f"{fact}; {', '.join(sorted(no_worse))}: no worse, but slower"
    return f"{fact}; all other students are worse"
