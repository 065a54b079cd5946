"""Cross-validation: rows that each student sees, the kept student, and reproducible scores."""

import dataclasses

import numpy as np
import pytest

from vmaf_train.features import CANONICAL
from vmaf_train.frames.splits import split
from vmaf_train.judging.crossval import cross_validate
from vmaf_train.judging.evaluation import score_table
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.students.export import to_onnx
from vmaf_train.students.settings import Settings
from vmaf_train.students.training import fit

FRAMES = 12
QUICK = Settings(epochs=2, teacher_points=64)
ARCHS = ("linear", "mlp_small", "cnn1d")
FACTS = {"corpus": "demo", "libvmaf_version": "3.2.0"}


@pytest.fixture(scope="module")
def table(make_table):
    return make_table(frames=FRAMES)


@pytest.fixture(scope="module")
def whole(table):
    """The result of each arch over all folds with two seeds."""
    return {arch: validated(arch, table) for arch in ARCHS}


def validated(arch, table, fold=None, seeds=2, settings=QUICK):
    judged = table.only([fold]) if fold else table
    return cross_validate(arch, table, judged, settings, seeds=seeds, **FACTS)


def rows_of(table, source):
    return np.array(table.clip_sources)[table.clip_N] == source


def disturbed(table, source):
    """Return a table with random rows in the second half of each clip of a source."""
    x_NF, y_N = table.x_NF.copy(), table.y_N.copy()
    wild = rows_of(table, source) & (np.arange(len(table)) % FRAMES >= FRAMES // 2)
    draw = np.random.default_rng(7)
    x_NF[wild] = draw.uniform(0, 1, (wild.sum(), 6))[:, ::-1] * (1, 1, 1, 1, 1, 40)
    y_N[wild] = draw.uniform(0, 100, wild.sum())
    return dataclasses.replace(table, x_NF=x_NF, y_N=y_N)


@pytest.mark.parametrize("arch", ARCHS)
def test_a_fold_is_scored_by_students_that_never_saw_its_rows(arch, whole, table):
    before, after = whole[arch], validated(arch, disturbed(table, "Beta"))
    # Rows of the first half that no window joins to the second keep their scores.
    kept = rows_of(table, "Beta") & (np.arange(len(table)) % FRAMES < FRAMES // 2 - 2)
    assert kept.sum() == 3 * 4
    np.testing.assert_array_equal(after.score_SN[:, kept], before.score_SN[:, kept])
    np.testing.assert_array_equal(after.without_N[kept], before.without_N[kept])
    # Students that score other sources learned from Beta too.
    for source in ("Alpha", "Gamma"):
        rows = rows_of(table, source)
        # Not all: clipped scores may stay.
        assert (after.score_SN[:, rows] != before.score_SN[:, rows]).mean() > 0.5
        assert (after.without_N[rows] != before.without_N[rows]).mean() > 0.5


@pytest.mark.parametrize("arch", ARCHS)
def test_the_student_of_one_fold_equals_a_training_on_the_same_split(arch, table):
    result = validated(arch, table, "Beta")
    train, val = split(table, "Beta")
    assert result.score_SN.shape == (2, len(val))
    alone = fit(arch, train, val, QUICK)
    for student, score_N in (
        (alone.student, result.score_SN[0]),
        (alone.without_points, result.without_N),
    ):
        loaded = OnnxStudent(to_onnx(student, {}), arch)
        np.testing.assert_array_equal(score_table(loaded, val), score_N)


def test_scores_of_each_fold_stand_at_its_own_rows(table, whole):
    for source in table.sources:
        alone = validated("linear", table, source, seeds=1)
        np.testing.assert_array_equal(
            whole["linear"].score_SN[0, rows_of(table, source)], alone.score_SN[0]
        )
        np.testing.assert_array_equal(
            whole["linear"].without_N[rows_of(table, source)], alone.without_N
        )


def test_the_kept_student_of_all_folds_is_trained_on_every_source(whole, table):
    facts = whole["mlp_small"].student.facts
    assert facts["train_sources"] == ["Alpha", "Beta", "Gamma"]
    assert (facts["train_frames"], facts["train_digest"]) == (len(table), table.digest)
    assert (facts["teacher_points"], facts["smoke"], facts["corpus"]) == (64, False, "demo")
    for source in table.sources:
        assert (
            validated("mlp_small", disturbed(table, source)).student.content
            != whole["mlp_small"].student.content
        )


@pytest.mark.parametrize("arch", ["linear", "mlp_small"])
def test_the_kept_student_of_one_fold_is_not_trained_on_it(arch, table, whole):
    result = validated(arch, table, "Beta")
    seen = table.only(["Alpha", "Gamma"])
    assert result.student.facts["train_sources"] == ["Alpha", "Gamma"]
    assert (result.student.facts["train_frames"], result.student.facts["train_digest"]) == (
        len(seen),
        seen.digest,
    )
    assert (
        validated(arch, disturbed(table, "Beta"), "Beta").student.content == result.student.content
    )
    assert (
        validated(arch, disturbed(table, "Alpha"), "Beta").student.content != result.student.content
    )


def test_the_kept_student_has_the_first_seed_and_the_teachers_points(table):
    result = validated("mlp_small", table, "Beta")
    np.testing.assert_array_equal(
        score_table(result.student, table.only(["Beta"])), result.score_SN[0]
    )


def test_the_report_is_of_the_kept_student(whole, table):
    result = whole["mlp_small"]
    error_N = score_table(result.student, table) - table.y_N
    assert result.report.rmse == pytest.approx(np.sqrt(np.mean(error_N**2)))
    assert result.report.model.onnx_sha256 == result.student.sha256
    assert result.report.libvmaf_version == "3.2.0"


def test_a_fit_without_teachers_points_has_no_second_scores(table, whole):
    bare = validated("mlp_small", table, settings=dataclasses.replace(QUICK, teacher_points=0))
    assert bare.without_N is None
    assert bare.student.facts["teacher_points"] == 0
    # With points that column is the first seed's, fitted without them.
    np.testing.assert_array_equal(bare.score_SN[0], whole["mlp_small"].without_N)


@pytest.mark.parametrize("arch", ARCHS)
def test_the_same_call_gives_the_same_bytes_and_scores(arch, table, whole):
    again = validated(arch, table)
    assert again.student.content == whole[arch].student.content
    np.testing.assert_array_equal(again.score_SN, whole[arch].score_SN)
    np.testing.assert_array_equal(again.without_N, whole[arch].without_N)


def test_scores_of_a_seed_do_not_depend_on_other_seeds(table, whole):
    alone = validated("mlp_small", table, seeds=1)
    np.testing.assert_array_equal(alone.score_SN[0], whole["mlp_small"].score_SN[0])
    second = validated("mlp_small", table, seeds=1, settings=dataclasses.replace(QUICK, seed=1))
    np.testing.assert_array_equal(second.score_SN[0], whole["mlp_small"].score_SN[1])
    assert (whole["mlp_small"].score_SN[0] != whole["mlp_small"].score_SN[1]).all()


def test_the_teacher_svr_is_a_reference_and_not_trained(table, whole):
    reference = validated("teacher_svr", table)
    assert (reference.trained, whole["linear"].trained, whole["mlp_small"].trained) == (
        False,
        True,
        True,
    )
    assert np.abs(reference.score_SN - table.y_N).max() < 1e-3
    assert reference.report.model.features == CANONICAL.features
