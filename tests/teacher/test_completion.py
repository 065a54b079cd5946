"""The teacher completed by regression: what it predicts, and from what."""

import dataclasses

import numpy as np
import pytest

from vmaf_train.features import CANONICAL, FEATURE_SETS
from vmaf_train.frames.choice import REAL, CorpusChoice
from vmaf_train.frames.opening import open_corpus
from vmaf_train.reporting import Reporter
from vmaf_train.teacher.completion import CompletedTeacher
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

LITE = FEATURE_SETS["lite"].features
MISSING = DEFAULT_TEACHER.missing_from(LITE)


@pytest.fixture(scope="module")
def real():
    return open_corpus(CorpusChoice(corpus=REAL), Reporter(), LITE).table(())


def completed(table, features=LITE):
    missing_NM = table.select(DEFAULT_TEACHER.missing_from(features)).x_NF
    return CompletedTeacher(DEFAULT_TEACHER, features, table.select(features).x_NF, missing_NM)


def test_a_set_that_lacks_nothing_has_the_teacher_itself(real):
    x_NF = real.select(CANONICAL.features).x_NF
    scored_N = completed(real, CANONICAL.features).score(x_NF)
    assert scored_N.tolist() == DEFAULT_TEACHER.score(x_NF, CANONICAL.features).tolist()


def test_a_feature_that_is_the_exponential_of_a_quadratic_is_predicted_exactly(real):
    x_NF = real.select(LITE).x_NF
    truth_N = np.exp(-0.5 - x_NF[:, 0] + 0.5 * x_NF[:, 0] * x_NF[:, 5])
    predicted_NM = CompletedTeacher(DEFAULT_TEACHER, LITE, x_NF, truth_N[:, None]).complete(x_NF)
    np.testing.assert_allclose(predicted_NM[:, 0], truth_N, rtol=0.02)


def test_predictions_stay_in_the_feature_box(real):
    wild_NF = np.random.default_rng(0).uniform(0, 1.05, (5000, len(LITE))) * 20
    predicted_NM = completed(real).complete(wild_NF)
    assert predicted_NM.min() >= 0
    assert (predicted_NM <= DEFAULT_TEACHER.box_of(MISSING).highest_F).all()


def test_the_rows_are_predicted_in_chunks_as_at_once(real, monkeypatch):
    teacher, x_NF = completed(real), real.select(LITE).x_NF[:1000]
    at_once_NM = teacher.complete(x_NF)
    monkeypatch.setattr("vmaf_train.teacher.completion.ROWS_PER_CHUNK", 17)
    np.testing.assert_allclose(teacher.complete(x_NF), at_once_NM, rtol=1e-12)


def test_a_table_above_the_limit_is_thinned_and_predicts_alike(real, monkeypatch):
    whole_NM = completed(real).complete(real.select(LITE).x_NF)
    monkeypatch.setattr("vmaf_train.teacher.completion.MOST_ROWS", len(real) // 2)
    thinned_NM = completed(real).complete(real.select(LITE).x_NF)
    assert 0 < np.abs(thinned_NM - whole_NM).mean() < 0.002


def test_adms_scales_tell_the_missing_scale_of_real_content_better_than_vif_alone(real):
    held = real.only(real.sources[::3])
    learnt = real.only(set(real.sources) - set(held.sources))
    errors = {}
    for name in ("lite", "lite_vif"):
        features = FEATURE_SETS[name].features
        wide = dataclasses.replace(learnt)
        score_N = completed(wide, features).score(held.select(features).x_NF)
        errors[name] = np.sqrt(np.mean((score_N - held.y_N) ** 2))
    assert errors["lite"] < 0.8 * errors["lite_vif"]
