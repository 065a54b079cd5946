"""Faults on purpose: what is injected, and what of it does harm.

Usage: python benchmarks/faults.py [--flips 10000] [--inputs 100000] [--kills 50] [--rounds 5]
    [--seed 0]
Prints one row per kind of fault, with its count, and the counts of four harms:

- lost: a result differs from that without the fault, or is missing after the next run;
- hung: nothing came within the time limit;
- tracebacks: another exception came out than those that tell the user what is wrong;
- left over: a child process or a temporary folder stayed.

The exit code is 1 if there is any harm. Disks that get full need a system that lets a user mount
one; elsewhere, a line says that they are left out.
"""

import logging
import os
import random
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

from breaking import files, passes, server, training
from breaking.harm import Harm
from common import header, make_parser, row, throw_away_folder

COLUMNS = ("fault", "injected", "lost", "hung", "tracebacks", "left over")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# Trainings that write one store at once, and answers of a server per kind.
AT_ONCE, ANSWERS = 8, 20
EMPTY_FILES = 10_000


def faults(
    options: Namespace, place: Callable[[], Path], draw: random.Random
) -> Iterator[tuple[str, Harm]]:
    """Inject each kind of fault; yield its name and its harm."""
    flips, rounds = options.flips, options.rounds
    yield "bit of a cache entry flipped", files.flips_of_entries(place(), flips, draw)
    yield "bit of a shipped model flipped", files.flips_of_models(place(), flips // 10, draw)
    yield "model from outside damaged", files.models_from_outside(flips // 50, draw)
    yield from files.fuzz(place(), options.inputs // 10, draw)
    yield "metadata of a table", files.fuzz_parquet(place(), options.inputs // 100, draw)
    for what in SIGNALS:
        harm = passes.kills(place(), options.kills, what, draw)
        yield f"prewarm ended by {what.name}", harm
    yield from passes.failing_ffmpeg(place(), rounds)
    yield "empty file in a corpus", passes.empty_files(place(), EMPTY_FILES)
    yield "two prewarms at once", passes.two_at_once(place(), rounds)
    for what in SIGNALS:
        harm = training.signals(place(), options.kills // 2, what, draw)
        yield f"train ended by {what.name}", harm
    yield "odd table to train on", training.odd_tables(place())
    yield "absurd setting of a training", training.odd_settings(place())
    together = {"a file store": True, "SQLite": False}
    for name, file_store in together.items():
        harm = training.at_once(place(), rounds, AT_ONCE, file_store=file_store)
        yield f"{AT_ONCE} trainings at once on {name}", harm
    yield from training.other_places(place())
    if passes.can_mount():
        for variable in ("VMAF_TINY_AI_CACHE", "TMPDIR"):
            yield f"full disk: {variable}", passes.full_disks(place(), variable)
        yield "full disk: the store", training.full_store(place(), draw, 4 * rounds)
        yield "cache that cannot be written", passes.closed_disk(place(), rounds)
    else:
        print("no disk can be mounted here; full disks are left out", file=sys.stderr)
    yield "server that dies during a fit", server.dies_after_the_fit(place(), 1)
    yield from server.answers(place(), ANSWERS, draw)


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--flips", type=int, default=10_000)
    parser.add_argument("--inputs", type=int, default=100_000, help="texts per reader: a tenth")
    parser.add_argument("--kills", type=int, default=50, help="per signal")
    parser.add_argument("--rounds", type=int, default=5, help="of each fault of a pass")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    harmed = False
    # A warning for each damaged entry would hide the table.
    logging.disable(logging.WARNING)
    print(header(*COLUMNS))
    with throw_away_folder() as folder:
        places = (folder / str(number) for number in range(100))

        def place() -> Path:
            made = next(places)
            made.mkdir()
            return made

        for name, harm in faults(options, place, random.Random(options.seed)):
            harmed |= harm.any
            cells = (harm.injected, harm.lost, harm.hung, harm.tracebacks, harm.left)
            print(row(name, *(f"{cell:,}" for cell in cells)), flush=True)
    # A thread that still waits for the hostile server must not hold the process.
    sys.stdout.flush()
    os._exit(harmed)


if __name__ == "__main__":
    main()
