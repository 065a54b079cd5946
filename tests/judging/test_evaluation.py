import dataclasses
import itertools

import numpy as np
import pytest

from vmaf_train.features import CANONICAL, FEATURE_SETS
from vmaf_train.frames.splits import split
from vmaf_train.frames.table import FrameTable
from vmaf_train.judging.agreement import bootstrap_over_clips, compare
from vmaf_train.judging.evaluation import evaluate, score_table
from vmaf_train.judging.report import EvalReport, Metrics
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.students.export import to_onnx
from vmaf_train.students.settings import Settings
from vmaf_train.students.training import fit
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

METRICS = tuple(Metrics.model_fields)


@pytest.fixture(scope="module")
def table(make_table):
    return make_table()


@pytest.fixture(scope="module")
def student(table):
    train, val = split(table, "Gamma")
    return student_knowing(train, val, {"train_sources": train.sources})


def student_knowing(train, val, facts):
    return OnnxStudent(to_onnx(fit("linear", train, val, Settings()).student, facts), "it")


@pytest.fixture(scope="module")
def judged(student, table):
    return evaluate(student, table, name="linear", corpus="/a/corpus", libvmaf_version="3.2.0")


def pearson(a, b):
    a, b = a - a.mean(), b - b.mean()
    return (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum())


def ranks(a):
    return np.array([(a < value).sum() + ((a == value).sum() + 1) / 2 for value in a])


def tau_b(a, b):
    pairs = [
        (np.sign(a[i] - a[j]), np.sign(b[i] - b[j]))
        for i, j in itertools.combinations(range(len(a)), 2)
    ]
    ups, downs = sum(p * q > 0 for p, q in pairs), sum(p * q < 0 for p, q in pairs)
    return (ups - downs) / np.sqrt(sum(p != 0 for p, _ in pairs) * sum(q != 0 for _, q in pairs))


def by_hand(score_N, truth_N):
    error_N = score_N - truth_N
    return {
        "n_samples": len(truth_N),
        "plcc": pearson(score_N, truth_N),
        "srocc": pearson(ranks(score_N), ranks(truth_N)),
        "krocc": tau_b(score_N, truth_N),
        "rmse": (error_N @ error_N / len(error_N)) ** 0.5,
        "max_abs_error": max(abs(error_N)),
        "bias": sum(error_N) / len(error_N),
    }


def test_metrics_of_four_frames_are_as_worked_out_on_paper():
    # Errors 1, -2, 3, 0; ranks 1 2 4 3 against 1 3 4 2.
    metrics = compare(np.array([11.0, 28.0, 53.0, 40.0]), np.array([10.0, 42.0 - 12, 50.0, 40.0]))
    assert (metrics.n_samples, metrics.max_abs_error, metrics.bias) == (4, 3.0, 0.5)
    assert metrics.rmse == pytest.approx(3.5**0.5)
    swapped = compare(np.array([1.0, 2.0, 4.0, 3.0]), np.array([1.0, 3.0, 4.0, 2.0]))
    assert swapped.srocc == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert swapped.krocc == pytest.approx((5 - 1) / 6)


@pytest.mark.parametrize("decimals", [6, 0, -1], ids=["no ties", "some ties", "many ties"])
def test_metrics_agree_with_their_definitions_with_and_without_ties(decimals):
    draw = np.random.default_rng(5)
    truth_N = draw.uniform(0, 100, 80)
    score_N = (truth_N + draw.normal(0, 15, 80)).round(decimals)
    truth_N = truth_N.round(decimals)
    assert compare(score_N, truth_N).model_dump() == pytest.approx(
        by_hand(score_N, truth_N), abs=1e-9
    )


def test_bias_is_positive_where_the_student_says_more():
    assert compare(np.array([3.0, 5.0]), np.array([1.0, 2.0])).bias == 2.5


@pytest.mark.parametrize(
    ("score", "truth"),
    [([5, 5, 5], [1, 2, 3]), ([1, 2, 3], [5, 5, 5]), ([5, 5, 5], [5, 5, 5]), ([4], [5])],
)
def test_a_constant_side_has_no_correlation_but_an_error(score, truth):
    metrics = compare(np.array(score, float), np.array(truth, float))
    assert (metrics.plcc, metrics.srocc, metrics.krocc) == (None, None, None)
    assert metrics.rmse == pytest.approx(np.sqrt(np.mean(np.subtract(score, truth) ** 2.0)))


@pytest.mark.filterwarnings("ignore")
def test_an_almost_constant_side_still_makes_a_report():
    nearly_N = np.array([50.0, 50.0, np.nextafter(50, 51)])
    for metrics in (
        compare(nearly_N, np.array([1.0, 2.0, 3.0])),
        compare(np.array([1.0, 2.0, 3.0]), nearly_N),
    ):
        assert metrics.plcc is None or -1 <= metrics.plcc <= 1


def test_the_report_tells_the_frames_of_the_whole_table(judged, student, table):
    report, score_N = judged
    np.testing.assert_array_equal(score_N, student.score(table.x_NF))
    assert {key: getattr(report, key) for key in METRICS} == pytest.approx(
        by_hand(score_N, table.y_N), abs=1e-9
    )
    assert report.dataset.frames_by_source == {"Alpha": 120, "Beta": 120, "Gamma": 120}
    assert (report.dataset.n_frames, report.dataset.n_clips) == (360, 9)
    assert (report.dataset.corpus, report.dataset.digest) == ("/a/corpus", table.digest)
    assert (report.model.arch, report.model.parameters, report.model.features) == (
        "linear",
        7,
        CANONICAL.features,
    )
    assert (report.model.onnx_bytes, report.model.onnx_sha256) == (
        len(student.content),
        student.sha256,
    )
    assert (report.teacher, report.libvmaf_version, report.hold_out) == (
        "vmaf_v0.6.1",
        "3.2.0",
        None,
    )


def test_every_clip_is_judged_on_its_own_rows(judged, table):
    report, score_N = judged
    assert tuple(report.per_clip) == table.clips
    for index, (clip, metrics) in enumerate(report.per_clip.items()):
        rows = slice(40 * index, 40 * index + 40)
        assert metrics.source == clip.split("_")[0]
        expected = by_hand(score_N[rows], table.y_N[rows])
        assert {key: getattr(metrics, key) for key in METRICS} == pytest.approx(expected, abs=1e-9)
        assert metrics.pooled_student == pytest.approx(score_N[rows].mean())
        assert metrics.pooled_teacher == pytest.approx(table.y_N[rows].mean())


def test_every_source_is_judged_on_its_own_rows_wherever_its_clips_stand(student, make_table):
    clips = make_table(clips=2, frames=10)
    order = [4, 0, 3, 5, 1, 2]
    rows = np.concatenate([np.arange(10) + 10 * clip for clip in order])
    mixed = FrameTable(
        clips.features,
        clips.x_NF[rows],
        clips.y_N[rows],
        np.repeat(np.arange(6, dtype=np.int32), 10),
        tuple(clips.clips[clip] for clip in order),
        tuple(clips.clip_sources[clip] for clip in order),
    )
    report, score_N = evaluate(student, mixed, name="it", corpus="c", libvmaf_version=None)
    source_N = np.repeat(mixed.clip_sources, 10)
    assert tuple(report.per_source) == ("Alpha", "Beta", "Gamma")
    for source, metrics in report.per_source.items():
        expected = by_hand(score_N[source_N == source], mixed.y_N[source_N == source])
        assert {key: getattr(metrics, key) for key in METRICS} == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("part", ["per_clip", "per_source"])
def test_the_parts_add_up_to_the_whole(judged, part):
    report, _ = judged
    parts = list(getattr(report, part).values())
    counts = np.array([metrics.n_samples for metrics in parts])
    assert counts.sum() == report.n_samples
    assert counts @ [m.rmse**2 for m in parts] / counts.sum() == pytest.approx(report.rmse**2)
    assert counts @ [m.bias for m in parts] / counts.sum() == pytest.approx(report.bias)
    assert max(metrics.max_abs_error for metrics in parts) == report.max_abs_error


def test_pooled_metrics_compare_the_means_of_the_clips(judged):
    report, _ = judged
    pooled = np.array([(m.pooled_student, m.pooled_teacher) for m in report.per_clip.values()])
    assert report.pooled.model_dump() == pytest.approx(by_hand(*pooled.T), abs=1e-9)


def test_sources_are_marked_as_trained_on_or_not(judged):
    flags = {source: metrics.in_training for source, metrics in judged[0].per_source.items()}
    assert flags == {"Alpha": True, "Beta": True, "Gamma": False}


def test_a_file_that_does_not_say_what_it_was_trained_on_leaves_the_marks_open(table):
    silent = student_knowing(*split(table, "Gamma"), {})
    report, _ = evaluate(silent, table, name="it", corpus="c", libvmaf_version=None)
    assert {metrics.in_training for metrics in report.per_source.values()} == {None}


def test_a_student_reads_its_columns_by_name(student, table, judged):
    order = [5, 3, 1, 0, 2, 4]
    names = tuple(table.features[column] for column in order)
    shuffled = dataclasses.replace(table, features=names, x_NF=table.x_NF[:, order])
    report, score_N = evaluate(student, shuffled, name="it", corpus="c", libvmaf_version=None)
    np.testing.assert_array_equal(score_N, judged[1])
    assert report.references["teacher_svr"].rmse == pytest.approx(0, abs=1e-6)


def test_the_references_are_the_teachers_own_svr_and_the_training_mean(judged, table):
    references = judged[0].references
    assert set(references) == {"teacher_svr", "training_mean"}
    svr_N = DEFAULT_TEACHER.score(table.x_NF, table.features)
    assert references["teacher_svr"].rmse == pytest.approx(
        np.sqrt(np.mean((svr_N - table.y_N) ** 2)), abs=1e-9
    )
    mean = split(table, "Gamma")[0].y_N.mean()
    assert references["training_mean"].bias == pytest.approx(mean - table.y_N.mean())
    assert references["training_mean"].rmse == pytest.approx(
        np.sqrt(np.mean((mean - table.y_N) ** 2))
    )
    assert references["training_mean"].plcc is None


def test_the_teachers_svr_is_held_against_the_logged_scores_and_not_against_itself(student, table):
    off = dataclasses.replace(table, y_N=(table.y_N + 3).clip(0, 90))
    report, _ = evaluate(student, off, name="it", corpus="c", libvmaf_version=None)
    assert report.references["teacher_svr"].rmse > 2


def clustered(n_clips=12, frames=30, seed=0):
    """Scores whose errors are alike within a clip, as those of real clips are."""
    draw = np.random.default_rng(seed)
    clip_N = np.repeat(np.arange(n_clips), frames)
    truth_N = draw.uniform(10, 90, n_clips)[clip_N] + draw.normal(0, 5, n_clips * frames)
    return (
        truth_N + draw.normal(0, 4, n_clips)[clip_N] + draw.normal(0, 1, n_clips * frames),
        truth_N,
        clip_N,
    )


def test_the_intervals_contain_their_point_estimates():
    score_N, truth_N, clip_N = clustered()
    intervals = bootstrap_over_clips(score_N, truth_N, clip_N)
    metrics = compare(score_N, truth_N)
    assert set(intervals) == {"rmse", "bias", "plcc"}
    for name, interval in intervals.items():
        assert interval.low < getattr(metrics, name) < interval.high


def test_the_intervals_are_those_of_resampling_whole_clips_by_hand():
    score_N, truth_N, clip_N = clustered()
    draw = np.random.default_rng(99)
    drawn = []
    for _ in range(2000):
        rows = np.concatenate([np.flatnonzero(clip_N == clip) for clip in draw.integers(0, 12, 12)])
        error_N = score_N[rows] - truth_N[rows]
        drawn.append(
            (np.sqrt(np.mean(error_N**2)), error_N.mean(), pearson(score_N[rows], truth_N[rows]))
        )
    intervals = bootstrap_over_clips(score_N, truth_N, clip_N)
    for name, (low, high) in zip(
        ("rmse", "bias", "plcc"), np.percentile(drawn, (2.5, 97.5), axis=0).T, strict=True
    ):
        width = high - low
        assert intervals[name].low == pytest.approx(low, abs=0.1 * width)
        assert intervals[name].high == pytest.approx(high, abs=0.1 * width)


def test_the_intervals_are_the_same_every_time_and_leave_numpys_own_draws_alone():
    np.random.seed(1)
    first = bootstrap_over_clips(*clustered())
    np.random.seed(2)
    assert bootstrap_over_clips(*clustered()) == first


def test_one_clip_has_no_interval(student, table):
    clip = table.only(["Alpha"])
    rows = clip.rows_of(0)
    one = FrameTable(
        clip.features,
        clip.x_NF[rows],
        clip.y_N[rows],
        clip.clip_N[rows],
        clip.clips[:1],
        ("Alpha",),
    )
    report, _ = evaluate(student, one, name="it", corpus="c", libvmaf_version=None)
    assert report.intervals == {}
    assert (report.pooled.n_samples, report.pooled.plcc) == (1, None)
    assert EvalReport.model_validate_json(report.model_dump_json()) == report


def test_a_constant_side_has_no_plcc_interval():
    score_N, truth_N, clip_N = clustered()
    intervals = bootstrap_over_clips(np.full_like(score_N, 50), truth_N, clip_N)
    assert set(intervals) == {"rmse", "bias"}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("seed", [2, 4, 10])
@pytest.mark.parametrize("n_clips", [2, 3])
def test_an_interval_of_a_correlation_stays_between_minus_one_and_one(n_clips, seed):
    # Clips that are constant within: a resample of one clip over and over has no correlation at all.
    levels = np.random.default_rng(seed).uniform(0, 100, (2, n_clips))
    clip_N = np.repeat(np.arange(n_clips), 37)
    plcc = bootstrap_over_clips(levels[0][clip_N], levels[1][clip_N], clip_N).get("plcc")
    assert plcc is None or -1 - 1e-9 <= plcc.low <= plcc.high <= 1 + 1e-9


def test_a_report_reads_back_from_its_json(judged):
    report, _ = judged
    for indent in (None, 2):
        assert EvalReport.model_validate_json(report.model_dump_json(indent=indent)) == report


def test_a_report_with_an_unknown_key_or_no_number_is_refused(judged):
    whole = judged[0].model_dump(mode="json")
    EvalReport.model_validate(whole)
    for broken in (
        {**whole, "extra": 1},
        {**whole, "rmse": float("nan")},
        {**whole, "pooled": None},
    ):
        with pytest.raises(ValueError, match="validation error"):
            EvalReport.model_validate(broken)


def test_the_report_tells_the_latency(judged):
    latency = judged[0].latency
    assert 0 < latency.row_p50_us <= latency.row_p95_us
    assert 0 < latency.clip_p50_us <= latency.clip_p95_us
    assert latency.clip_rows == 240


def test_errors_over_the_feature_box_are_those_of_its_random_vectors_by_hand(judged, student):
    highest = DEFAULT_TEACHER.highest_of(student.features)
    x_NF = np.random.default_rng(0).uniform(size=(200_000, 6)) * highest
    error_N = student.score(x_NF) - DEFAULT_TEACHER.score(x_NF, student.features)
    box = judged[0].box
    assert box.n_samples == 200_000
    assert (box.rmse, box.max_abs_error) == pytest.approx(
        (np.sqrt(np.mean(error_N**2)), np.abs(error_N).max())
    )


def test_a_student_of_fewer_features_than_the_teachers_has_no_errors_over_the_box(table):
    fitted = fit(
        "linear", *split(table, "Gamma"), Settings(teacher_points=0, features="lite")
    ).student
    report, _ = evaluate(
        OnnxStudent(to_onnx(fitted, {}), "it"), table, name="it", corpus="c", libvmaf_version=None
    )
    assert (report.model.features, report.box) == (FEATURE_SETS["lite"].features, None)
    assert report.references["teacher_svr"].rmse < 1e-3


@pytest.fixture(scope="module")
def of_windows(table):
    train, val = split(table, "Gamma")
    quick = Settings(epochs=1, teacher_points=0)
    return OnnxStudent(to_onnx(fit("cnn1d", train, val, quick).student, {}), "it")


def test_a_student_that_reads_windows_is_scored_clip_by_clip(of_windows, table):
    report, score_N = evaluate(of_windows, table, name="it", corpus="c", libvmaf_version=None)
    clips = [table.x_NF[40 * clip : 40 * clip + 40] for clip in range(9)]
    np.testing.assert_array_equal(
        score_N, np.concatenate([of_windows.score(x_NF) for x_NF in clips])
    )
    # At the borders, and only there, that is not what the whole table as one clip would give.
    across = np.flatnonzero(np.abs(of_windows.score(table.x_NF) - score_N) > 1e-3)
    assert set(across) <= {
        row for border in range(40, 360, 40) for row in range(border - 2, border + 2)
    }
    assert len(across) > 8
    assert report.rmse == pytest.approx(by_hand(score_N, table.y_N)["rmse"])


def test_a_clip_of_one_frame_is_scored_by_a_student_that_reads_windows(of_windows, table):
    rows = [0, *range(40, 80)]
    short = FrameTable(
        table.features,
        table.x_NF[rows],
        table.y_N[rows],
        np.repeat([0, 1], [1, 40]),
        table.clips[:2],
        ("A", "A"),
    )
    score_N = score_table(of_windows, short)
    np.testing.assert_array_equal(score_N[1:], of_windows.score(table.x_NF[40:80]))
    np.testing.assert_array_equal(score_N[:1], of_windows.score(table.x_NF[:1]))


def test_the_same_student_without_the_teachers_points_stands_beside_it(student, of_windows, table):
    keywords = {"name": "it", "corpus": "c", "libvmaf_version": None}
    report, score_N = evaluate(student, table, **keywords, without_points=of_windows)
    assert report.without_teacher_points == compare(score_table(of_windows, table), table.y_N)
    assert report.rmse == pytest.approx(by_hand(score_N, table.y_N)["rmse"])
    assert EvalReport.model_validate_json(report.model_dump_json()) == report
    assert evaluate(student, table, **keywords)[0].without_teacher_points is None


def test_a_hold_out_is_told(student, table):
    report, _ = evaluate(
        student,
        split(table, "Gamma")[1],
        name="it",
        corpus="c",
        libvmaf_version=None,
        hold_out="Gamma",
    )
    assert (report.hold_out, tuple(report.per_source)) == ("Gamma", ("Gamma",))
