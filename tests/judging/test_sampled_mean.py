"""The mean of a sampled video: its estimate, its interval, and how many frames it takes."""

import numpy as np
import pytest

from vmaf_train.extraction.strata import Strata
from vmaf_train.judging.sampled_mean import SampledMean, estimate_mean, frames_needed

FRAMES = 600


def video(seed, noise=1.0, scene=40):
    """Return scores and signals of a video with scenes; a signal explains a part of the scores."""
    draw = np.random.default_rng(seed)
    level = draw.normal(75, 8, -(-FRAMES // scene)).repeat(scene)[:FRAMES]
    signals = np.column_stack([level / 10 + draw.normal(0, 0.2, FRAMES), draw.normal(size=FRAMES)])
    return level + noise * draw.normal(size=FRAMES), signals


def estimated(every, seed, **options):
    y, signals = video(seed, **options)
    chosen = Strata((every,), seed).chosen(FRAMES)
    return estimate_mean(y[chosen], chosen, signals), y.mean()


def test_all_frames_give_the_exact_mean():
    y, signals = video(0)
    estimate = estimate_mean(y, np.arange(FRAMES), signals)
    assert estimate == SampledMean(pytest.approx(y.mean()), 0.0, 0.0)


def test_scores_that_the_signals_determine_are_estimated_far_better_than_by_their_mean():
    y, signals = video(3, noise=0.0)
    signals = np.column_stack([y / 10, signals])
    chosen = Strata((12,), 3).chosen(FRAMES)
    estimate = estimate_mean(y[chosen], chosen, signals)
    alone = estimate_mean(y[chosen], chosen, np.zeros((FRAMES, 0)))
    assert abs(estimate.mean - y.mean()) < 0.3 * abs(alone.mean - y.mean())
    assert estimate.half_width < 0.4 * alone.half_width


@pytest.mark.parametrize("every", [5, 12, 30])
def test_the_interval_holds_the_true_mean_in_95_of_100_videos(every):
    held = [
        abs(e.mean - true) <= e.half_width for e, true in (estimated(every, s) for s in range(400))
    ]
    # Two standard deviations of 400 draws at 95 % are 2.2 %.
    assert np.mean(held) >= 0.928


def test_the_estimate_is_unbiased():
    errors = [e.mean - true for e, true in (estimated(12, seed) for seed in range(400))]
    assert abs(np.mean(errors)) < 2 * np.std(errors) / 400**0.5


def test_more_frames_narrow_the_interval():
    widths = [
        np.mean([estimated(every, s)[0].half_width for s in range(20)]) for every in (30, 12, 5, 2)
    ]
    assert widths == sorted(widths, reverse=True)


def test_one_frame_of_several_says_nothing_of_the_others():
    estimate = estimate_mean(
        np.array([70.0]), np.array([3]), np.random.default_rng(0).normal(size=(9, 2))
    )
    assert (estimate.half_width, estimate.deviation) == (np.inf, None)
    assert frames_needed(estimate, 9, within=1.0) == 9


def test_a_constant_video_has_no_interval_to_speak_of():
    chosen = np.array([1, 5, 9, 13, 17])
    estimate = estimate_mean(np.full(5, 97.4), chosen, np.full((20, 3), 2.0))
    assert estimate.mean == pytest.approx(97.4)
    assert estimate.half_width == pytest.approx(0.0, abs=1e-9)
    assert frames_needed(estimate, 20, within=0.1) <= 5


def test_frames_needed_reach_the_half_width():
    first, _ = estimated(12, 8)
    needed = frames_needed(first, FRAMES, within=0.5 * first.half_width)
    every = FRAMES // needed
    reached, _ = estimated(every, 8)
    assert reached.half_width == pytest.approx(0.5 * first.half_width, rel=0.5)
    assert frames_needed(first, FRAMES, within=1e-9) == FRAMES
