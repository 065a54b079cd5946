"""The guard: how many frames lie outside what a model learnt, and its error inside and outside.

Usage: python benchmarks/guard.py [--corpus PATH [--assume-dims WxH]] [--model vmaf_tiny_lite]
Judged on each source of the demo corpus, on the corpus at PATH, and on four odd videos that are
drawn here. `held` is the share of clips whose pooled error is within the stated half-width, and `±`
the mean of these half-widths. Errors are against the teacher's SVR, in score points.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import choice_of, header, make_parser, row, run_ffmpeg, table_of, throw_away_folder

from vmaf_train.clips.video import Video
from vmaf_train.commands.scorer import Scorer, load_scorer
from vmaf_train.extraction.graphs import Branch, extracting
from vmaf_train.extraction.libvmaf import Ffmpeg, find_ffmpeg
from vmaf_train.extraction.logs import parse_features
from vmaf_train.features import CANONICAL
from vmaf_train.frames.choice import AUTO, DEMO, CorpusChoice
from vmaf_train.metrics import rmse
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

# Drawn by ffmpeg: the reference, and the filter that distorts it.
SIZE = "480x270"
ODD: Mapping[str, tuple[str, str]] = {
    "white noise, blurred": (f"color=gray:s={SIZE}:r=25,noise=c0s=100:c0f=t:c0_seed=1", "gblur=1"),
    "slide show, blurred": (
        f"testsrc=s={SIZE}:r=25:decimals=0,fps=1,fps=25,negate=enable='gt(mod(t,2),1)'",
        "gblur=0.8",
    ),
    "2-pixel stripes, noisy": (
        f"color=black:s={SIZE}:r=25,format=yuv420p,"
        "geq=lum='if(lt(mod(X+N,4),2),235,16)':cb=128:cr=128",
        "noise=c0s=20:c0f=t:c0_seed=2",
    ),
    "black screen, noisy": (f"color=black:s={SIZE}:r=25", "noise=c0s=4:c0f=t:c0_seed=3"),
}
FRAMES = 48
COLUMNS = ("videos", "frames", "outside", "RMSE inside", "RMSE outside", "pooled RMSE", "±", "held")


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames of one clip: every feature, float64 (frames, features), and the teacher's scores."""

    x_NF: np.ndarray
    truth_N: np.ndarray


def clips_of(choice: CorpusChoice) -> Iterator[tuple[str, Clip]]:
    """Yield source and frames of each clip of a corpus."""
    table = table_of(choice, DEFAULT_TEACHER.logged)
    x_NF = table.select(DEFAULT_TEACHER.logged).x_NF
    for number, clip in enumerate(table.clips):
        rows = table.clip_N == number
        source = next(name for name in table.sources if table.is_of(name)[rows].all())
        yield source, Clip(x_NF[rows], table.y_N[rows])
        del clip


def odd_clip(name: str, ffmpeg: Ffmpeg, folder: Path) -> Clip:
    """Draw an odd video, and extract its features."""
    graph, distortion = ODD[name]
    ref, dis = folder / "ref.mkv", folder / "dis.mkv"
    lossless = ("-pix_fmt", "yuv420p", "-c:v", "ffv1", "-y")
    run_ffmpeg(ffmpeg, "-f", "lavfi", "-i", graph, "-frames:v", str(FRAMES), *lossless, str(ref))
    run_ffmpeg(ffmpeg, "-i", str(ref), "-vf", distortion, *lossless, str(dis))
    (log,), _ = ffmpeg.branches(
        Video(ref), Video(dis), [Branch(extracting(CANONICAL.extraction))], threads=0
    )
    x_NF = parse_features(log, name, DEFAULT_TEACHER.logged)
    return Clip(x_NF, DEFAULT_TEACHER.score(x_NF, DEFAULT_TEACHER.logged))


def print_row(name: str, clips: list[Clip], scorer: Scorer) -> None:
    assert scorer.expected, "the model states no interval; train it again"
    columns = [DEFAULT_TEACHER.logged.index(feature) for feature in scorer.features.features]
    errors, outside, pooled, widths = [], [], [], []
    for clip in clips:
        x_NF = clip.x_NF[:, columns]
        error_N = scorer.student.score(x_NF) - clip.truth_N
        distance_N = scorer.expected.distance(x_NF)
        errors.append(error_N)
        outside.append(scorer.expected.outside(distance_N))
        pooled.append(error_N.mean())
        widths.append(scorer.expected.half_width(len(x_NF), distance_N))
    error_N, outside_N = np.concatenate(errors), np.concatenate(outside)

    def root(part_N: np.ndarray) -> str:
        return f"{rmse(part_N, np.zeros_like(part_N)):.3f}" if len(part_N) else ""

    cells = (
        len(error_N),
        f"{outside_N.mean():.3f}",
        root(error_N[~outside_N]),
        root(error_N[outside_N]),
        root(np.array(pooled)),
        f"{np.mean(widths):.2f}",
        f"{np.mean(np.abs(pooled) <= widths):.2f}",
    )
    print(row(name, *cells), flush=True)


def main() -> None:
    parser = make_parser(__doc__, corpus="", assume_dims=AUTO)
    parser.add_argument("--model", default="vmaf_tiny_lite")
    options = parser.parse_args()
    scorer, ffmpeg = load_scorer(options.model), find_ffmpeg()

    print(header(*COLUMNS))
    demo: dict[str, list[Clip]] = {}
    for source, clip in clips_of(CorpusChoice(corpus=DEMO)):
        demo.setdefault(source, []).append(clip)
    for source, clips in demo.items():
        print_row(f"demo, {source}", clips, scorer)
    if options.corpus:
        print_row("the corpus at PATH", [clip for _, clip in clips_of(choice_of(options))], scorer)
    with throw_away_folder() as folder:
        for name in ODD:
            print_row(name, [odd_clip(name, ffmpeg, folder)], scorer)


if __name__ == "__main__":
    main()
