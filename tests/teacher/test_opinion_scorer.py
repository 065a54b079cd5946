"""A frame score fitted to opinion scores through the pooling: what it learns, and what not."""

from dataclasses import replace

import numpy as np
import pytest
from opinion_scores import NOISE, synthetic_scores, synthetic_truth

from vmaf_train.errors import InputError
from vmaf_train.frames.choice import REAL, CorpusChoice
from vmaf_train.frames.opening import open_corpus
from vmaf_train.metrics import rmse
from vmaf_train.reporting import Reporter
from vmaf_train.students.export import to_onnx
from vmaf_train.students.settings import HYBRID, MOS, Job, Settings
from vmaf_train.students.training import fit_many
from vmaf_train.teacher.opinions import OpinionScorer, Rated


@pytest.fixture(scope="module")
def table():
    """Return the frames of `real`, with synthetic scores of every clip."""
    real = open_corpus(CorpusChoice(corpus=REAL), Reporter()).table(())
    return replace(real, mos_C=synthetic_scores(real))


class Base:
    """The teacher, unclipped."""

    def __init__(self, table):
        self.table = table

    def score(self, x_NF, clip=True):
        return self.table.teacher.score(x_NF, self.table.features, clip=False)


def scorer(table, kind):
    frames = Rated(table.x_NF, table.clip_N, table.mos_C, table.clip_sources)
    if kind == MOS:
        return OpinionScorer(frames.only_rated())
    return OpinionScorer(frames, Base(table), frame_weight=1.0, clip_weight=10.0)


def pooled(table, score_N):
    return np.array([score_N[rows].mean() for rows in table.clip_rows])


def with_clips(table, count):
    """Return a table in which only some clips have a score."""
    kept = np.random.default_rng(1).permutation(len(table.clips))[:count]
    scores = np.full(len(table.clips), np.nan)
    scores[kept] = table.mos_C[kept]
    return replace(table, mos_C=scores)


def error_on_new_sources(table, kind, count):
    held = set(table.sources[::3])
    train, new = table.only(set(table.sources) - held), table.only(held)
    found = scorer(with_clips(train, count), kind).score(new.x_NF)
    return rmse(pooled(new, found), synthetic_truth(new))


def test_both_recover_a_synthetic_truth_within_the_noise_and_hybrid_needs_fewer_clips(table):
    errors = {
        (kind, n): error_on_new_sources(table, kind, n) for kind in (MOS, HYBRID) for n in (16, 300)
    }
    assert errors[MOS, 300] < NOISE and errors[HYBRID, 300] < NOISE
    assert errors[HYBRID, 16] < errors[MOS, 16]
    teacher = rmse(pooled(table, table.y_N), synthetic_truth(table))
    assert errors[HYBRID, 300] < teacher


def test_the_mean_over_a_clip_is_fitted_and_not_the_frames(table):
    some = table.only(table.sources[:6])
    found = scorer(some, MOS).score(some.x_NF)
    clip = pooled(some, found)
    assert np.corrcoef(clip, some.mos_C)[0, 1] > 0.97
    # Frames of one clip differ, although they share one score.
    assert max(np.ptp(found[rows]) for rows in some.clip_rows) > 1


def test_scores_above_100_are_not_clipped(table):
    raised = replace(table, mos_C=table.mos_C + 30)
    found = pooled(table, scorer(raised, MOS).score(table.x_NF))
    assert found.max() > 110


def test_clips_without_a_score_change_nothing_for_mos_but_hold_hybrid_to_the_teacher(table):
    few = with_clips(table, 40)
    only = few.take(np.flatnonzero(~np.isnan(few.mos_C)).tolist())
    x_NF = table.x_NF[::50]
    np.testing.assert_array_equal(scorer(few, MOS).score(x_NF), scorer(only, MOS).score(x_NF))
    assert not np.array_equal(scorer(few, HYBRID).score(x_NF), scorer(only, HYBRID).score(x_NF))


def test_far_from_content_hybrid_goes_back_to_the_teacher_up_to_a_constant(table):
    far = np.array([table.x_NF.mean(0) + 60 * table.x_NF.std(0)] * 2)
    far[1] *= -1
    base = Base(table).score(far)
    shift = scorer(table, HYBRID).score(far) - base
    assert np.ptp(shift) < 1e-3
    assert np.abs(shift).max() < 20


def test_one_rated_source_is_too_few(table):
    one = replace(
        table, mos_C=np.where(np.array(table.clip_sources) == table.sources[0], 50.0, np.nan)
    )
    with pytest.raises(InputError, match="two or more sources"):
        scorer(one, MOS)


@pytest.mark.parametrize("targets", [MOS, HYBRID])
def test_the_scores_of_a_held_out_source_change_no_byte_of_a_student(table, targets):
    some = table.only(table.sources[:5])
    job, settings = Job((some.sources[0],), 0, 512), Settings(targets=targets, epochs=2)

    def student(scores):
        fitted = fit_many("quadratic", replace(some, mos_C=scores), [job], settings)
        return to_onnx(fitted[job], {})

    held = np.array(some.clip_sources) == some.sources[0]
    assert student(some.mos_C) == student(np.where(held, 0.0, some.mos_C))
    assert student(some.mos_C) == student(np.where(held, np.nan, some.mos_C))
    assert student(some.mos_C) != student(np.where(held, some.mos_C, 60.0))


@pytest.mark.parametrize("targets", [MOS, HYBRID])
def test_the_names_of_clips_say_nothing_to_a_student(table, targets):
    some = table.only(table.sources[:5])
    renamed = replace(some, clips=tuple(reversed(some.clips)))
    job, settings = Job((some.sources[0],), 0, 512), Settings(targets=targets, epochs=2)
    files = [to_onnx(fit_many("quadratic", t, [job], settings)[job], {}) for t in (some, renamed)]
    assert files[0] == files[1]
