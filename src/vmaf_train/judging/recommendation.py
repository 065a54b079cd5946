"""The recommendation of a sweep: the fastest architecture that is no worse than the best one.

The best one has the lowest out-of-fold RMSE.
"""

from collections.abc import Mapping, Sequence

from vmaf_train.judging.agreement import LEVEL
from vmaf_train.judging.rows import ArchRow, Difference


def recommend(rows: Sequence[ArchRow], differences: Sequence[Difference]) -> str:
    """Return the recommendation: one line, or a list with one line per cost of extraction."""
    trained = [row for row in rows if row.trained]
    if not trained:
        return "nothing was fitted, so there is nothing to recommend"

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
