"""Time and memory to read a warm cache, and the same frames from Parquet, by number of clips.

Usage: python benchmarks/cache.py [--clips 100,1000,10000] [--frames 300]
Makes sparse files of 16x16 in the Netflix layout, 100 clips per source, and cache entries with
random values. Then, in a new process for each way:

- prewarm: scan the folder, read each clip's entry once
- table: the frames that a training starts from
- parquet: the same frames from a Parquet file

Times do not include imports. Memory is the peak of the process, less its peak after imports.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from common import (
    clocked,
    empty_cache,
    header,
    make_parser,
    measure_apart,
    numbers,
    peak_megabytes,
    row,
    table_of,
    throw_away_folder,
)

from vmaf_train.clips.video import YuvFormat
from vmaf_train.commands.export_features import export_features
from vmaf_train.commands.prewarm import fill_cache
from vmaf_train.extraction.cache import ClipCache, cache_root, identity_of
from vmaf_train.extraction.libvmaf import find_ffmpeg
from vmaf_train.extraction.logs import FrameScores
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.frames.finding import open_pairs
from vmaf_train.reporting import Reporter
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

TINY = YuvFormat(16, 16)
CLIPS_PER_SOURCE = 100
COLUMNS = ("clips", "way", "s", "ms per clip", "MB", "KB per clip")


def choice_of_clips(corpus: Path) -> CorpusChoice:
    return CorpusChoice(corpus=str(corpus), assume_dims=str(TINY))


def parquet_of(corpus: Path) -> Path:
    return corpus / "features.parquet"


def make(corpus: Path, clips: int, frames: int) -> None:
    """Make the clips, their cache entries, and the Parquet file."""
    make_files(corpus, clips, frames)
    fill_with_random(corpus, frames)
    export_features(choice_of_clips(corpus), parquet_of(corpus), Reporter())


def make_files(corpus: Path, clips: int, frames: int) -> None:
    files = set()
    for clip in range(clips):
        source, rung = divmod(clip, CLIPS_PER_SOURCE)
        files.add(corpus / "ref" / f"Source{source:04}_25fps.yuv")
        files.add(corpus / "dis" / f"Source{source:04}_{rung}_16_1.yuv")
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(frames * TINY.frame_bytes)


def fill_with_random(corpus: Path, frames: int) -> None:
    draw = np.random.default_rng(0)
    ffmpeg, cache = find_ffmpeg(), ClipCache(cache_root())
    features = DEFAULT_TEACHER.logged
    for pair in open_pairs(choice_of_clips(corpus), ffmpeg, Reporter()).pairs:
        # Six decimals, as libvmaf's log has them.
        x_NF = draw.uniform(0, 1, (frames, len(features))).round(6)
        y_N = draw.uniform(0, 100, frames).round(6)
        scores = FrameScores(features, x_NF, {DEFAULT_TEACHER.name: y_N})
        cache.store(pair, identity_of(pair, ffmpeg.libvmaf_version), scores)


def read_by_prewarm(corpus: Path) -> None:
    assert fill_cache(choice_of_clips(corpus), Reporter()).extracted == 0


def read_table(corpus: Path) -> None:
    table_of(choice_of_clips(corpus))


def read_parquet(corpus: Path) -> None:
    table_of(CorpusChoice(corpus=str(parquet_of(corpus))))


WAYS: Mapping[str, Callable[[Path], None]] = {
    "prewarm": read_by_prewarm,
    "table": read_table,
    "parquet": read_parquet,
}


def measure(way: str, corpus: Path) -> None:
    """Read in one way, and print seconds and megabytes."""
    import pyarrow.parquet  # noqa: F401  # so that its import is not counted

    before = peak_megabytes()
    seconds, _ = clocked(lambda: WAYS[way](corpus))
    print(json.dumps([seconds, peak_megabytes() - before]))


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--clips", type=numbers, default="100,1000,10000")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure[0], Path(options.measure[1]))
        return

    print(header(*COLUMNS))
    for clips in options.clips:
        with throw_away_folder() as corpus, empty_cache():
            make(corpus, clips, options.frames)
            for way in WAYS:
                seconds, megabytes = measure_apart(__file__, way, str(corpus))
                of_time = f"{seconds:.2f}", f"{seconds / clips * 1000:.2f}"
                of_memory = f"{megabytes:.0f}", f"{megabytes / clips * 1024:.0f}"
                print(row(clips, way, *of_time, *of_memory), flush=True)


if __name__ == "__main__":
    main()
