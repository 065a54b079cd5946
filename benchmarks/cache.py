"""Time and memory of reading a warm cache, and of the same frames from a Parquet file, by number of clips.

Usage: python benchmarks/cache.py [--clips 100,1000,10000] [--frames 300]
Makes sparse files of 16x16 in the Netflix layout, 100 clips a source, and cache entries with random values; then, in a
process each: `prewarm` (scan, one read a clip), the table that a training starts from, and the table from Parquet.
Seconds without imports; peak memory of the process less what it had after them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from vmaf_train.clips.layout import YuvFormat
from vmaf_train.commands.train import export_features, prewarm
from vmaf_train.extraction import libvmaf
from vmaf_train.extraction.cache import ClipCache, cache_root, identity_of
from vmaf_train.features import ADM_DETAILS, CANONICAL
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.frames.opening import open_corpus, open_pairs
from vmaf_train.reporting import Reporter

TINY = YuvFormat(16, 16)
FEATURES = (*CANONICAL.features, *ADM_DETAILS)


def choice_of(corpus: Path) -> CorpusChoice:
    return CorpusChoice(str(corpus), assume_dims=str(TINY))


def make(corpus: Path, clips: int, frames: int) -> None:
    rng = np.random.default_rng(0)
    for folder in ("ref", "dis"):
        (corpus / folder).mkdir(parents=True)
    names = [f"dis/Source{clip // 100:04}_{clip % 100}_16_1.yuv" for clip in range(clips)]
    for name in [*names, *{f"ref/{name[4:14]}_25fps.yuv" for name in names}]:
        with (corpus / name).open("wb") as file:
            file.truncate(frames * TINY.frame_bytes)
    ffmpeg = libvmaf.find_ffmpeg()
    cache = ClipCache(cache_root())
    for pair in open_pairs(choice_of(corpus), ffmpeg, Reporter()).pairs:
        # Six decimals, as libvmaf's log has them.
        x_NF, y_N = (
            rng.uniform(0, 1, (frames, len(FEATURES))).round(6),
            rng.uniform(0, 100, frames).round(6),
        )
        cache.store(
            pair,
            identity_of(pair, ffmpeg.libvmaf_version),
            libvmaf.FrameScores(FEATURES, x_NF, y_N),
        )
    export_features(choice_of(corpus), corpus / "features.parquet", Reporter())


def peak_kilobytes() -> int:
    # Not getrusage: that starts from the peak of the process that started this one.
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def measure(way: str, corpus: Path) -> None:
    """Do one thing in a process of its own and print seconds and megabytes."""
    import pyarrow.parquet  # noqa: F401

    before, started = peak_kilobytes(), time.perf_counter()
    if way == "prewarm":
        assert prewarm(choice_of(corpus), Reporter()).extracted == 0
    elif way == "table":
        open_corpus(choice_of(corpus), Reporter()).table(())
    else:
        open_corpus(CorpusChoice(str(corpus / "features.parquet")), Reporter()).table(())
    seconds = time.perf_counter() - started
    print(json.dumps([seconds, (peak_kilobytes() - before) / 1024]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", default="100,1000,10000")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.measure:
        measure(wanted.measure[0], Path(wanted.measure[1]))
        return
    print("| clips | way | s | ms a clip | MB | KB a clip |\n|---|---|---|---|---|---|")
    for clips in map(int, wanted.clips.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["VMAF_TINY_AI_CACHE"] = str(Path(folder, "cache"))
            corpus = Path(folder, "corpus")
            make(corpus, clips, wanted.frames)
            for way in ("prewarm", "table", "parquet"):
                command = [sys.executable, __file__, "--measure", way, str(corpus)]
                seconds, megabytes = json.loads(
                    subprocess.run(command, check=True, capture_output=True).stdout
                )
                cost = f"{seconds:.2f} | {seconds / clips * 1000:.2f} | {megabytes:.0f} | {megabytes / clips * 1024:.0f}"
                print(f"| {clips} | {way} | {cost} |", flush=True)


if __name__ == "__main__":
    main()
