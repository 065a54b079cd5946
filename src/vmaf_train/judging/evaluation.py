"""Judge a student against the teacher: per frame, per clip and per source."""

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from scipy import stats

from vmaf_train.frames.table import FrameTable
from vmaf_train.judging.agreement import LEVEL, bootstrap_over_clips, compare
from vmaf_train.judging.certificate import prove, worst_found
from vmaf_train.judging.intervals import Interval
from vmaf_train.judging.opinion_report import OpinionReport
from vmaf_train.judging.opinions import judge_opinions
from vmaf_train.judging.report import (
    BoxErrors,
    ClipMetrics,
    DatasetFacts,
    EvalReport,
    IntervalCheck,
    LatencyFacts,
    Metrics,
    ModelFacts,
    SourceMetrics,
)
from vmaf_train.metrics import rmse
from vmaf_train.onnx_file.expected_error import expected_error_of
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.onnx_file.polynomial import DEGREES, unclipped
from vmaf_train.students.settings import TEACHER
from vmaf_train.teacher.points import uniform
from vmaf_train.teacher.teachers import Teacher

# Number of random points of the feature box.
BOX_POINTS = 200_000


def evaluate(
    student: OnnxStudent,
    table: FrameTable,
    *,
    name: str,
    corpus: str,
    libvmaf_version: str | None,
    hold_out: str | None = None,
    without_points: OnnxStudent | None = None,
    scores: str | None = None,
) -> tuple[EvalReport, np.ndarray]:
    """Judge a student on every frame of a table.

    Args:
        student: the ONNX file, loaded.
        table: frames with the teacher's scores.
        name: name of the model, for people.
        corpus: name of the corpus, for people.
        libvmaf_version: version of the libvmaf that extracted the features; None for a smoke run.
        hold_out: the held-out source, if the table holds only that.
        without_points: the same student trained without the teacher's points; the report also holds
            its metrics.
        scores: name of the list of opinion scores that the table has; None for none.

    Returns:
        The report, and the student's frame scores: float64 of shape (frames,).

    Raises:
        InputError: the file states its error in metadata that break the contract.
    """
    score_N = score_table(student, table)
    pooled_C, pooled_truth_C = pool(score_N, table), pool(table.y_N, table)
    without = compare(score_table(without_points, table), table.y_N) if without_points else None
    report = EvalReport(
        **dict(compare(score_N, table.y_N)),
        teacher=table.teacher.name,
        libvmaf_version=libvmaf_version,
        hold_out=hold_out,
        model=_model_facts(student, name),
        dataset=_dataset_facts(table, corpus),
        confidence=LEVEL,
        intervals=bootstrap_over_clips(score_N, table.y_N, table.clip_N),
        pooled=compare(pooled_C, pooled_truth_C),
        per_source=_by_source(score_N, table, student.facts.get("train_sources")),
        per_clip=_by_clip(score_N, table, pooled_C, pooled_truth_C),
        references=_references(table, student.facts),
        box=box_errors(student, table.teacher),
        without_teacher_points=without,
        latency=LatencyFacts(**vars(student.measure_latency())),
        interval_check=_check_interval(student, name, table, pooled_C),
        targets=targets_of(student),
        opinions=_judge_unseen(student, table, pooled_C, scores) if scores else None,
    )
    return report, score_N


def targets_of(student: OnnxStudent) -> str:
    """Return what a student learnt, by the metadata of its file."""
    return str(student.facts.get("targets", TEACHER))


def _judge_unseen(
    student: OnnxStudent, table: FrameTable, pooled_C: np.ndarray, scores: str
) -> OpinionReport | None:
    """Judge a student against opinion scores: on sources that it never saw, or else on all."""
    trained_on = _trained_on(student, table)
    unseen = [i for i, source in enumerate(table.clip_sources) if source not in trained_on]
    found = None
    if unseen:
        found = judge_opinions(table.take(unseen), pooled_C[unseen], scores=scores, unseen=True)
    return found or judge_opinions(table, pooled_C, scores=scores, unseen=False)


def score_table(student: OnnxStudent, table: FrameTable) -> np.ndarray:
    """Score every frame of a table, clip by clip if the student reads windows of frames.

    Returns:
        float64 of shape (frames,).
    """
    x_NF = table.x_NF[:, [table.features.index(feature) for feature in student.features]]
    if student.window == 1:
        return student.score(x_NF)
    return np.concatenate([student.score(x_NF[rows]) for rows in table.clip_rows])


def pool(score_N: np.ndarray, table: FrameTable) -> np.ndarray:
    """Return pooled scores, the mean of each clip's frame scores: float64 of shape (clips,)."""
    return np.array([score_N[rows].mean() for rows in table.clip_rows])


def _model_facts(student: OnnxStudent, name: str) -> ModelFacts:
    return ModelFacts(
        name=name,
        arch=student.facts.get("arch"),  # type: ignore[arg-type]
        parameters=student.facts.get("parameters"),  # type: ignore[arg-type]
        features=student.features,
        onnx_bytes=len(student.content),
        onnx_sha256=student.sha256,
    )


def _dataset_facts(table: FrameTable, corpus: str) -> DatasetFacts:
    return DatasetFacts(
        corpus=corpus,
        digest=table.digest,
        n_frames=len(table),
        n_clips=len(table.clips),
        frames_by_source={source: int(table.is_of(source).sum()) for source in table.sources},
    )


def _by_source(
    score_N: np.ndarray, table: FrameTable, trained_on: object
) -> dict[str, SourceMetrics]:
    metrics = {}
    for source in table.sources:
        rows = table.is_of(source)
        metrics[source] = SourceMetrics(
            **dict(compare(score_N[rows], table.y_N[rows])),
            in_training=source in trained_on if isinstance(trained_on, list) else None,
        )
    return metrics


def _by_clip(
    score_N: np.ndarray, table: FrameTable, pooled_C: np.ndarray, pooled_truth_C: np.ndarray
) -> dict[str, ClipMetrics]:
    clips = zip(table.clips, table.clip_sources, table.clip_rows, strict=True)
    return {
        clip: ClipMetrics(
            **dict(compare(score_N[rows], table.y_N[rows])),
            source=source,
            pooled_student=pooled_C[index],
            pooled_teacher=pooled_truth_C[index],
        )
        for index, (clip, source, rows) in enumerate(clips)
    }


def _check_interval(
    student: OnnxStudent, name: str, table: FrameTable, pooled_C: np.ndarray
) -> IntervalCheck | None:
    """Check the interval that a file states on the pooled score of each clip.

    It is about sources that the student never saw: only their clips count, if there are any.
    The interval of a student of opinion scores is about these: clips without one do not count.
    """
    expected = expected_error_of(student, name)
    if expected is None:
        return None
    truth_C = pool(table.y_N, table)
    if targets_of(student) != TEACHER:
        if table.mos_C is None:
            return None
        truth_C = table.mos_C
    distance_N = expected.distance(table.select(student.features).x_NF)
    outside_N = expected.outside(distance_N)
    held = {
        clip: bool(
            abs(pooled_C[index] - truth_C[index])
            <= expected.half_width(rows.stop - rows.start, distance_N[rows])
        )
        for index, (clip, rows) in enumerate(zip(table.clips, table.clip_rows, strict=True))
        if not np.isnan(truth_C[index])
    }
    source_of = dict(zip(table.clips, table.clip_sources, strict=True))
    trained_on = _trained_on(student, table)
    unseen = {clip: value for clip, value in held.items() if source_of[clip] not in trained_on}
    counted = unseen or held
    coverage = float(np.mean(list(counted.values())))
    outside_C = pool(outside_N.astype(float), table)
    return IntervalCheck(
        confidence=expected.confidence,
        coverage=coverage,
        coverage_interval=_coverage_interval(coverage, len({source_of[clip] for clip in counted})),
        unseen=bool(unseen),
        outside_share=float(outside_N.mean()),
        outside_by_source={
            source: int(outside_N[table.is_of(source)].sum()) for source in table.sources
        },
        outside_by_clip=dict(zip(table.clips, outside_C.tolist(), strict=True)),
        held_by_clip=counted,
    )


def _trained_on(student: OnnxStudent, table: FrameTable) -> list[str]:
    """Return the sources that the student was trained on: all of the table if it does not say."""
    trained_on = student.facts.get("train_sources")
    return trained_on if isinstance(trained_on, list) else list(table.sources)


def _coverage_interval(coverage: float, sources: int) -> Interval:
    """Return an interval of a coverage that was seen on the clips of some sources.

    The clips of one source are not independent, so each source counts as one observation.

    Source: Clopper and Pearson, The use of confidence or fiducial limits, 1934; as quantiles of
    the beta distribution, which also take a share that is no whole number of sources.
    """
    held, tail = coverage * sources, (1 - LEVEL) / 2
    low = stats.beta.ppf(tail, held, sources - held + 1) if held > 0 else 0.0
    high = stats.beta.ppf(1 - tail, held + 1, sources - held) if held < sources else 1.0
    return Interval(low=float(low), high=float(high))


def _references(table: FrameTable, facts: Mapping[str, object]) -> dict[str, Metrics]:
    """Return metrics of two references: the teacher's SVR, and a constant, the mean in training."""
    rows = {"teacher_svr": compare(table.teacher.score(table.x_NF, table.features), table.y_N)}
    mean = facts.get("target_mean")
    if isinstance(mean, float):
        rows["training_mean"] = compare(np.full(len(table), mean), table.y_N)
    return rows


def box_errors(student: OnnxStudent, teacher: Teacher) -> BoxErrors | None:
    """Compare student and teacher over the feature box; None if their features differ."""
    if set(student.features) != set(teacher.features):
        return None
    x_NF, truth_N = _box(teacher, student.features)
    score_N = student.score(x_NF)
    off_N = np.abs(score_N - truth_N)

    def error(x_NF: np.ndarray) -> np.ndarray:
        missed_N: np.ndarray = np.abs(student.score(x_NF) - teacher.score(x_NF, student.features))
        return missed_N

    found = worst_found(error, teacher.box_of(student.features), x_NF, off_N)
    return BoxErrors(
        n_samples=len(truth_N),
        rmse=rmse(score_N, truth_N),
        max_abs_error=float(off_N.max()),
        worst_found=found,
        proven=_proven(student, teacher, found),
    )


def _proven(student: OnnxStudent, teacher: Teacher, found: float) -> float | None:
    """Return a proven bound on the error of a polynomial over the box; None for other students.

    Students of opinion scores need not follow the teacher, so a bound would say nothing.
    """
    degree = DEGREES.get(str(student.facts.get("arch")))
    if degree is None or targets_of(student) != TEACHER:
        return None
    return prove(unclipped(student.content), degree, teacher, student.features, found).bound


@cache
def _box(teacher: Teacher, features: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return random points of the feature box, the same for every student, and their scores."""
    x_NF = uniform(BOX_POINTS, teacher.box_of(features), np.random.default_rng(0))
    return x_NF, teacher.score(x_NF, features)
