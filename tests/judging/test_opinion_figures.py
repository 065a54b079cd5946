"""Figures of clip scores against opinion scores: values, intervals over sources, doubt."""

from dataclasses import replace

import numpy as np
import pytest
from opinion_scores import synthetic_scores
from scipy import stats

from vmaf_train.frames.opinions import NETFLIX_PUBLIC
from vmaf_train.frames.parquet import read_parquet
from vmaf_train.judging.opinions import clip_figures, fit_logistic, judge_opinions


@pytest.fixture
def table(exported):
    """Return the demo with synthetic scores, the frames' PSNR being another monotone score."""
    demo = read_parquet(exported).table
    pooled = np.array([demo.y_N[rows].mean() for rows in demo.clip_rows])
    return replace(demo, mos_C=synthetic_scores(demo), psnr_C=20 + pooled / 5)


def teacher_of(table):
    return np.array([table.y_N[rows].mean() for rows in table.clip_rows])


def test_figures_are_those_of_scipy(table):
    scores = teacher_of(table)
    row = clip_figures(scores, table.mos_C, same_scale=True)
    assert row.srocc == pytest.approx(stats.spearmanr(scores, table.mos_C).statistic)
    assert row.krocc == pytest.approx(stats.kendalltau(scores, table.mos_C).statistic)
    assert row.plcc == pytest.approx(stats.pearsonr(scores, table.mos_C).statistic)
    assert row.rmse == pytest.approx(np.sqrt(np.mean((scores - table.mos_C) ** 2)))
    assert clip_figures(scores, table.mos_C, same_scale=False).rmse is None


def test_the_logistic_fit_finds_a_logistic_function_and_keeps_the_order():
    scores = np.linspace(20, 45, 60)
    truth = 10 + 85 / (1 + np.exp(-(scores - 33) / 3))
    fitted = fit_logistic(scores, truth)
    assert np.abs(fitted - truth).max() < 0.01
    noisy = fit_logistic(scores, truth + np.random.default_rng(0).normal(0, 5, 60))
    assert (np.diff(noisy) >= 0).all()
    assert fit_logistic(np.full(60, 3.0), truth) is None


def test_student_teacher_and_psnr_stand_side_by_side_with_paired_intervals(table):
    student = table.mos_C + np.random.default_rng(1).normal(0, 1, len(table.clips))
    report = judge_opinions(table, student, scores="s.csv", unseen=True)
    assert list(report.figures) == ["student", "teacher", "psnr"]
    assert (report.clips, report.sources, report.ceiling) == (72, 9, None)
    own, teacher, psnr = report.figures.values()
    limits = own.intervals["srocc"]
    assert limits.low <= own.srocc <= limits.high
    assert own.difference == {} and teacher.difference["plcc"].low > 0
    assert set(psnr.intervals) == {"srocc", "plcc"}
    # A student that is the teacher differs from it by nothing at all.
    same = judge_opinions(table, teacher_of(table), scores="s.csv", unseen=True)
    assert (same.figures["teacher"].difference["srocc"].low) == 0
    assert same.metrics["mos/srocc"] == same.metrics["mos/teacher_srocc"]
    assert "mos/psnr_rmse" not in same.metrics


def test_whole_sources_are_resampled(table):
    """Copies of clips in one source tell nothing new, so the interval stays."""
    twice = np.repeat(np.arange(len(table.clips)), 2)
    doubled = replace(
        table,
        x_NF=table.x_NF[: len(twice)],
        y_N=teacher_of(table)[twice],
        clip_N=np.arange(len(twice), dtype=np.int32),
        clips=tuple(f"{table.clips[i]}-{n}" for n, i in enumerate(twice)),
        clip_sources=tuple(table.clip_sources[i] for i in twice),
        mos_C=table.mos_C[twice],
        psnr_C=None,
    )
    once = judge_opinions(table, teacher_of(table), scores="s", unseen=True).figures["student"]
    again = judge_opinions(doubled, teacher_of(table)[twice], scores="s", unseen=True)
    limits = again.figures["student"].intervals["plcc"]
    assert limits.low == pytest.approx(once.intervals["plcc"].low, abs=1e-9)
    assert "psnr" not in again.figures


def test_a_figure_above_the_subjects_own_agreement_is_doubted(table):
    """A student that saw the label in the clip's name would be caught."""
    leaked = table.mos_C + np.random.default_rng(2).normal(0, 1, len(table.clips))
    report = judge_opinions(table, leaked, scores=NETFLIX_PUBLIC, unseen=True)
    assert report.ceiling == {"srocc": 0.974, "plcc": 0.985}
    assert "is above the 0.985 that subjects reach among themselves; look for a" in report.doubt
    rough = table.mos_C + np.random.default_rng(2).normal(0, 12, len(table.clips))
    honest = judge_opinions(table, rough, scores=NETFLIX_PUBLIC, unseen=True)
    assert honest.figures["student"].plcc < 0.985 and honest.doubt is None
    assert judge_opinions(table, leaked, scores="own.csv", unseen=True).doubt is None


def test_clips_without_a_score_do_not_count(table):
    few = np.where(np.arange(len(table.clips)) < 20, table.mos_C, np.nan)
    report = judge_opinions(replace(table, mos_C=few), teacher_of(table), scores="s", unseen=True)
    assert (report.clips, len(report.per_clip)) == (20, 20)
    two = np.where(np.arange(len(table.clips)) < 2, table.mos_C, np.nan)
    assert (
        judge_opinions(replace(table, mos_C=two), teacher_of(table), scores="s", unseen=True)
        is None
    )
