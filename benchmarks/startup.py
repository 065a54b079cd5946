"""Time of short commands as whole processes, for this checkout and, if named, another one.

Usage: python benchmarks/startup.py [--against PATH] [--rounds N]
The commands are:

- vmaf-train --help
- vmaf-train score REF DIS, on a tiny pair that is made here
- vmaf-train prewarm, of the demo, with a warm cache

PATH is the root of another checkout; it needs src/ and model/tiny/. Both checkouts run in this
Python, each with a cache of its own, and take turns. Printed are medians, and the median of the
ratios of each round.
"""

from argparse import ArgumentParser
from functools import partial
from pathlib import Path
from statistics import median

from common import (
    VMAF_TRAIN,
    draw_clip,
    header,
    in_turn,
    make_parser,
    ratios,
    row,
    throw_away_folder,
    timed,
)

from vmaf_train.clips.video import YuvFormat
from vmaf_train.extraction.libvmaf import find_ffmpeg

CHECKOUT = Path(__file__).resolve().parents[1]
# Names of the two checkouts in the table.
THIS, OTHER = "here", "against"
MODEL = Path("model", "tiny", "vmaf_tiny_exact.onnx")
SIZE, FRAMES = YuvFormat(320, 180), 8


def draw_pair(folder: Path) -> list[str]:
    """Draw two clips; return the arguments of `score` for them."""
    ffmpeg = find_ffmpeg()
    ref, dis = folder / "ref.yuv", folder / "dis.yuv"
    draw_clip(ffmpeg, ref, SIZE, frames=FRAMES)
    draw_clip(ffmpeg, dis, SIZE, frames=FRAMES, filters=["gblur=sigma=1"])
    return [str(ref), str(dis), "--size", str(SIZE)]


def commands(checkout: Path, pair: list[str]) -> dict[str, list[str]]:
    """Return the commands to time, by name."""
    return {
        "--help": [*VMAF_TRAIN, "--help"],
        "score": [*VMAF_TRAIN, "score", *pair, "--model", str(checkout / MODEL)],
        "prewarm": [*VMAF_TRAIN, "prewarm"],
    }


def wall_times(checkouts: dict[str, Path], rounds: int) -> dict[tuple[str, str], list[float]]:
    """Time every command of every checkout in turn.

    Args:
        checkouts: their roots, by name.
        rounds: that count, after one that fills the caches.

    Returns:
        Seconds per round, by command and name of the checkout.
    """
    with throw_away_folder() as folder:
        pair = draw_pair(folder)
        by_checkout = {name: commands(root, pair) for name, root in checkouts.items()}
        # The checkouts take turns at each command, so that the times of a ratio are neighbours.
        ways = {
            (command, name): partial(
                timed,
                by_checkout[name][command],
                cwd=folder,
                PYTHONPATH=str(root / "src"),
                VMAF_TINY_AI_CACHE=str(folder / name),
            )
            for command in by_checkout[THIS]
            for name, root in checkouts.items()
        }
        in_turn(ways, 1)
        times = in_turn(ways, rounds)
    return {way: [took.wall for took in taken] for way, taken in times.items()}


def other_checkout(parser: ArgumentParser, path: Path) -> Path:
    """Return the root of another checkout, or end with an error if it is none."""
    root = path.resolve()
    for needed in (Path("src", "vmaf_train"), MODEL):
        if not (root / needed).exists():
            parser.error(f"--against {path}: no {needed} there; pass the root of a checkout")
    return root


def main() -> None:
    parser = make_parser(__doc__, rounds=10)
    parser.add_argument("--against", type=Path, help="root of another checkout")
    options = parser.parse_args()
    checkouts = {THIS: CHECKOUT}
    if options.against:
        checkouts[OTHER] = other_checkout(parser, options.against)

    times = wall_times(checkouts, options.rounds)
    columns = [f"{name}, s" for name in checkouts]
    print(header("command", *columns, *(["ratio"] if options.against else [])))
    for command in dict.fromkeys(command for command, _ in times):
        cells = [f"{median(times[command, name]):.3f}" for name in checkouts]
        if options.against:
            shares = ratios(times[command, THIS], times[command, OTHER])
            cells.append(f"{median(shares):.3f}")
        print(row(command, *cells))


if __name__ == "__main__":
    main()
