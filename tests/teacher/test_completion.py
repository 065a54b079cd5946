"""The teacher for feature sets that lack some of its features."""

import numpy as np

from vmaf_train.features import (
    CANONICAL,
    FEATURE_SETS,
)
from vmaf_train.teacher.completion import CompletedTeacher
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

LITE, FAST = FEATURE_SETS["lite"].features, FEATURE_SETS["fast"].features


def completed_for(features, x_NF, table):
    """Return the teacher completed for a feature set, trained on these rows."""
    missing_NM = table.select(DEFAULT_TEACHER.missing_from(features)).x_NF
    return CompletedTeacher(DEFAULT_TEACHER, features, x_NF, missing_NM)


def test_a_set_with_all_features_gets_the_teachers_scores(wide_table):
    x_NF = wide_table.select(CANONICAL.features).x_NF
    completed = completed_for(CANONICAL.features, x_NF, wide_table)
    expected = DEFAULT_TEACHER.score(x_NF, CANONICAL.features)
    assert completed.score(x_NF).tolist() == expected.tolist()


def test_missing_features_are_predicted_from_the_others(wide_table):
    x_NF = wide_table.select(LITE).x_NF
    completed = completed_for(LITE, x_NF, wide_table)
    # In this table the missing scale is a linear function of the others.
    np.testing.assert_allclose(completed.score(x_NF), wide_table.y_N, atol=1e-6)


def test_features_that_differ_only_by_rounding_give_a_stable_prediction(wide_table):
    x_NF = wide_table.select(FAST).x_NF.copy()
    adm2, adm3, aim = (FAST.index(name) for name in ("adm2", "adm3", "aim"))
    x_NF[:, adm3] = ((x_NF[:, adm2] + 1 - x_NF[:, aim]) / 2).round(6)
    completed = completed_for(FAST, x_NF, wide_table)
    moved_NF = x_NF + np.random.default_rng(0).normal(size=x_NF.shape) * 1e-3
    assert np.abs(completed.score(moved_NF) - completed.score(x_NF)).max() < 2
