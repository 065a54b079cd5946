"""Leave-one-source-out RMSE on the demo for several settings: how the defaults were chosen.

Usage: python benchmarks/settings.py [--seeds N]
The demo's own hold-out takes no part: no student is trained or judged on it here.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from common import clocked, header, make_parser, row, table_of
from sweep import held_out_errors

from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.frames.splits import choose_hold_out, split
from vmaf_train.frames.table import FrameTable
from vmaf_train.students.settings import Job, Settings

ARCHS = ("mlp_small", "mlp_medium")
TRIED: tuple[Mapping[str, Any], ...] = (
    {},
    {"batch_size": 32},
    {"batch_size": 128},
    {"lr": 0.1},
    {"lr": 1.0},
    {"epochs": 10},
    {"epochs": 60},
    {"teacher_points": 0},
    {"teacher_points": 2048},
    {"teacher_points": 32768},
)
COLUMNS = ("arch", "changed", "mean RMSE over folds and seeds", "worst", "median", "seconds")


def demo_without_hold_out() -> FrameTable:
    table = table_of(CorpusChoice())
    train, _ = split(table, choose_hold_out(table.sources))
    return train


def figures(arch: str, table: FrameTable, settings: Settings, seeds: int) -> list[str]:
    """Fit every fold and seed; return the cells of one row."""
    points = settings.teacher_points
    jobs = [Job((source,), seed, points) for source in table.sources for seed in range(seeds)]
    seconds, rmse = clocked(lambda: held_out_errors(arch, table, jobs, settings))
    errors = (np.mean(rmse), np.max(rmse), np.median(rmse))
    return [*(f"{error:.4f}" for error in errors), f"{seconds:.1f}"]


def main() -> None:
    options = make_parser(__doc__, seeds=3).parse_args()
    table = demo_without_hold_out()
    print(f"sources: {', '.join(table.sources)}; defaults: {Settings()}\n")
    print(header(*COLUMNS))
    for arch in ARCHS:
        for changed in TRIED:
            settings = replace(Settings(), **changed)
            said = ", ".join(f"{key} {value:g}" for key, value in changed.items()) or "nothing"
            cells = figures(arch, table, settings, options.seeds)
            print(row(arch, said, *cells), flush=True)


if __name__ == "__main__":
    main()
