"""Time and CPU of a cold prewarm, against libvmaf's own tools on the same pairs.

Usage: python benchmarks/prewarm.py [--rounds N] [--small | --large]
           [--corpus PATH --assume-dims WxH]
The tools take the pairs one after the other, with all cores: ffmpeg's libvmaf filter and, if it
is on PATH, `vmaf`. Prewarm is the whole command.

Two corpora are made: the demo, 72 pairs of 320x180, and 16 pairs of 1920x1080 and 48 frames (the
demo's, scaled up; 3 GB below --folder).

"Beyond start-up" subtracts the same command with a warm cache: it starts, scans and reads, but
extracts nothing. All ways run in turn. Shares are medians of the ratios of each round.
"""

import shutil
import tempfile
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from statistics import median

from common import (
    VMAF_TRAIN,
    Took,
    empty_cache,
    in_turn,
    make_parser,
    quiet,
    ratios,
    run_ffmpeg,
    throw_away_folder,
    timed,
)

from vmaf_train.clips import demo, layouts
from vmaf_train.clips.pairs import Pair
from vmaf_train.clips.video import Video, YuvFormat, parse_dims, raw_arguments
from vmaf_train.extraction.libvmaf import Ffmpeg, find_ffmpeg
from vmaf_train.processes import cores
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

LARGE = YuvFormat(1920, 1080)
LARGE_SOURCES, LARGE_RUNGS = 4, 4
COLD, WARM = "prewarm", "prewarm, warm"


def make_large(ffmpeg: Ffmpeg, small: Path, folder: Path) -> Path:
    """Scale the last rungs of the first sources of the demo up; return the folder."""
    for video in large_videos(small):
        made = folder / video.path.relative_to(small)
        if made.exists():
            continue
        made.parent.mkdir(parents=True, exist_ok=True)
        scaled = ["-vf", f"scale={LARGE.width}:{LARGE.height}", *raw_arguments(LARGE.pix_fmt)]
        run_ffmpeg(ffmpeg, *video.arguments(), *scaled, str(made))
    return folder


def large_videos(small: Path) -> Iterator[Video]:
    pairs = layouts.scan(small, demo.FORMAT).pairs
    by_source = [list(pairs) for _, pairs in groupby(pairs, lambda pair: pair.source)]
    for of_source in by_source[:LARGE_SOURCES]:
        yield of_source[0].ref
        yield from (pair.dis for pair in of_source[-LARGE_RUNGS:])


def ffmpeg_command(ffmpeg: Ffmpeg, pair: Pair) -> list[str]:
    inputs = [*pair.dis.arguments(), *pair.ref.arguments()]
    libvmaf = (
        f"libvmaf=model=version={DEFAULT_TEACHER.name}:"
        f"log_path=log.json:log_fmt=json:n_threads={cores()}"
    )
    return [*quiet(ffmpeg), *inputs, "-lavfi", libvmaf, "-f", "null", "-"]


def vmaf_command(pair: Pair) -> list[str]:
    size = ["-w", str(pair.format.width), "-h", str(pair.format.height), "-p", "420", "-b", "8"]
    files = ["-r", str(pair.ref.path), "-d", str(pair.dis.path), "--json", "-o", "log.json", "-q"]
    model = ["--model", f"version={DEFAULT_TEACHER.name}", "--threads", str(cores())]
    return ["vmaf", *files, *size, *model]


def loops(ffmpeg: Ffmpeg, pairs: Sequence[Pair], cwd: Path) -> dict[str, Callable[[], Took]]:
    """Return how to score all pairs with each of libvmaf's tools that is there."""
    commands = {"ffmpeg loop": [ffmpeg_command(ffmpeg, pair) for pair in pairs]}
    if shutil.which("vmaf"):
        commands["vmaf loop"] = [vmaf_command(pair) for pair in pairs]
    return {name: partial(timed, *words, cwd=cwd) for name, words in commands.items()}


def compare(ffmpeg: Ffmpeg, folder: Path, format: YuvFormat, rounds: int) -> None:
    """Time all ways over one corpus, and print times and shares."""
    pairs = layouts.scan(folder, format).pairs
    frames = sum(pair.n_frames for pair in pairs)
    print(f"\n{len(pairs)} pairs of {format}, {frames} frames, {cores()} cores")

    command = [*VMAF_TRAIN, "prewarm", "--corpus", str(folder)]
    command += ["--assume-dims", str(format)]
    with throw_away_folder() as cwd, empty_cache() as cache:

        def cold() -> Took:
            shutil.rmtree(cache)
            return timed(command, cwd=cwd)

        tools = loops(ffmpeg, pairs, cwd)
        ways = tools | {COLD: cold, WARM: partial(timed, command, cwd=cwd)}
        times = in_turn(ways, rounds, print_round)

    for tool in tools:
        print_shares(tool, times[tool], times[COLD], times[WARM])
    if "vmaf loop" not in tools:
        print("no `vmaf` on PATH: not compared")


def print_round(results: Mapping[str, Took]) -> None:
    print("; ".join(f"{name}: {took}" for name, took in results.items()), flush=True)


def print_shares(
    tool: str, loop: Sequence[Took], cold: Sequence[Took], warm: Sequence[Took]
) -> None:
    """Print what prewarm takes of a tool's time and CPU; all arguments have one item per round."""
    beyond = [whole - start for whole, start in zip(cold, warm, strict=True)]
    wall, cpu = [took.wall for took in loop], [took.cpu for took in loop]
    shares = {
        "wall": ratios([took.wall for took in cold], wall),
        "wall beyond start-up": ratios([took.wall for took in beyond], wall),
        "CPU": ratios([took.cpu for took in cold], cpu),
        "CPU beyond start-up": ratios([took.cpu for took in beyond], cpu),
    }
    for name, values in shares.items():
        rounds = ", ".join(f"{value:.3f}" for value in values)
        print(f"{name}, of the {tool}: {median(values):.3f} (rounds: {rounds})")


def parser_here() -> ArgumentParser:
    parser = make_parser(__doc__, assume_dims=str(LARGE), rounds=3)
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--small", action="store_true", help="the demo alone")
    only.add_argument("--large", action="store_true", help="1920x1080 alone")
    only.add_argument("--corpus", type=Path, help="this corpus alone")
    default = Path(tempfile.gettempdir(), "vmaf-train-benchmark")
    parser.add_argument("--folder", type=Path, default=default, help="keeps the two corpora")
    return parser


def main() -> None:
    options = parser_here().parse_args()
    ffmpeg, rounds = find_ffmpeg(), options.rounds
    if options.corpus:
        compare(ffmpeg, options.corpus.absolute(), parse_dims(options.assume_dims), rounds)
        return
    small = demo.make_demo_corpus(options.folder.absolute() / "demo", ffmpeg.path, cores())
    if not options.small:
        large = make_large(ffmpeg, small, options.folder.absolute() / "large")
        compare(ffmpeg, large, LARGE, rounds)
    if not options.large:
        compare(ffmpeg, small, demo.FORMAT, rounds)


if __name__ == "__main__":
    main()
