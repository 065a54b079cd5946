"""What the benchmarks share: options, the clock, rounds in turn, throw-away folders, tables.

A benchmark is a script: `python benchmarks/NAME.py --help` shows what it measures.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from vmaf_train.clips.video import YuvFormat, raw_arguments
from vmaf_train.extraction.libvmaf import Ffmpeg
from vmaf_train.frames.choice import DEMO, REAL, CorpusChoice
from vmaf_train.frames.opening import open_corpus
from vmaf_train.frames.table import FrameTable
from vmaf_train.reporting import Reporter

Way = TypeVar("Way", bound=Hashable)
Result = TypeVar("Result")

VMAF_TRAIN = (sys.executable, "-m", "vmaf_train")


def names(text: str) -> list[str]:
    """Read names with commas between them."""
    return text.split(",")


def numbers(text: str) -> list[int]:
    """Read whole numbers with commas between them."""
    return [int(part) for part in names(text)]


# Options of several benchmarks, as argparse takes them.
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "corpus": {"help": "folder in the Netflix layout, or a .parquet file of export-features"},
    "assume_dims": {"help": "WxH of every file in the corpus"},
    "rounds": {"type": int, "help": "how often each way runs"},
    "seeds": {"type": int, "help": "how many fits that differ in their seed alone"},
    "archs": {"type": names, "help": "architectures, with commas between them"},
}


def make_parser(doc: str | None, **defaults: object) -> ArgumentParser:
    """Return a parser that shows a module's docstring.

    Args:
        doc: the docstring.
        defaults: of each of `OPTIONS` that the benchmark takes; None makes it required.
    """
    parser = ArgumentParser(description=doc, formatter_class=RawDescriptionHelpFormatter)
    for name, default in defaults.items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, default=default, required=default is None, **OPTIONS[name])
    return parser


def choice_of(options: Namespace) -> CorpusChoice:
    """Return the corpus that the options name; its path holds from any working folder."""
    choice = CorpusChoice(corpus=options.corpus, assume_dims=options.assume_dims)
    packaged = len(choice.parts) > 1 or choice.corpus in (DEMO, REAL)
    return choice if packaged else replace(choice, corpus=str(choice.path))


def table_of(choice: CorpusChoice, features: Sequence[str] = ()) -> FrameTable:
    """Return all frames of a corpus, with the teacher's features and these."""
    return open_corpus(choice, Reporter(), features).table(())


@dataclass(frozen=True)
class Took:
    """Wall and CPU time of child processes, in seconds."""

    wall: float
    cpu: float

    def __sub__(self, other: "Took") -> "Took":
        return Took(self.wall - other.wall, self.cpu - other.cpu)

    def __str__(self) -> str:
        return f"{self.wall:.2f} s wall, {self.cpu:.2f} s CPU"


def timed(*commands: Sequence[str], cwd: Path, **environment: str) -> Took:
    """Run commands one after the other and return the time of all of them.

    Args:
        commands: the words of each command.
        cwd: working folder.
        environment: variables to add.

    Raises:
        CalledProcessError: a command failed.
    """
    before, started = _cpu_of_children(), time.perf_counter()
    for command in commands:
        subprocess.run(
            command,
            check=True,
            cwd=cwd,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
    return Took(time.perf_counter() - started, _cpu_of_children() - before)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def clocked(work: Callable[[], Result]) -> tuple[float, Result]:
    """Do a piece of work in this process; return its wall time in seconds, and its result."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def in_turn(
    ways: Mapping[Way, Callable[[], Result]],
    rounds: int,
    on_round: Callable[[Mapping[Way, Result]], None] = lambda results: None,
) -> dict[Way, list[Result]]:
    """Run every way once per round, so that other work on the machine slows all of them alike.

    Args:
        ways: what to run, by name, in this order.
        rounds: how often.
        on_round: is told the results of each round.

    Returns:
        The results of each way, one per round.
    """
    results: dict[Way, list[Result]] = {name: [] for name in ways}
    for _ in range(rounds):
        done = {name: way() for name, way in ways.items()}
        for name, result in done.items():
            results[name].append(result)
        on_round(done)
    return results


def ratios(values: Sequence[float], bases: Sequence[float]) -> list[float]:
    """Divide each value by the base of the same round."""
    return [value / base for value, base in zip(values, bases, strict=True)]


def measure_apart(script: str, *arguments: str) -> list[float]:
    """Run a benchmark's hidden option `--measure` in a new process; return what it printed.

    Args:
        script: path of the benchmark.
        arguments: after `--measure`.

    Raises:
        CalledProcessError: it failed.
    """
    command = [sys.executable, script, "--measure", *arguments]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    figures: list[float] = json.loads(printed)
    return figures


def peak_megabytes() -> float:
    """Return the peak memory of this process."""
    # Not getrusage: its figure starts from the peak of the parent process.
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


@contextmanager
def variables(**values: str) -> Iterator[None]:
    """Set environment variables, of this process and its children, for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@contextmanager
def throw_away_folder() -> Iterator[Path]:
    """Make a temporary folder, and remove it at the end."""
    with tempfile.TemporaryDirectory(prefix="vmaf-train-benchmark-") as folder:
        yield Path(folder)


@contextmanager
def throw_away_store() -> Iterator[Path]:
    """Work in a temporary folder, with an MLflow SQLite store of its own; yield the folder."""
    with throw_away_folder() as folder, chdir(folder):
        with variables(MLFLOW_TRACKING_URI=f"sqlite:///{folder}/mlflow.db"):
            yield folder


@contextmanager
def empty_cache() -> Iterator[Path]:
    """Let this process and its children use a cache of their own; yield its folder."""
    with throw_away_folder() as folder, variables(VMAF_TINY_AI_CACHE=str(folder)):
        yield folder


def draw_clip(
    ffmpeg: Ffmpeg, path: Path, format: YuvFormat, *, frames: int, filters: Sequence[str] = ()
) -> None:
    """Write a raw clip of ffmpeg's test pictures.

    Args:
        ffmpeg: draws it.
        path: of the file; its folder is made.
        format: of the file.
        frames: how many.
        filters: of ffmpeg, applied to the pictures.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    graph = ",".join((f"testsrc2=size={format}:rate=25", *filters))
    drawn = ["-f", "lavfi", "-i", graph, "-frames:v", str(frames)]
    run_ffmpeg(ffmpeg, *drawn, *raw_arguments(format.pix_fmt), str(path))


def run_ffmpeg(ffmpeg: Ffmpeg, *arguments: str) -> None:
    """Run ffmpeg.

    Raises:
        CalledProcessError: it failed.
    """
    subprocess.run([*quiet(ffmpeg), *arguments], check=True)


def quiet(ffmpeg: Ffmpeg) -> list[str]:
    """Return the start of an ffmpeg command that reads no keys and prints errors only."""
    return [str(ffmpeg.path), "-nostdin", "-v", "error"]


def row(*cells: object) -> str:
    """Return a row of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


def header(*columns: str) -> str:
    """Return the two lines above the rows of a Markdown table."""
    return f"{row(*columns)}\n|{'---|' * len(columns)}"
