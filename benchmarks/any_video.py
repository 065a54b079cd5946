"""What a pass over compressed pairs costs, against ffmpeg's own libvmaf filter on the same files.

Usage: python benchmarks/any_video.py [--dims 1920x1080] [--frames 120] [--rounds 5]
Both decode the same two files. The filter writes its log with the teacher's score and nothing else.
The pass also computes PSNR, writes the small pictures that tell an offset, and reads the logs.
"""

import json
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from common import (
    Took,
    header,
    in_turn,
    make_parser,
    quiet,
    ratios,
    row,
    run_ffmpeg,
    throw_away_folder,
    timed,
)

from vmaf_train.clips.looking import look
from vmaf_train.clips.pairs import Pair
from vmaf_train.clips.video import Video, parse_dims, stamp_of
from vmaf_train.extraction.graphs import teacher_arguments
from vmaf_train.extraction.libvmaf import find_ffmpeg
from vmaf_train.extraction.schedule import Pass
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

MODEL = f"libvmaf=model=version={DEFAULT_TEACHER.name}:log_path=own.json:log_fmt=json"
CODECS = {
    "x264, 8 bit": ["-c:v", "libx264", "-crf", "28", "-pix_fmt", "yuv420p"],
    "x265, 10 bit": ["-c:v", "libx265", "-crf", "28", "-pix_fmt", "yuv420p10le"],
}


def main() -> None:
    parser = make_parser(__doc__, rounds=5)
    parser.add_argument("--dims", default="1920x1080")
    parser.add_argument("--frames", type=int, default=120)
    options = parser.parse_args()
    ffmpeg = find_ffmpeg()
    print(f"{options.dims}, {options.frames} frames, {options.rounds} rounds\n")
    columns = ("pair", "CPU of the pass, the filter is 1", "rounds", "wall", "largest difference")
    print(header(*columns))
    for name, coder in CODECS.items():
        with throw_away_folder() as folder:
            graph = f"testsrc2=size={parse_dims(options.dims)}:rate=25,noise=alls=8"
            drawn = ["-f", "lavfi", "-i", graph, "-frames:v", str(options.frames)]
            ref, dis = (folder / f"{kind}.mkv" for kind in ("ref", "dis"))
            run_ffmpeg(ffmpeg, *drawn, *coder[:2], "-crf", "8", *coder[4:], str(ref))
            run_ffmpeg(ffmpeg, "-i", str(ref), *coder, str(dis))
            inputs = ["-i", str(dis), "-i", str(ref)]
            own = [*quiet(ffmpeg), *inputs, "-lavfi", MODEL, "-f", "null", "-"]
            videos = [Video(path, stamp=stamp_of(path)) for path in (dis, ref)]
            ours = [
                *quiet(ffmpeg),
                "-y",
                *teacher_arguments([f"version={DEFAULT_TEACHER.name}"], videos[:1], videos[1], 0),
            ]
            ways: dict[str, Any] = {
                "filter": partial(timed, own, cwd=folder),
                "pass": partial(timed, ours, cwd=folder),
            }
            took: dict[str, list[Took]] = in_turn(ways, options.rounds)
            cpu = ratios([t.cpu for t in took["pass"]], [t.cpu for t in took["filter"]])
            wall = ratios([t.wall for t in took["pass"]], [t.wall for t in took["filter"]])
            seen = look(ref, ffmpeg.path)
            pair = Pair("A", videos[1], videos[0], seen.frames, seen.format)
            (scores,) = ffmpeg.extract(Pass((pair,)))
            off = abs(scores.scores[DEFAULT_TEACHER.name] - log_scores(folder / "own.json")).max()
            spread = f"{min(cpu):.3f} to {max(cpu):.3f}"
            print(row(name, f"{median(cpu):.3f}", spread, f"{median(wall):.3f}", f"{off:.0e}"))


def log_scores(path: Path) -> np.ndarray:
    """Return the scores in a log of libvmaf's filter."""
    frames = json.loads(path.read_text())["frames"]
    return np.array([frame["metrics"]["vmaf"] for frame in frames])


if __name__ == "__main__":
    main()
