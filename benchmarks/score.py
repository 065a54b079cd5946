"""CPU and wall time of extracting a feature set, and of `vmaf-train score` whole, against full VMAF by ffmpeg's filter.

Usage: python benchmarks/score.py [--frames N] [--threads N] [--rounds N]
A pair of 1920x1080 test pictures with noise; all ways use ffmpeg's libvmaf filter with the same threads and take turns.
The last column is what the whole command takes beyond the bare ffmpeg command with the same features. Medians.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from vmaf_train.extraction.libvmaf import find_ffmpeg
from vmaf_train.features import FEATURE_SETS, TEACHER

FFMPEG = str(find_ffmpeg().path)
SIZE = "1920x1080"
MODELS = {"canonical": "vmaf_tiny_exact", "lite": "vmaf_tiny_lite"}


def timed(command: Sequence[str], folder: str) -> tuple[float, float]:
    """Return wall and CPU seconds."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - started
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", SIZE]
        inputs: list[str] = []
        for name, filters in (
            ("ref", "noise=c0s=4:c0f=t"),
            ("dis", "noise=c0s=4:c0f=t,gblur=sigma=1"),
        ):
            source = [
                "-f",
                "lavfi",
                "-i",
                f"testsrc2=size={SIZE}:rate=25,{filters}",
                "-frames:v",
                str(wanted.frames),
            ]
            made = Path(folder, f"{name}.yuv")
            subprocess.run(
                [FFMPEG, "-v", "error", *source, "-pix_fmt", "yuv420p", "-f", "rawvideo", made],
                check=True,
            )
            inputs = [*raw, "-i", str(made), *inputs]
        ways = {"full": f"model=version={TEACHER}"}
        ways |= {name: f"model='':feature='{row.extraction}'" for name, row in FEATURE_SETS.items()}
        commands = {}
        for name, options in ways.items():
            graph = f"libvmaf={options}:log_path=log.json:log_fmt=json:n_threads={wanted.threads}"
            commands[name] = [
                FFMPEG,
                "-v",
                "error",
                *inputs,
                "-filter_complex",
                graph,
                "-f",
                "null",
                "-",
            ]
        videos = [str(Path(folder, name)) for name in ("ref.yuv", "dis.yuv")]
        for name, model in MODELS.items():
            score = [
                sys.executable,
                "-m",
                "vmaf_train",
                "score",
                *videos,
                "--size",
                SIZE,
                "--model",
                model,
            ]
            commands[f"score {name}"] = [*score, "--jobs", str(wanted.threads)]
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(wanted.rounds):
            for name, command in commands.items():
                times[name].append(timed(command, folder))
    print(f"{SIZE}, {wanted.frames} frames, {wanted.threads} threads, {wanted.rounds} rounds\n")
    print(
        "| way | wall, s | of full | CPU, s | of full | s beyond bare ffmpeg |\n|---|---|---|---|---|---|"
    )
    for name, taken in times.items():
        cells = []
        for index in range(2):
            share = median(
                own[index] / full[index] for own, full in zip(taken, times["full"], strict=True)
            )
            cells += [f"{median(each[index] for each in taken):.2f}", f"{share:.3f}"]
        bare = times.get(name.removeprefix("score "), []) if name.startswith("score ") else []
        beyond = (
            f"{median(own[0] - b[0] for own, b in zip(taken, bare, strict=True)):.2f}"
            if bare
            else ""
        )
        print(f"| {name} | {' | '.join(cells)} | {beyond} |")


if __name__ == "__main__":
    main()
