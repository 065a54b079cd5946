"""The command line's upkeep of what stays between commands: the cache, and the runs."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmaf_train.console import number_table, print_table
from vmaf_train.errors import VmafTrainError
from vmaf_train.exits import exit_code
from vmaf_train.terminal import TerminalReporter

if TYPE_CHECKING:  # not imported at run time, so that the command line starts fast
    from mlflow.entities import Run

    from vmaf_train.extraction.entries import Entry

MEGABYTE = 1e6
# Widths of tables that are written to a file or a pipe, in characters.
CACHE_WIDTH, RUNS_WIDTH = 110, 130
# Runs that are listed.
NEWEST = 30
RUN_COLUMNS = ("run", "status", "started", "RMSE", "SROCC")

cache = typer.Typer(no_args_is_help=True, help="Look at the cache, check it, or tidy it up.")

Sample = Annotated[
    int,
    typer.Option(min=0, max=1_000_000, help="Clips to extract again and compare; 0 is none."),
]
CloseOrphans = Annotated[
    bool,
    typer.Option("--close-orphans", help="End runs that are RUNNING and whose process is gone."),
]


@cache.command()
def ls() -> None:
    """List the entries of the cache per source: how many, their size, and which serve no pass."""
    with exit_code():
        from vmaf_train.commands.cache import list_entries
        from vmaf_train.extraction.cache import cache_root
        from vmaf_train.extraction.entries import USELESS, other_folders

        entries = list_entries()
        _print_entries(entries, cache_root())
        for name, size in other_folders(cache_root()).items():
            print(f"{name}: {size / MEGABYTE:.2f} MB")
        if useless := [entry for entry in entries if entry.state in USELESS]:
            size = sum(entry.bytes for entry in useless)
            print(
                f"vmaf-train cache prune removes {len(useless)} of them, {size / MEGABYTE:.2f} MB"
            )


@cache.command()
def verify(sample: Sample = 0) -> None:
    """Check the hash of every entry; extract some clips again and compare."""
    with exit_code():
        from vmaf_train.commands.cache import verify

        done = verify(TerminalReporter(), sample)
        for fault in done.faults:
            print(fault)
        if sample:
            print(f"{done.extracted} clips extracted again, largest difference {done.largest:.2g}")
        if done.faults:
            raise VmafTrainError(
                f"{len(done.faults)} of {done.entries} entries serve no pass or differ; "
                "vmaf-train cache prune removes those that serve none"
            )
        print(f"{done.entries} entries, all as they were written")


@cache.command()
def prune() -> None:
    """Remove entries that serve no pass: damaged, stale, or of files that are gone."""
    with exit_code():
        from vmaf_train.commands.cache import prune

        removed = prune(TerminalReporter())
        size = sum(entry.bytes for entry in removed) / MEGABYTE
        print(f"removed {len(removed)} entries, {size:.2f} MB")


def runs(close_orphans: CloseOrphans = False) -> None:
    """List the newest MLflow runs, or end those that a kill left RUNNING."""
    with exit_code():
        from vmaf_train.tracking.orphans import close_orphans as close
        from vmaf_train.tracking.orphans import newest_runs

        if close_orphans:
            closed = close()
            for orphan in closed:
                print(f"ended {orphan.run_id} {orphan.name} as KILLED: {orphan.reason}")
            print(f"{len(closed)} runs ended")
        else:
            _print_runs(newest_runs(NEWEST))


def _print_entries(entries: "Iterable[Entry]", root: Path) -> None:
    from vmaf_train.extraction.entries import State

    by_source: dict[str, list[Entry]] = {}
    for entry in entries:
        by_source.setdefault(entry.source, []).append(entry)
    table = number_table(str(root), ("entries", "MB", *map(str, State)))
    for source, own in by_source.items():
        counts = Counter(entry.state for entry in own)
        size = sum(entry.bytes for entry in own) / MEGABYTE
        cells = (len(own), f"{size:.2f}", *(counts[state] for state in State))
        table.add_row(source, *map(str, cells))
    print_table(table, CACHE_WIDTH)


def _print_runs(found: "Iterable[Run]") -> None:
    table = number_table("the newest runs", RUN_COLUMNS)
    for run in found:
        started = datetime.fromtimestamp(run.info.start_time / 1000)
        figures = [run.data.metrics.get(name) for name in ("val/rmse", "val/srocc")]
        shown = ["-" if value is None else f"{value:.4f}" for value in figures]
        status = str(run.info.status)
        table.add_row(run.info.run_name, run.info.run_id, status, f"{started:%F %T}", *shown)
    print_table(table, RUNS_WIDTH)
