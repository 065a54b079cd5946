"""An evaluation: metrics per frame, clip and source, references, and students of windows."""

import dataclasses

import numpy as np
import pytest
from by_hand import by_hand

from vmaf_train.features import CANONICAL, FEATURE_SETS
from vmaf_train.frames.splits import split
from vmaf_train.frames.table import FrameTable
from vmaf_train.judging import evaluation
from vmaf_train.judging.agreement import compare
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
    """Return a linear student whose file states these facts."""
    return OnnxStudent(to_onnx(fit("linear", train, val, Settings()).student, facts), "it")


@pytest.fixture(scope="module")
def judged(student, table):
    return evaluate(student, table, name="linear", corpus="/a/corpus", libvmaf_version="3.2.0")


def test_the_report_holds_metrics_and_facts_of_the_whole_table(judged, student, table):
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


def test_every_source_is_judged_on_its_own_rows_in_any_order_of_clips(student, make_table):
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
def test_metrics_of_the_parts_add_up_to_those_of_the_whole(judged, part):
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


def test_sources_have_no_mark_if_the_file_names_no_training_sources(table):
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


def test_the_teacher_svr_is_compared_with_the_logged_scores(student, table):
    off = dataclasses.replace(table, y_N=(table.y_N + 3).clip(0, 90))
    report, _ = evaluate(student, off, name="it", corpus="c", libvmaf_version=None)
    assert report.references["teacher_svr"].rmse > 2


def test_one_clip_gives_no_interval(student, table):
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


def test_the_report_holds_the_latency(judged):
    latency = judged[0].latency
    assert 0 < latency.row_p50_us <= latency.row_p95_us
    assert 0 < latency.clip_p50_us <= latency.clip_p95_us
    assert latency.clip_rows == 240


def test_box_errors_match_random_vectors_scored_by_hand(judged, student):
    highest = DEFAULT_TEACHER.box_of(student.features).highest_F
    x_NF = np.random.default_rng(0).uniform(size=(evaluation.BOX_POINTS, 6)) * highest
    error_N = student.score(x_NF) - DEFAULT_TEACHER.score(x_NF, student.features)
    box = judged[0].box
    assert box.n_samples == evaluation.BOX_POINTS
    assert (box.rmse, box.max_abs_error) == pytest.approx(
        (np.sqrt(np.mean(error_N**2)), np.abs(error_N).max())
    )


def test_a_student_without_all_teacher_features_has_no_box_errors(table):
    fitted = fit(
        "linear", *split(table, "Gamma"), Settings(teacher_points=0, features="lite_vif")
    ).student
    report, _ = evaluate(
        OnnxStudent(to_onnx(fitted, {}), "it"), table, name="it", corpus="c", libvmaf_version=None
    )
    assert (report.model.features, report.box) == (FEATURE_SETS["lite_vif"].features, None)
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


def test_a_student_that_reads_windows_scores_a_clip_of_one_frame(of_windows, table):
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


def test_the_report_includes_the_student_without_teachers_points(student, of_windows, table):
    keywords = {"name": "it", "corpus": "c", "libvmaf_version": None}
    report, score_N = evaluate(student, table, **keywords, without_points=of_windows)
    assert report.without_teacher_points == compare(score_table(of_windows, table), table.y_N)
    assert report.rmse == pytest.approx(by_hand(score_N, table.y_N)["rmse"])
    assert EvalReport.model_validate_json(report.model_dump_json()) == report
    assert evaluate(student, table, **keywords)[0].without_teacher_points is None


def test_the_report_names_the_hold_out(student, table):
    report, _ = evaluate(
        student,
        split(table, "Gamma")[1],
        name="it",
        corpus="c",
        libvmaf_version=None,
        hold_out="Gamma",
    )
    assert (report.hold_out, tuple(report.per_source)) == ("Gamma", ("Gamma",))
