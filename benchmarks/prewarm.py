"""Time and CPU of a cold prewarm against the same pairs one after the other through libvmaf's own tools with all cores.

Usage: python benchmarks/prewarm.py [--rounds N] [--small | --large] [--corpus PATH --assume-dims WxH]
Two corpora are made: 16 pairs of 1920x1080 and 48 frames (the demo's, scaled up; 3 GB below --folder), and the demo
itself, 72 pairs of 320x180. The other ways are ffmpeg's libvmaf filter and, where one is on PATH, `vmaf`. Prewarm is
the whole command; "beyond start-up" takes off the same command with a warm cache, which starts, scans and reads but
extracts nothing. The ways take turns; medians of each round's ratio.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from vmaf_train.clips import demo
from vmaf_train.clips.layout import Pair, YuvFormat, parse_dims, scan
from vmaf_train.extraction.libvmaf import find_ffmpeg
from vmaf_train.extraction.schedule import cores
from vmaf_train.features import TEACHER

FFMPEG = str(find_ffmpeg().path)
LARGE = YuvFormat(1920, 1080)
LARGE_SOURCES, LARGE_RUNGS = 4, 4


def large_corpus(small: Path, folder: Path) -> Path:
    """Scale some of the demo's clips up."""
    for ref, dis in demo.clip_names():
        source = ref.rsplit("_", 1)[0]
        sources = sorted({name.rsplit("_", 1)[0] for name, _ in demo.clip_names()})[:LARGE_SOURCES]
        rungs = sorted(name for of, name in demo.clip_names() if of == ref)[-LARGE_RUNGS:]
        for path in (Path("ref", ref), Path("dis", dis)):
            if source not in sources or dis not in rungs or (folder / path).exists():
                continue
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{demo.WIDTH}x{demo.HEIGHT}"]
            made = [
                *raw,
                "-i",
                str(small / path),
                "-vf",
                f"scale={LARGE.width}:{LARGE.height}",
                "-f",
                "rawvideo",
                str(folder / path),
            ]
            subprocess.run([FFMPEG, "-v", "error", *made], check=True)
    return folder


def timed(commands: Sequence[Sequence[str]], **environment: str) -> tuple[float, float]:
    """Run commands one after the other; return their wall and CPU seconds."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for command in commands:
            subprocess.run(
                command,
                check=True,
                cwd=folder,
                env=os.environ | environment,
                capture_output=True,
                stdin=subprocess.DEVNULL,
            )
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - started
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ffmpeg_loop(pairs: Sequence[Pair]) -> tuple[float, float]:
    def command(pair: Pair) -> list[str]:
        raw = [
            "-f",
            "rawvideo",
            "-pix_fmt",
            "yuv420p",
            "-s",
            str(pair.format),
            "-r",
            f"{pair.fps:g}",
            "-i",
        ]
        libvmaf = (
            f"libvmaf=model=version={TEACHER}:log_path=log.json:log_fmt=json:n_threads={cores()}"
        )
        return [
            FFMPEG,
            "-v",
            "error",
            *raw,
            str(pair.dis),
            *raw,
            str(pair.ref),
            "-lavfi",
            libvmaf,
            "-f",
            "null",
            "-",
        ]

    return timed([command(pair) for pair in pairs])


def vmaf_loop(pairs: Sequence[Pair]) -> tuple[float, float]:
    def command(pair: Pair) -> list[str]:
        size = ["-w", str(pair.format.width), "-h", str(pair.format.height), "-p", "420", "-b", "8"]
        files = ["-r", str(pair.ref), "-d", str(pair.dis), "--json", "-o", "log.json", "-q"]
        return ["vmaf", *files, *size, "--model", f"version={TEACHER}", "--threads", str(cores())]

    return timed([command(pair) for pair in pairs])


def compare(folder: Path, format: YuvFormat, rounds: int) -> None:
    pairs = scan(folder, format).pairs
    ways = {"ffmpeg": ffmpeg_loop} | ({"vmaf": vmaf_loop} if shutil.which("vmaf") else {})
    prewarm = [
        [
            sys.executable,
            "-m",
            "vmaf_train",
            "prewarm",
            "--corpus",
            str(folder),
            "--assume-dims",
            str(format),
        ]
    ]
    print(
        f"\n{len(pairs)} pairs of {format}, {sum(pair.n_frames for pair in pairs)} frames, {cores()} cores"
    )
    ratios: dict[str, list[float]] = {}
    for _ in range(rounds):
        others = {name: way(pairs) for name, way in ways.items()}
        with tempfile.TemporaryDirectory() as cache:
            cold = timed(prewarm, VMAF_TINY_AI_CACHE=cache)
            warm = timed(prewarm, VMAF_TINY_AI_CACHE=cache)
        print(
            f"prewarm {cold[0]:.2f} s wall, {cold[1]:.2f} s CPU; start-up (warm) {warm[0]:.2f} s, {warm[1]:.2f} s CPU"
        )
        for name, (wall, cpu) in others.items():
            print(f"{name} loop {wall:.2f} s wall, {cpu:.2f} s CPU")
            ratios.setdefault(f"wall, of the {name} loop", []).append(cold[0] / wall)
            ratios.setdefault(f"wall beyond start-up, of the {name} loop", []).append(
                (cold[0] - warm[0]) / wall
            )
            ratios.setdefault(f"CPU, of the {name} loop", []).append(cold[1] / cpu)
            ratios.setdefault(f"CPU beyond start-up, of the {name} loop", []).append(
                (cold[1] - warm[1]) / cpu
            )
    for name, values in ratios.items():
        print(
            f"{name}: {median(values):.3f} (rounds: {', '.join(f'{value:.3f}' for value in values)})"
        )
    if "vmaf" not in ways:
        print("no `vmaf` on PATH: not compared")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--small", action="store_true", help="the demo alone")
    only.add_argument("--large", action="store_true", help="1920x1080 alone")
    only.add_argument("--corpus", type=Path, help="this corpus alone")
    parser.add_argument("--assume-dims", default="1920x1080")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir(), "vmaf-train-benchmark")
    )
    wanted = parser.parse_args()
    if wanted.corpus:
        compare(wanted.corpus, parse_dims(wanted.assume_dims), wanted.rounds)
        return
    small = demo.make_demo_corpus(wanted.folder / "demo", Path(FFMPEG), cores())
    if not wanted.small:
        compare(large_corpus(small, wanted.folder / "large"), LARGE, wanted.rounds)
    if not wanted.large:
        compare(small, YuvFormat(demo.WIDTH, demo.HEIGHT), wanted.rounds)


if __name__ == "__main__":
    main()
