"""The price list: CPU and error of every way to score a video, and the frontier of the best buys.

Usage: python benchmarks/price.py --corpus PATH [--assume-dims WxH] [--montages 5] [--frames 600]
           [--models vmaf_tiny_exact,vmaf_tiny_lite] [--sets lite_vif,fast] [--every 3,5,9,15,30]
           [--seeds 4] [--cpu-frames 120] [--rounds 5] [--out FILE.png]
CPU is that of the ffmpeg processes for a raw pair of 1920x1080 test pictures, on one libvmaf
thread, as a share of full VMAF in the same round; the median over the rounds. Errors are those of
the mean against the teacher's, over long videos that are made of the corpus's references (see
coverage.py). `frame` is the RMSE of single frames. Ways:

- full VMAF by ffmpeg's libvmaf filter, and VMAF v1, another metric: it has a price but no error;
- `n_subsample=N` of stock libvmaf, with its own model and with the file of a shipped one;
- each model on every frame, and with `score --every N`;
- the same frames without signals of the others: their plain mean.

Models are the shipped ones, and an mlp_small of each other feature set, trained here on `real`.

A way is on the frontier if no other is both cheaper and more exact.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from common import (
    Took,
    header,
    in_turn,
    names,
    numbers,
    quiet,
    ratios,
    row,
    table_of,
    throw_away_folder,
    timed,
)
from coverage import Measured, make_video_parser, measure_all, outcome
from matplotlib.figure import Figure
from score import SIZE, draw_pair

from vmaf_train.clips.video import Video
from vmaf_train.commands.scorer import Scorer, load_scorer, scorer_of
from vmaf_train.commands.video_score import Sampling
from vmaf_train.extraction.graphs import Branch, branch_arguments, extracting
from vmaf_train.extraction.libvmaf import Ffmpeg, filter_with, find_ffmpeg
from vmaf_train.extraction.sampling import MOTION, THIN
from vmaf_train.extraction.strata import Strata
from vmaf_train.features import find_feature_set
from vmaf_train.frames.choice import REAL, CorpusChoice
from vmaf_train.metrics import rmse
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.shipping.libvmaf_model import SUFFIX
from vmaf_train.students.export import to_onnx
from vmaf_train.students.settings import Job, Settings
from vmaf_train.students.training import fit_many
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

V1 = "vmaf_v1.0.16_3d0h"
STOCK, WHOLE = "stock libvmaf", "every frame, score"
OURS, PLAIN = "score --every", "the same frames, plain mean"
# Ways that cost as much as full VMAF would squeeze the others together in the picture.
MOST_CPU = 0.7
# Of the points in the picture.
MARKS = {STOCK: "s", WHOLE: "D", OURS: "o", PLAIN: "x"}
COLUMNS = ("way", "CPU", "frame", "mean: RMSE", "worst", "bias", "frontier")


@dataclass(frozen=True, eq=False)
class Way:
    """One way to score a video.

    Attributes:
        name: for the table.
        kind: groups the points of the picture.
        arguments: ffmpeg's, after those of the inputs.
        errors: errors of the mean, one per video and seed; None for another metric.
        frame_rmse: RMSE of single frames, if every frame is scored.
    """

    name: str
    kind: str
    arguments: Sequence[str]
    errors: np.ndarray | None = None
    frame_rmse: float | None = None

    @property
    def rmse(self) -> float:
        assert self.errors is not None, self.name
        return float(np.sqrt(np.mean(self.errors**2)))


def stock(every: int, filter: str = f"libvmaf=model=version={DEFAULT_TEACHER.name}") -> list[str]:
    """Return ffmpeg's arguments for stock libvmaf, in the thread of the filter.

    Args:
        every: value of the filter's option `n_subsample`.
        filter: the filter with a model.
    """
    options = f"n_subsample={every}:log_path=0.json:log_fmt=json:shortest=1"
    return ["-filter_complex", f"[0:v][1:v]{filter}:{options}", "-f", "null", "-"]


def features_of(scorer: Scorer, video: Measured) -> np.ndarray:
    return np.column_stack([video.columns[name] for name in scorer.features.features])


def stock_ways(videos: Sequence[Measured], every: Sequence[int]) -> list[Way]:
    """Return full VMAF, VMAF v1, and n_subsample."""
    ways = [
        Way("full VMAF", STOCK, stock(1), np.zeros(1), 0.0),
        Way("VMAF v1", STOCK, stock(1, f"libvmaf=model=version={V1}")),
    ]
    for n in every:
        errors = [video.truth_N[::n].mean() - video.truth_N.mean() for video in videos]
        arguments = stock(n)
        ways.append(Way(f"n_subsample={n}", STOCK, arguments, np.array(errors)))
    return ways


def file_ways(model: str, videos: Sequence[Measured], every: Sequence[int]) -> list[Way]:
    """Return n_subsample of stock libvmaf with the file of a shipped model."""
    scorer = load_scorer(model)
    path = Path("model", "tiny", f"{model}{SUFFIX}").absolute()
    scores = [scorer.student.score(features_of(scorer, video)) for video in videos]
    ways = []
    for n in every:
        pairs = zip(scores, videos, strict=True)
        errors = [score_N[::n].mean() - video.truth_N.mean() for score_N, video in pairs]
        arguments = stock(n, filter_with(path))
        ways.append(Way(f"n_subsample={n}, {model}", STOCK, arguments, np.array(errors)))
    return ways


def trained_on_real(name: str) -> Scorer:
    """Return an mlp_small of a feature set that learnt from `real`."""
    table = table_of(CorpusChoice(corpus=REAL), find_feature_set(name).features)
    settings = Settings(features=name)
    job = Job(teacher_points=settings.teacher_points)
    student = fit_many("mlp_small", table, [job], settings)[job]
    return scorer_of(OnnxStudent(to_onnx(student, {}), name), name)


def model_ways(
    model: str, scorer: Scorer, videos: Sequence[Measured], every: Sequence[int], seeds: int
) -> list[Way]:
    """Return a model on every frame, and on one frame in N, with and without signals."""
    scores = [scorer.student.score(features_of(scorer, video)) for video in videos]
    truth = [video.truth_N for video in videos]
    means = np.array([s.mean() - t.mean() for s, t in zip(scores, truth, strict=True)])
    whole = branch_arguments([Branch(extracting(scorer.features.extraction))], 0)
    frame = rmse(np.concatenate(scores), np.concatenate(truth))
    ways = [Way(model, WHOLE, whole, means, frame)]
    for n in every:
        chosen = Branch(extracting(scorer.features.still), Strata((n,)).select, chooses=True)
        drawn = [(i, i * seeds + seed) for i in range(len(videos)) for seed in range(seeds)]
        estimated = [
            outcome(scorer, videos[i], features_of(scorer, videos[i]), Sampling(n, seed=seed)).error
            for i, seed in drawn
        ]
        plain = [
            scores[i][Strata((n,), seed).chosen(len(scores[i]))].mean() - truth[i].mean()
            for i, seed in drawn
        ]
        both = branch_arguments([MOTION, THIN, chosen], 0)
        ways.append(Way(f"{model}, every {n}", OURS, both, np.array(estimated)))
        without = branch_arguments([MOTION, chosen], 0)
        ways.append(Way(f"{model}, every {n}, plain mean", PLAIN, without, np.array(plain)))
    return ways


def cpu_of(ways: Sequence[Way], ffmpeg: Ffmpeg, frames: int, rounds: int) -> dict[str, float]:
    """Return the CPU of each way, as a share of full VMAF."""
    with throw_away_folder() as folder:
        ref, dis = draw_pair(ffmpeg, folder, frames)
        runs: dict[str, Callable[[], Took]] = {
            way.name: partial(timed, command(ffmpeg, ref, dis, way), cwd=folder) for way in ways
        }
        took = in_turn(runs, rounds)
    full = [each.cpu for each in took["full VMAF"]]
    return {name: median(ratios([t.cpu for t in times], full)) for name, times in took.items()}


def command(ffmpeg: Ffmpeg, ref: Video, dis: Video, way: Way) -> list[str]:
    return [*quiet(ffmpeg), *dis.arguments(), *ref.arguments(), *way.arguments]


def on_frontier(ways: Sequence[Way], cpu: dict[str, float]) -> set[str]:
    """Return the names of the ways that no other beats in both CPU and error."""
    judged = [way for way in ways if way.errors is not None]
    return {
        way.name
        for way in judged
        if not any(
            other is not way and cpu[other.name] <= cpu[way.name] and other.rmse <= way.rmse
            for other in judged
        )
    }


def draw(ways: Sequence[Way], cpu: dict[str, float], path: Path) -> None:
    """Draw error against CPU, and the frontier as a line."""
    figure = Figure(figsize=(8.0, 5.0), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    judged = [way for way in ways if way.errors is not None and cpu[way.name] < MOST_CPU]
    best = on_frontier(judged, cpu)
    for kind, mark in MARKS.items():
        of_kind = [way for way in judged if way.kind == kind]
        points = [(cpu[way.name], way.rmse) for way in of_kind]
        xs, ys = zip(*points, strict=True)
        axes.scatter(xs, ys, marker=mark, s=22, label=kind)
        # Names of all would cover each other.
        for way, point in zip(of_kind, points, strict=True):
            if way.name in best or (kind == STOCK and "," not in way.name):
                short = way.name.removeprefix("vmaf_tiny_").replace(", plain mean", "")
                axes.annotate(short, point, fontsize=6, xytext=(5, 3), textcoords="offset points")
    line = sorted((cpu[way.name], way.rmse) for way in judged if way.name in best)
    axes.plot(*zip(*line, strict=True), color="0.6", zorder=0, label="frontier")
    axes.set(xlabel="CPU, full VMAF is 1 (1920x1080)", ylabel="RMSE of the mean, score points")
    axes.set_yscale("log")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path)


def main() -> None:
    parser = make_video_parser(__doc__, seeds=4, rounds=5)
    parser.add_argument("--every", type=numbers, default=[3, 5, 9, 15, 30])
    parser.add_argument("--models", type=names, default=["vmaf_tiny_exact", "vmaf_tiny_lite"])
    parser.add_argument("--sets", type=names, default=["lite_vif", "fast"])
    parser.add_argument("--cpu-frames", type=int, default=120)
    parser.add_argument("--out", type=Path, help="picture of the frontier")
    options = parser.parse_args()

    ffmpeg = find_ffmpeg()
    videos = measure_all(options, ffmpeg)
    ways = stock_ways(videos, options.every)
    for model in options.models:
        ways += file_ways(model, videos, options.every)
        ways += model_ways(model, load_scorer(model), videos, options.every, options.seeds)
    for name in options.sets:
        ways += model_ways(name, trained_on_real(name), videos, options.every, options.seeds)
    cpu = cpu_of(ways, ffmpeg, options.cpu_frames, options.rounds)

    best = on_frontier(ways, cpu)
    print(f"{len(videos)} videos; CPU at {SIZE}")
    print(header(*COLUMNS))
    for way in sorted(ways, key=lambda way: cpu[way.name]):
        frame = "" if way.frame_rmse is None else f"{way.frame_rmse:.3f}"
        found = ("", "", "")
        if way.errors is not None:
            found = (
                f"{way.rmse:.3f}",
                f"{np.abs(way.errors).max():.2f}",
                f"{way.errors.mean():+.3f}",
            )
        print(
            row(way.name, f"{cpu[way.name]:.3f}", frame, *found, "yes" if way.name in best else "")
        )
    if options.out:
        draw(ways, cpu, options.out)


if __name__ == "__main__":
    main()
