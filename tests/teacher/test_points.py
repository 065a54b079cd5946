"""The teacher's points: where they lie in the feature box."""

import numpy as np
import pytest

from vmaf_train.features import CANONICAL
from vmaf_train.students.nets import WINDOW
from vmaf_train.students.settings import Settings
from vmaf_train.teacher.points import cover, mixtures, uniform
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

BOX = DEFAULT_TEACHER.box_of(CANONICAL.features)
TOP = BOX.highest_F


def rng(seed=0):
    return np.random.default_rng(seed)


def test_the_box_ends_at_40_for_motion_and_at_1_05_for_all_others():
    assert dict(zip(CANONICAL.features, TOP, strict=True)) == {
        **dict.fromkeys(("adm2", "vif_scale0", "vif_scale1", "vif_scale2", "vif_scale3"), 1.05),
        "motion2": 40.0,
    }


@pytest.mark.parametrize("shape", [(500,), (500, 5)])
def test_all_points_lie_in_the_box(shape):
    rows = rng().uniform(0, 1.2, (50, *shape[1:], 6)) * TOP
    for points in (
        cover(shape, BOX, rng()),
        mixtures(rows, BOX, 500, rng()),
    ):
        assert points.shape == (*shape, 6)
        assert (points >= 0).all() and (points <= TOP).all()


def test_the_same_seed_gives_the_same_points():
    rows = rng().uniform(0.2, 0.9, (50, 6))
    for make in (
        lambda r: mixtures(rows, BOX, 20, r),
        lambda r: cover((20,), BOX, r),
    ):
        np.testing.assert_array_equal(make(rng(3)), make(rng(3)))
        assert (make(rng(3)) != make(rng(4))).all()


def test_mixtures_lie_near_the_line_through_two_rows():
    rows = np.array([[0.4] * 5 + [4.0], [0.6] * 5 + [6.0]])
    points = mixtures(rows, BOX, 5000, rng())
    share = (points[:, :5] - 0.4) / 0.2
    # A tenth of the rows' deviation of 0.1, so 0.05 of the way between them.
    assert -0.4 < share.min() < -0.1 and 1.1 < share.max() < 1.4
    assert 0.03 < (share - share.mean(1, keepdims=True)).std() < 0.06
    alike = mixtures(rows[:1].repeat(3, 0), BOX, 10, rng())
    np.testing.assert_allclose(alike, rows[:1].repeat(10, 0), rtol=1e-12)


def test_a_mixture_of_windows_mixes_all_frames_with_one_weight():
    # Windows of equal frames: frames of a mixture then differ only by the jitter.
    still = rng().uniform(0.3, 0.6, (50, 1, 6)).repeat(WINDOW, 1)
    points = mixtures(still, BOX, 2000, rng())
    assert points.std(1).mean() < 0.15 * still.std((0, 1)).mean()
    # Of two rows at random places on the line between them.
    assert points[:, 2].std(0) == pytest.approx(still.std((0, 1)) * 0.84, rel=0.15)


def test_the_cover_is_densest_at_the_faces_and_a_uniform_draw_is_not():
    near = [(points < 0.05 * TOP).mean() for points in (cover((20000,), BOX, rng()),)]
    near.append((uniform(20000, BOX, rng()) < 0.05 * TOP).mean())
    assert near[0] == pytest.approx(2 * np.arcsin(np.sqrt(0.05)) / np.pi, abs=0.005)
    assert near[1] == pytest.approx(0.05, abs=0.005)


SETTINGS = Settings(epochs=1, batch_size=64, teacher_points=256)
