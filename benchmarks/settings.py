"""Leave-one-source-out RMSE on the demo corpus for several settings: how the defaults were chosen.

Usage: python benchmarks/settings.py [--seeds N]
The demo's own hold-out is left out altogether: it is neither trained nor judged on here.
"""

import argparse
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.frames.opening import open_corpus
from vmaf_train.frames.table import FrameTable, choose_hold_out
from vmaf_train.reporting import Reporter
from vmaf_train.students.settings import Job, Settings
from vmaf_train.students.training import fit_many

ARCHS = ("mlp_small", "mlp_medium")
TRIED: tuple[dict[str, Any], ...] = (
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


def demo_table() -> FrameTable:
    """Return the demo corpus's frames without those of its hold-out."""
    table = open_corpus(CorpusChoice(), Reporter()).table(())
    return table.only(set(table.sources) - {choose_hold_out(table.sources)})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(parser.parse_args().seeds)
    table = demo_table()
    print(f"sources: {', '.join(table.sources)}; defaults: {Settings()}\n")
    print(
        "| arch | changed | mean RMSE over folds and seeds | worst | median | seconds |\n|---|---|---|---|---|---|"
    )
    for arch in ARCHS:
        for changed in TRIED:
            settings = replace(Settings(), **changed)
            jobs = [
                Job((source,), seed, settings.teacher_points)
                for source in table.sources
                for seed in seeds
            ]
            started, rmse = time.perf_counter(), []
            for job, student in fit_many(arch, table, jobs, settings).items():
                held = table.only(job.hold_out)
                with torch.inference_mode():
                    error_N = student(torch.from_numpy(held.x_NF)).numpy() - held.y_N
                rmse.append(np.sqrt(np.mean(error_N**2)))
            said = ", ".join(f"{key} {value:g}" for key, value in changed.items()) or "nothing"
            print(
                f"| {arch} | {said} | {np.mean(rmse):.4f} | {np.max(rmse):.4f} | {np.median(rmse):.4f} | "
                f"{time.perf_counter() - started:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
