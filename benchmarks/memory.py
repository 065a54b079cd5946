"""Peak memory of a cold prewarm by length of the clips: of the largest ffmpeg, and its own.

Usage: python benchmarks/memory.py [--frames 60,240,960] [--dims 960x540]
Four pairs of one source, so that a pass holds two where there are two cores. One pass per core
runs at once. The clips are test pictures; their content makes no difference.
"""

import argparse
import json
import resource
from pathlib import Path

from common import (
    draw_clip,
    empty_cache,
    header,
    make_parser,
    measure_apart,
    numbers,
    peak_megabytes,
    row,
    throw_away_folder,
)

from vmaf_train.clips.video import parse_dims
from vmaf_train.commands.prewarm import prewarm
from vmaf_train.extraction.libvmaf import find_ffmpeg
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.reporting import Reporter

CLIPS = ("ref/A_25fps.yuv", *(f"dis/A_{rung}_1_1.yuv" for rung in (1, 2, 3, 4)))
COLUMNS = ("frames", "bytes per pixel", "largest ffmpeg, MB", "the command, MB")


def measure(corpus: str, dims: str) -> None:
    """Fill an empty cache; print the megabytes of the largest ffmpeg and of this process."""
    prewarm(CorpusChoice(corpus=corpus, assume_dims=dims), Reporter())
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(json.dumps([largest, peak_megabytes()]))


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--frames", type=numbers, default="60,240,960")
    parser.add_argument("--dims", default="960x540")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.dims)
        return

    print(header(*COLUMNS))
    ffmpeg, format = find_ffmpeg(), parse_dims(options.dims)
    for frames in options.frames:
        with throw_away_folder() as corpus, empty_cache():
            for name in CLIPS:
                draw_clip(ffmpeg, Path(corpus, name), format, frames=frames)
            largest, own = measure_apart(__file__, str(corpus), "--dims", options.dims)
        per_pixel = largest * 2**20 / format.pixels
        print(row(frames, f"{per_pixel:.0f}", f"{largest:.0f}", f"{own:.0f}"), flush=True)


if __name__ == "__main__":
    main()
