"""Out of fold: each source is judged by a student that never saw it."""

from dataclasses import replace

import numpy as np
import pytest

from vmaf_train.judging import out_of_fold
from vmaf_train.judging.evaluation import evaluate, score_table
from vmaf_train.judging.holdout import fit_and_judge
from vmaf_train.judging.report import EvalReport
from vmaf_train.metrics import rmse
from vmaf_train.onnx_file.expected_error import expected_error_of
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.students.export import to_onnx
from vmaf_train.students.settings import Settings
from vmaf_train.students.training import fit

SETTINGS = Settings(teacher_points=64)
SOURCES = ("Alpha", "Beta", "Delta", "Gamma")


@pytest.fixture(scope="module")
def table(make_table):
    return make_table(sources=SOURCES)


def trained(table, arch="linear", settings=SETTINGS, hold_out="Beta"):
    return fit_and_judge(
        arch, table, settings, hold_out=hold_out, corpus="c", libvmaf_version="3.2.0"
    )


@pytest.fixture(scope="module")
def done(table):
    return trained(table)


def test_a_training_source_is_judged_by_a_student_of_the_other_training_sources(done, table):
    others = table.only({"Delta", "Gamma"})
    student = fit("linear", others, others, SETTINGS).student
    judged = table.only({"Alpha"})
    error_N = score_table(OnnxStudent(to_onnx(student, {}), "it"), judged) - judged.y_N
    errors = done.report.out_of_fold.per_source["Alpha"]
    assert errors.rmse == pytest.approx(np.sqrt((error_N**2).mean()))
    assert errors.bias == pytest.approx(error_N.mean())
    assert (errors.frames, errors.clips) == (120, 3)
    pooled = np.abs(error_N.reshape(3, 40).mean(1))
    assert errors.pooled_max_abs_error == pytest.approx(pooled.max())


def test_the_held_out_source_is_judged_by_the_student_itself(done):
    part = done.report.out_of_fold
    assert set(part.per_source) == set(SOURCES)
    assert part.per_source["Beta"].rmse == pytest.approx(done.report.rmse)
    assert part.worst_source_rmse == max(row.rmse for row in part.per_source.values())


def test_the_held_out_source_changes_neither_weights_nor_centres(done, table):
    rows = table.is_of("Beta")
    x_NF = np.where(rows[:, None], table.x_NF * 0.5, table.x_NF)
    other = trained(replace(table, x_NF=x_NF))
    mine, theirs = (expected_error_of(each.student, "it").familiar for each in (done, other))
    np.testing.assert_array_equal(mine.centres_KF, theirs.centres_KF)
    assert (
        done.report.out_of_fold.per_source["Alpha"] == other.report.out_of_fold.per_source["Alpha"]
    )
    np.testing.assert_array_equal(
        done.student.score(table.x_NF[:9]), other.student.score(table.x_NF[:9])
    )


def test_file_and_report_state_the_same_interval(done):
    part, stated = done.report.out_of_fold, expected_error_of(done.student, "it")
    assert stated.interval == part.interval
    assert stated.familiar.limit == part.outside_limit
    # Four sources can promise 4 / 5, with the greatest error of a clip.
    assert (stated.confidence, stated.sources) == (0.8, 4)
    greatest = max(row.pooled_max_abs_error for row in part.per_source.values())
    assert stated.half_width(40) == pytest.approx(greatest, rel=1e-3)
    assert stated.half_width(40) >= greatest
    assert [row.frames for row in part.pooled_errors] == [1, 12, 40]
    assert [row.clips for row in part.pooled_errors] == [False, False, True]


def test_the_same_seed_gives_the_same_bytes(done, table):
    assert trained(table).student.content == done.student.content


def test_the_teacher_itself_needs_no_folds(table, monkeypatch):
    monkeypatch.setattr(out_of_fold, "fit_many", None)
    part = trained(table, "teacher_svr").report.out_of_fold
    assert set(part.per_source) == set(SOURCES)
    assert part.rmse < 1e-3


def test_one_training_source_leaves_only_the_held_out_one_to_judge(make_table):
    two = make_table(sources=("Alpha", "Beta"))
    part = trained(two).report.out_of_fold
    assert (set(part.per_source), part.interval.confidence) == ({"Beta"}, 0.5)


def test_a_smoke_states_no_error(table):
    smoke = trained(table, settings=Settings(epochs=0))
    assert smoke.report.out_of_fold is None
    assert expected_error_of(smoke.student, "it") is None


def test_many_sources_share_folds_and_are_all_judged(table, monkeypatch):
    monkeypatch.setattr(out_of_fold, "MOST_FOLDS", 2)
    part = trained(table).report.out_of_fold
    assert set(part.per_source) == set(SOURCES)
    # Alpha and Gamma share a fold, so a student of Delta alone judges them.
    alone = table.only({"Delta"})
    student = fit("linear", alone, alone, SETTINGS).student
    judged = table.only({"Gamma"})
    scores = score_table(OnnxStudent(to_onnx(student, {}), "it"), judged)
    assert part.per_source["Gamma"].rmse == pytest.approx(rmse(scores, judged.y_N))


def test_an_evaluation_tells_whether_the_interval_held(done, table):
    far = replace(table, x_NF=np.where(table.is_of("Gamma")[:, None], 3, table.x_NF))
    report, score_N = evaluate(done.student, far, name="it", corpus="c", libvmaf_version=None)
    check, stated = report.interval_check, expected_error_of(done.student, "it")
    outside_N = stated.outside(stated.distance(far.x_NF))
    assert check.outside_by_source["Gamma"] == 120 > check.outside_by_source["Alpha"]
    assert check.outside_share == pytest.approx(outside_N.mean())
    held = [
        abs((score_N - far.y_N)[rows].mean())
        <= stated.half_width(40, stated.distance(far.x_NF[rows]))
        for rows in far.clip_rows
    ]
    # Beta is held out. The others were trained on, which the interval says nothing about.
    rows = zip(far.clips, far.clip_sources, held, strict=True)
    counted = {clip: value for clip, source, value in rows if source == "Beta"}
    assert (check.unseen, check.held_by_clip) == (True, counted)
    assert check.coverage == np.mean(list(counted.values()))
    metrics = report.metrics("eval")
    assert metrics["eval/interval_coverage"] == check.coverage
    assert metrics["eval/outside_share"] == check.outside_share


def test_a_training_logs_a_few_out_of_fold_metrics(done):
    metrics, part = done.report.metrics("val"), done.report.out_of_fold
    assert metrics["oof/rmse"] == part.rmse
    assert metrics["oof/worst_source_rmse"] == part.worst_source_rmse
    assert metrics["oof/pooled_rmse"] == part.pooled_rmse
    assert metrics["oof/half_width"] == part.interval.half_widths[-1].half_width
    assert metrics["oof/confidence"] == part.interval.confidence


def test_a_report_without_these_parts_keeps_its_bytes(done):
    older = done.report.model_dump_json(indent=2, exclude={"out_of_fold", "interval_check"})
    read = EvalReport.model_validate_json(older)
    assert (read.out_of_fold, read.interval_check) == (None, None)
    assert read.model_dump_json(indent=2, exclude_unset=True) == older
