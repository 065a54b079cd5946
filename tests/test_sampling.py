"""The teacher's points: where they lie."""

import numpy as np
import pytest

from vmaf_train.features import CANONICAL, HIGHEST
from vmaf_train.sampling import cover, mixtures, uniform

TOP = np.array([HIGHEST[name] for name in CANONICAL.features])


def rng(seed=0):
    return np.random.default_rng(seed)


def test_the_box_ends_above_1_for_all_features_but_motion_which_ends_at_40():
    assert dict(zip(CANONICAL.features, TOP, strict=True)) == {
        **dict.fromkeys(("adm2", "vif_scale0", "vif_scale1", "vif_scale2", "vif_scale3"), 1.05),
        "motion2": 40.0,
    }


@pytest.mark.parametrize("shape", [(500,), (500, 5)])
def test_all_points_lie_in_the_box(shape):
    rows = rng().uniform(0, 1.2, (50, *shape[1:], 6)) * TOP
    for points in (cover(shape, CANONICAL.features, rng()), mixtures(rows, CANONICAL.features, 500, rng())):
        assert points.shape == (*shape, 6)
        assert (points >= 0).all() and (points <= TOP).all()


def test_the_same_source_of_randomness_gives_the_same_points():
    rows = rng().uniform(0.2, 0.9, (50, 6))
    for make in (lambda r: mixtures(rows, CANONICAL.features, 20, r), lambda r: cover((20,), CANONICAL.features, r)):
        np.testing.assert_array_equal(make(rng(3)), make(rng(3)))
        assert (make(rng(3)) != make(rng(4))).all()


def test_mixtures_lie_on_lines_through_two_rows_and_a_tenth_beyond_but_for_a_little_jitter():
    rows = np.array([[0.4] * 5 + [4.0], [0.6] * 5 + [6.0]])
    points = mixtures(rows, CANONICAL.features, 5000, rng())
    share = (points[:, :5] - 0.4) / 0.2
    # A tenth of the rows' deviation of 0.1, so 0.05 of the way between them.
    assert -0.4 < share.min() < -0.1 and 1.1 < share.max() < 1.4
    assert 0.03 < (share - share.mean(1, keepdims=True)).std() < 0.06
    alike = mixtures(rows[:1].repeat(3, 0), CANONICAL.features, 10, rng())
    np.testing.assert_allclose(alike, rows[:1].repeat(10, 0), rtol=1e-12)


def test_the_cover_is_densest_at_the_faces_and_even_draws_are_not():
    near = [(points < 0.05 * TOP).mean() for points in (cover((20000,), CANONICAL.features, rng()),)]
    near.append((uniform(20000, CANONICAL.features, rng()) < 0.05 * TOP).mean())
    assert near[0] == pytest.approx(2 * np.arcsin(np.sqrt(0.05)) / np.pi, abs=0.005)
    assert near[1] == pytest.approx(0.05, abs=0.005)
