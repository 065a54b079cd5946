"""The recommendation of a sweep: which arch, and why."""

from comparisons import row_of

from vmaf_train.judging.intervals import Interval
from vmaf_train.judging.recommendation import recommend
from vmaf_train.judging.rows import ArchRow, Difference


def differing(rows: list[ArchRow], level: float) -> list[Difference]:
    """Return the difference of every two rows; one larger than `level` is settled."""
    return [
        Difference(
            arch=a.arch,
            against=b.arch,
            rmse=off,
            interval=Interval(low=off - level, high=off + level),
        )
        for a in rows
        for b in rows
        if a is not b
        for off in [a.frames.rmse - b.frames.rmse]
    ]


def recommended(*rows: ArchRow, level: float = 0.5) -> str:
    """Return the recommendation for rows whose differences above `level` are settled."""
    return recommend(rows, differing(list(rows), level))


def test_the_most_accurate_arch_is_recommended_if_all_others_are_worse():
    line = recommended(row_of("fast", 3, 1), row_of("best", 1, 9), row_of("slow", 2, 20))
    assert line == (
        "best: out-of-fold RMSE 1.0000 (95% 0.5000 to 2.0000), 9.0 µs per row; "
        "all other students are worse"
    )


def test_a_faster_arch_that_is_no_different_is_recommended():
    line = recommended(row_of("best", 1, 9), row_of("close", 1.1, 3), row_of("fast", 3, 1))
    assert line.startswith("close: out-of-fold RMSE 1.1000")
    assert "best has 1.0000, which is not a significant difference" in line


def test_a_slower_arch_that_is_no_different_is_only_named():
    line = recommended(row_of("best", 1, 3), row_of("close", 1.1, 9), row_of("fast", 3, 1))
    assert line.startswith("best: out-of-fold RMSE 1.0000")
    assert "close: no worse, but slower" in line
    assert "fast" not in line


def test_each_extraction_cost_has_its_own_recommendation():
    whole = [
        row_of("best", 1, 9, cost=1.0),
        row_of("close", 1.1, 3, cost=1.0),
        row_of("reference", 0.1, 1, False, cost=0.1),
    ]
    less = [
        row_of("poor-less", 9, 1, cost=0.5),
        row_of("good-less", 5, 2, cost=0.5),
        row_of("unknown", 7, 2),
    ]
    lines = recommended(*less, *whole).splitlines()
    starts = [
        "- at 1.00 of full VMAF's CPU: close: ",
        "- at 0.50 of full VMAF's CPU: good-less: ",
        "- at an unknown share of full VMAF's CPU: unknown: ",
    ]
    assert [line[: len(start)] for line, start in zip(lines, starts, strict=True)] == starts
    assert lines[1].endswith("all other students are worse")


def test_an_untrained_reference_is_never_recommended():
    line = recommended(
        row_of("reference", 0.1, 0.1, trained=False), row_of("best", 1, 9), row_of("close", 1.1, 3)
    )
    assert line.startswith("close: ")
    assert "best has 1.0000" in line
    assert "reference" not in line


def test_untrained_archs_alone_give_no_recommendation():
    line = recommended(row_of("one", 1, 1, trained=False), row_of("other", 2, 2, trained=False))
    assert "nothing to recommend" in line


def test_a_single_arch_is_recommended():
    assert recommended(row_of("only", 1, 1)).startswith("only: ")
