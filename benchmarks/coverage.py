"""Coverage of the stated 95 % intervals: how often they hold the teacher's own mean score.

Usage: python benchmarks/coverage.py --corpus PATH [--assume-dims WxH] [--montages 5] [--frames 600]
           [--models vmaf_tiny_exact,vmaf_tiny_lite] [--every 1,3,5,9,15] [--within 0.25,0.5,1]
           [--seeds 20]
Long videos are made of the corpus's references: montages of scenes, each encoded in twelve ways.
Every video is scored as a whole, and cut into parts of 48 frames. One pass extracts all features of
a video; samples are then drawn from these numbers by the code of `vmaf-train score`, which
gives what it gives. The truth is the mean of the teacher's SVR over all frames.

`covered` is the share of videos whose interval holds the truth, `lowest` that of the encode where
it is lowest; `±` is the mean half-width, `frames` the share of scored frames, `RMSE` the error of
the mean. A student must not have learnt from the corpus.
"""

from argparse import ArgumentParser, Namespace
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import header, make_parser, names, numbers, row, throw_away_folder
from long_videos import LongVideo, make_long_videos, references

from vmaf_train.clips.layouts import scan
from vmaf_train.clips.video import YuvFormat, parse_dims
from vmaf_train.commands.scorer import Scorer, load_scorer
from vmaf_train.commands.video_score import Sampling
from vmaf_train.extraction.graphs import Branch, extracting
from vmaf_train.extraction.libvmaf import Ffmpeg, find_ffmpeg
from vmaf_train.extraction.logs import parse_features
from vmaf_train.extraction.sampling import THIN, THIN_SIGNALS, grow, signals_of
from vmaf_train.extraction.strata import Strata
from vmaf_train.features import CANONICAL, MOTION_FEATURE
from vmaf_train.frames.choice import AUTO
from vmaf_train.processes import cores
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

# Frames of a short video.
SHORT = 48
COLUMNS = ("model", "videos", "choice", "covered", "lowest", "±", "frames", "RMSE", "worst")


@dataclass(frozen=True, eq=False)
class Measured:
    """The numbers of one video, or of a part of it: one row per frame.

    Attributes:
        encode: how it was encoded.
        columns: each feature of DEFAULT_TEACHER.logged, float64 of shape (frames,).
        signals_NK: signals of every frame.
        truth_N: the teacher's scores.
    """

    encode: str
    columns: Mapping[str, np.ndarray]
    signals_NK: np.ndarray
    truth_N: np.ndarray

    def part(self, first: int, end: int) -> "Measured":
        columns = {name: values[first:end] for name, values in self.columns.items()}
        return Measured(self.encode, columns, self.signals_NK[first:end], self.truth_N[first:end])


@dataclass(frozen=True)
class Outcome:
    """One scored video: its encode, error of the mean, half-width, and share of scored frames.

    The half-width is None if the model states none.
    """

    encode: str
    error: float
    half_width: float | None
    share: float


def measure(video: LongVideo, ffmpeg: Ffmpeg) -> Measured:
    """Extract every feature and every signal of a video."""
    branches = [Branch(extracting(CANONICAL.extraction)), THIN]
    (log, thin_log), _ = ffmpeg.branches(video.ref, video.dis, branches, cores())
    x_NF = parse_features(log, video.name, DEFAULT_TEACHER.logged)
    columns = dict(zip(DEFAULT_TEACHER.logged, x_NF.T, strict=True))
    psnr_N = parse_features(thin_log, video.name, THIN_SIGNALS)[:, 0]
    signals_NK = signals_of(columns[MOTION_FEATURE], psnr_N)
    return Measured(
        video.encode, columns, signals_NK, DEFAULT_TEACHER.score(x_NF, DEFAULT_TEACHER.logged)
    )


def parts(videos: list[Measured], frames: int) -> list[Measured]:
    """Cut videos into parts of as many frames; 0 returns them whole."""
    if not frames:
        return videos
    return [
        video.part(first, first + frames)
        for video in videos
        for first in range(0, len(video.truth_N) - frames + 1, frames)
    ]


def outcomes(
    scorer: Scorer, videos: list[Measured], sampling: Sampling, seeds: int
) -> Iterator[Outcome]:
    """Score videos; every video gets seeds of its own, so that errors are independent."""
    for number, video in enumerate(videos):
        x_NF = np.column_stack([video.columns[name] for name in scorer.features.features])
        for seed in range(seeds):
            drawn = Sampling(sampling.every, sampling.within, seed=number * seeds + seed)
            yield outcome(scorer, video, x_NF, drawn)


def outcome(scorer: Scorer, video: Measured, x_NF: np.ndarray, sampling: Sampling) -> Outcome:
    """Score one video as `vmaf-train score` does."""

    def extract(strata: Strata) -> np.ndarray:
        added: np.ndarray = x_NF[strata.added(len(x_NF))]
        return added

    sample = grow(video.signals_NK, scorer.first_strata(sampling), scorer.needed(sampling), extract)
    scored = scorer.score_sample(sample, sampling)
    error = scored.estimate.mean - float(video.truth_N.mean())
    return Outcome(video.encode, error, scored.half_width, len(sample.frame_S) / len(x_NF))


def print_row(model: str, videos: str, choice: str, found: list[Outcome]) -> None:
    held: dict[str, list[bool]] = defaultdict(list)
    widths = []
    for each in found:
        assert each.half_width is not None, f"{model} states no interval; train it again"
        widths.append(each.half_width)
        held[each.encode].append(abs(each.error) <= each.half_width)
    covered = np.mean([ok for oks in held.values() for ok in oks])
    lowest = min(held, key=lambda encode: float(np.mean(held[encode])))
    errors = np.array([each.error for each in found])
    cells = (
        f"{covered:.3f}",
        f"{np.mean(held[lowest]):.3f} {lowest}",
        f"{np.mean(widths):.2f}",
        f"{np.mean([each.share for each in found]):.2f}",
        f"{np.sqrt(np.mean(errors**2)):.3f}",
        f"{np.abs(errors).max():.2f}",
    )
    print(row(model, videos, choice, *cells), flush=True)


def make_video_parser(doc: str | None, **defaults: object) -> ArgumentParser:
    """Return a parser with the options of long videos; see `common.make_parser`."""
    parser = make_parser(doc, corpus=None, assume_dims=AUTO, **defaults)
    parser.add_argument("--montages", type=int, default=5)
    parser.add_argument("--frames", type=int, default=600)
    return parser


def measure_all(options: Namespace, ffmpeg: Ffmpeg) -> list[Measured]:
    """Make long videos of the corpus that the options name, and measure each."""
    format = YuvFormat() if options.assume_dims == AUTO else parse_dims(options.assume_dims)
    refs = references(scan(Path(options.corpus), format).pairs)
    with throw_away_folder() as folder:
        made = make_long_videos(
            ffmpeg, refs, format, folder, montages=options.montages, frames=options.frames
        )
        return [measure(video, ffmpeg) for video in made]


def main() -> None:
    parser = make_video_parser(__doc__, seeds=20)
    parser.add_argument("--models", type=names, default=["vmaf_tiny_exact", "vmaf_tiny_lite"])
    parser.add_argument("--every", type=numbers, default=[1, 3, 5, 9, 15])
    parser.add_argument("--within", type=names, default=["0.25", "0.5", "1"])
    options = parser.parse_args()

    measured = measure_all(options, find_ffmpeg())
    choices = {f"every {every}": Sampling(every) for every in options.every}
    choices |= {f"within {within}": Sampling(within=float(within)) for within in options.within}
    print(header(*COLUMNS))
    for model in options.models:
        scorer = load_scorer(model)
        for title, frames in ((f"{options.frames} frames and more", 0), (f"{SHORT} frames", SHORT)):
            videos = parts(measured, frames)
            for choice, sampling in choices.items():
                seeds = 1 if sampling.all_frames else options.seeds
                print_row(model, title, choice, list(outcomes(scorer, videos, sampling, seeds)))


if __name__ == "__main__":
    main()
