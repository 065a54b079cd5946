"""Error of students on natural content that they did not learn from, by size, kind and sources.

Usage: python benchmarks/natural.py [--corpus PATH [--assume-dims WxH]] [--archs mlp_small]
           [--features lite,lite_vif] [--teacher NAME] [--curve FILE.png]
Students learn from the packaged corpus `real`. Out of fold: each of its sources is scored by a
student of all others. With --corpus, a student of all of `real` scores the corpus at PATH too. RMSE
per frame and pooled, in score points; the interval (95 %) comes from resampling sources. --curve
draws the error of the completed teacher, which students imitate, by number of sources that it
learnt from: over 40 random choices of sources, each judged on five sources left out. Students of
VMAF v1 are also judged on clips with and without banding, per size.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from common import choice_of, header, make_parser, names, row, table_of
from matplotlib.figure import Figure

from vmaf_train.features import find_feature_set
from vmaf_train.frames.choice import AUTO, DEMO, REAL, CorpusChoice
from vmaf_train.frames.parquet import read_parquet
from vmaf_train.frames.table import FrameTable
from vmaf_train.judging.agreement import compare
from vmaf_train.judging.evaluation import pool, score_table
from vmaf_train.metrics import rmse
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.students.export import to_onnx
from vmaf_train.students.settings import Job, Settings
from vmaf_train.students.training import fit_many
from vmaf_train.teacher.completion import CompletedTeacher
from vmaf_train.teacher.teachers import DEFAULT_TEACHER, find_teacher

# Sources learnt from, random choices of them, and sources that each choice is judged on.
CURVE, DRAWS, JUDGED = (2, 4, 8, 12, 18, 26), 40, 5
RESAMPLES = 2000
# Mean CAMBI of a clip with visible banding: from 5 on, by the rule of thumb of libvmaf's cambi.md.
BANDING = 5.0
COLUMNS = ("student", "judged on", "frames", "RMSE", "interval", "pooled", "worst", "SROCC")


def scores_of(
    arch: str, table: FrameTable, jobs: Sequence[Job], settings: Settings, judged: FrameTable
) -> dict[Job, np.ndarray]:
    """Return each job's scores of all frames of `judged`."""
    students = fit_many(arch, table, jobs, settings)
    return {
        job: score_table(OnnxStudent(to_onnx(student, {}), arch), judged)
        for job, student in students.items()
    }


def out_of_fold(arch: str, table: FrameTable, settings: Settings) -> np.ndarray:
    """Return each source's scores by a student of all others: float64 of shape (frames,)."""
    points = settings.teacher_points
    jobs = {source: Job(hold_out=(source,), teacher_points=points) for source in table.sources}
    scores = scores_of(arch, table, list(jobs.values()), settings, table)
    score_N = np.empty(len(table))
    for source, job in jobs.items():
        score_N[table.is_of(source)] = scores[job][table.is_of(source)]
    return score_N


def interval_over_sources(table: FrameTable, score_N: np.ndarray) -> tuple[float, float]:
    """Return the 95 % percentile interval of the RMSE, by resampling sources."""
    squares_N = (score_N - table.y_N) ** 2
    masks = [table.is_of(source) for source in table.sources]
    sums_S = np.array([squares_N[mask].sum() for mask in masks])
    frames_S = np.array([mask.sum() for mask in masks])
    picks = np.random.default_rng(0).integers(len(masks), size=(RESAMPLES, len(masks)))
    resampled = np.sqrt(sums_S[picks].sum(1) / frames_S[picks].sum(1))
    low, high = np.percentile(resampled, (2.5, 97.5))
    return float(low), float(high)


def line(name: str, judged_on: str, table: FrameTable, score_N: np.ndarray) -> str:
    metrics = compare(score_N, table.y_N)
    low, high = interval_over_sources(table, score_N)
    return row(
        name,
        judged_on,
        len(table),
        f"{metrics.rmse:.3f}",
        f"{low:.3f} to {high:.3f}",
        f"{rmse(pool(score_N, table), pool(table.y_N, table)):.3f}",
        f"{metrics.max_abs_error:.2f}",
        f"{metrics.srocc or 0:.5f}",
    )


def parts_of(table: FrameTable, groups: Mapping[str, str]) -> Iterator[tuple[str, list[int]]]:
    """Yield the name and the clips of each group, in order of name."""
    for group in sorted(set(groups.values())):
        clips = [index for index, clip in enumerate(table.clips) if groups.get(clip) == group]
        if clips:
            yield group, clips


def print_groups(
    name: str, what: str, table: FrameTable, score_N: np.ndarray, groups: Mapping[str, str]
) -> None:
    for group, clips in parts_of(table, groups):
        frames = np.isin(table.clip_N, clips)
        print(line(name, f"{what}, {group}", table.take(clips), score_N[frames]), flush=True)


def banding_of(table: FrameTable, sizes: Mapping[str, str]) -> dict[str, str]:
    """Return the size of each clip and whether it has banding, if the table holds CAMBI."""
    column = next((i for i, name in enumerate(table.features) if name.startswith("cambi")), None)
    if column is None:
        return {}
    groups = {}
    for clip, rows in zip(table.clips, table.clip_rows, strict=True):
        banded = table.x_NF[rows, column].mean() >= BANDING
        groups[clip] = f"{sizes[clip]}, CAMBI {'from' if banded else 'below'} {BANDING:g}"
    return groups


def completed_error(
    features: Sequence[str], table: FrameTable, learnt: Sequence[str], judged: Sequence[str]
) -> float:
    """Return the RMSE on some sources of the teacher completed by a regression on others."""
    train, held = table.only(learnt), table.only(judged)
    missing_NM = train.select(table.teacher.missing_from(features)).x_NF
    completed = CompletedTeacher(table.teacher, features, train.select(features).x_NF, missing_NM)
    return rmse(completed.score(held.select(features).x_NF), held.y_N)


def curve(features: Sequence[str], table: FrameTable) -> dict[int, np.ndarray]:
    """Return the errors of random choices of sources, by how many were learnt from."""
    draw = np.random.default_rng(0)
    errors: dict[int, list[float]] = {n: [] for n in CURVE}
    for _ in range(DRAWS):
        order = draw.permutation(table.sources).tolist()
        for n in CURVE:
            errors[n].append(
                completed_error(features, table, order[JUDGED : JUDGED + n], order[:JUDGED])
            )
    return {n: np.array(values) for n, values in errors.items()}


def draw_curves(curves: Mapping[str, Mapping[int, np.ndarray]], path: str) -> None:
    """Draw the median error and its quartiles by number of sources, one line per feature set."""
    figure = Figure(figsize=(6.4, 4.0), dpi=90, layout="constrained")
    axes = figure.add_subplot(xlabel="sources learnt from", ylabel="RMSE, score points")
    for name, errors in curves.items():
        quartiles = np.array([np.percentile(values, (25, 50, 75)) for values in errors.values()])
        axes.plot(list(errors), quartiles[:, 1], marker=".", label=name)
        axes.fill_between(list(errors), quartiles[:, 0], quartiles[:, 2], alpha=0.2)
    axes.set_xticks(CURVE)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)


def main() -> None:
    parser = make_parser(__doc__, corpus=DEMO, assume_dims=AUTO, archs=["mlp_small"])
    parser.add_argument("--features", type=names, default=["lite", "lite_vif"])
    parser.add_argument("--teacher", type=find_teacher, default=DEFAULT_TEACHER)
    parser.add_argument("--curve", help="file of the figure")
    options = parser.parse_args()
    own, teachers = options.teacher.features, (options.teacher,)
    choice = CorpusChoice(corpus=REAL, teachers=teachers)
    clips = read_parquet(choice.path).clips
    sizes = {clip.clip: f"{clip.identity['width']}x{clip.identity['height']}" for clip in clips}
    kinds = {clip.clip: str(clip.identity["kind"]) for clip in clips}

    print(header(*COLUMNS))
    for set_name in options.features:
        features = find_feature_set(set_name, own).features
        real = table_of(choice, features)
        named = replace(choice_of(options), teachers=teachers)
        given = None if options.corpus == DEMO else table_of(named, features)
        for arch in options.archs:
            settings, name = Settings(features=set_name), f"{arch}, {set_name}"
            score_N = out_of_fold(arch, real, settings)
            print(line(name, "out of fold", real, score_N), flush=True)
            print_groups(name, "out of fold", real, score_N, sizes)
            print_groups(name, "out of fold", real, score_N, kinds)
            print_groups(name, "out of fold", real, score_N, banding_of(real, sizes))
            if given:
                job = Job(teacher_points=settings.teacher_points)
                (of_given,) = scores_of(arch, real, [job], settings, given).values()
                print(line(name, options.corpus, given, of_given), flush=True)
    if options.curve:
        curves = {}
        for set_name in options.features:
            features = find_feature_set(set_name, own).features
            curves[set_name] = curve(features, table_of(choice, features))
            for n, errors in curves[set_name].items():
                print(row(set_name, f"{n} sources learnt", "", f"{np.median(errors):.3f}"))
        draw_curves(curves, options.curve)


if __name__ == "__main__":
    main()
