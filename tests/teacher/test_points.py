"""The teacher's points: where they lie, and the rows of a batch beside those of the corpus."""

import dataclasses

import numpy as np
import pytest
import torch

from vmaf_train.features import CANONICAL
from vmaf_train.frames.splits import split
from vmaf_train.students.architectures import windows
from vmaf_train.students.batched_fit import BatchedFit
from vmaf_train.students.examples import training_rows
from vmaf_train.students.nets import WINDOW, Polynomial
from vmaf_train.students.settings import Job, Settings
from vmaf_train.students.training import fit
from vmaf_train.teacher.points import cover, mixtures, uniform
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

TOP = DEFAULT_TEACHER.highest_of(CANONICAL.features)


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
    for points in (
        cover(shape, TOP, rng()),
        mixtures(rows, TOP, 500, rng()),
    ):
        assert points.shape == (*shape, 6)
        assert (points >= 0).all() and (points <= TOP).all()


def test_the_same_source_of_randomness_gives_the_same_points():
    rows = rng().uniform(0.2, 0.9, (50, 6))
    for make in (
        lambda r: mixtures(rows, TOP, 20, r),
        lambda r: cover((20,), TOP, r),
    ):
        np.testing.assert_array_equal(make(rng(3)), make(rng(3)))
        assert (make(rng(3)) != make(rng(4))).all()


def test_mixtures_lie_on_lines_through_two_rows_and_a_tenth_beyond_but_for_a_little_jitter():
    rows = np.array([[0.4] * 5 + [4.0], [0.6] * 5 + [6.0]])
    points = mixtures(rows, TOP, 5000, rng())
    share = (points[:, :5] - 0.4) / 0.2
    # A tenth of the rows' deviation of 0.1, so 0.05 of the way between them.
    assert -0.4 < share.min() < -0.1 and 1.1 < share.max() < 1.4
    assert 0.03 < (share - share.mean(1, keepdims=True)).std() < 0.06
    alike = mixtures(rows[:1].repeat(3, 0), TOP, 10, rng())
    np.testing.assert_allclose(alike, rows[:1].repeat(10, 0), rtol=1e-12)


def test_a_mixture_of_windows_mixes_all_frames_alike():
    # Windows whose frames do not differ, so that those of their mixtures differ by the jitter alone.
    still = rng().uniform(0.3, 0.6, (50, 1, 6)).repeat(WINDOW, 1)
    points = mixtures(still, TOP, 2000, rng())
    assert points.std(1).mean() < 0.15 * still.std((0, 1)).mean()
    # Of two rows at random places on the line between them.
    assert points[:, 2].std(0) == pytest.approx(still.std((0, 1)) * 0.84, rel=0.15)


def test_the_cover_is_densest_at_the_faces_and_even_draws_are_not():
    near = [(points < 0.05 * TOP).mean() for points in (cover((20000,), TOP, rng()),)]
    near.append((uniform(20000, TOP, rng()) < 0.05 * TOP).mean())
    assert near[0] == pytest.approx(2 * np.arcsin(np.sqrt(0.05)) / np.pi, abs=0.005)
    assert near[1] == pytest.approx(0.05, abs=0.005)


# a batch


SETTINGS = Settings(epochs=1, batch_size=64, teacher_points=256)


@pytest.fixture
def train(make_table):
    return split(make_table(), "Gamma")[0]


def batched_fit(arch, table, points=256):
    """Return a batched fit of one job, and its student."""
    batched = BatchedFit(arch, table, [Job((), 0, points)], SETTINGS)
    (student,) = batched.students.values()
    return batched, student


def unstandardised(student, z):
    return (z * student.x_std_F + student.x_mean_F).numpy()


def test_the_rows_of_a_window_stay_in_its_clip_and_are_the_length_of_the_table_beyond(make_table):
    table = make_table(("Alpha",), clips=3, frames=3)
    assert table.window_rows(5).tolist() == [
        [9, 9, 0, 1, 2],
        [9, 0, 1, 2, 9],
        [0, 1, 2, 9, 9],
        [9, 9, 3, 4, 5],
        [9, 3, 4, 5, 9],
        [3, 4, 5, 9, 9],
        [9, 9, 6, 7, 8],
        [9, 6, 7, 8, 9],
        [6, 7, 8, 9, 9],
    ]
    assert table.window_rows(1).tolist() == [[row] for row in range(9)]


@pytest.mark.parametrize("arch", ["mlp_small", "cnn1d"])
@pytest.mark.parametrize(("points", "of_the_corpus"), [(256, 32), (0, 64)])
def test_a_batch_is_half_corpus_with_points_and_all_corpus_without(
    arch, points, of_the_corpus, train
):
    batched, student = batched_fit(arch, train, points)
    window = student.architecture.window
    parts = [torch.from_numpy(train.x_NF[train.rows_of(clip)]) for clip in range(len(train.clips))]
    parts = [(part - student.x_mean_F) / student.x_std_F for part in parts]
    # As the student itself makes windows of a clip.
    known = torch.cat([windows(part, window) if window > 1 else part for part in parts]).flatten(1)
    batches = list(batched.batches())
    assert len(batches) == batched.steps == 4
    for z, _ in batches:
        off = (z[0].flatten(1)[:, None] - known).abs().amax(2).amin(1)
        assert off[:of_the_corpus].max() < 1e-12
        assert (off[of_the_corpus:] > 1e-6).all()


@pytest.mark.parametrize("arch", ["mlp_bn", "transformer"])
def test_every_target_of_a_batch_is_the_teachers_unclipped_score_of_the_frame_or_the_middle_one(
    arch, train
):
    batched, student = batched_fit(arch, train)
    lowest = []
    for z, t in batched.batches():
        frames = z[0] if z.ndim == 3 else z[0, :, WINDOW // 2]
        expected_N = DEFAULT_TEACHER.score(
            unstandardised(student, frames), CANONICAL.features, clip=False
        )
        np.testing.assert_allclose(
            t[0] * student.y_std + student.y_mean, expected_N, rtol=0, atol=1e-8
        )
        lowest.append(expected_N.min())
    assert min(lowest) < 0


def test_without_points_a_fit_knows_the_training_rows_and_their_scores_only(train):
    x_NF, y_N = training_rows(train, Job())
    np.testing.assert_array_equal(x_NF, train.x_NF)
    np.testing.assert_array_equal(y_N, train.y_N)


def test_points_are_labelled_by_the_teacher_without_its_clip(train):
    teacher = DEFAULT_TEACHER
    x_NF, y_N = training_rows(train, Job((), 3, 200))
    assert len(x_NF) == len(train) + 200
    np.testing.assert_allclose(
        y_N, teacher.score(x_NF, CANONICAL.features, clip=False), rtol=0, atol=1e-9
    )
    assert y_N.max() > 100 or y_N.min() < 0
    other_NF, _ = training_rows(train, Job((), 4, 200))
    assert (other_NF[len(train) :] != x_NF[len(train) :]).all()


def test_clipped_scores_of_training_rows_go_on_smoothly_with_points_and_the_others_stay_as_libvmaf_said(
    train,
):
    teacher = DEFAULT_TEACHER
    assert (train.y_N == 100).any() and (train.y_N == 0).any()
    off = dataclasses.replace(train, y_N=np.where(train.y_N % 100 > 0, train.y_N + 0.25, train.y_N))
    _, with_points = training_rows(off, Job((), 0, 2))
    smooth_N = teacher.score(train.x_NF, CANONICAL.features, clip=False)
    clipped = train.y_N % 100 == 0
    np.testing.assert_allclose(
        with_points[: len(train)][clipped], smooth_N[clipped], rtol=0, atol=1e-9
    )
    np.testing.assert_array_equal(with_points[: len(train)][~clipped], off.y_N[~clipped])


def test_a_clipped_score_is_never_moved_into_the_range_that_is_not_clipped(train):
    y_N = np.where(train.y_N > 50, 100.0, 0.0)
    _, labels_N = training_rows(dataclasses.replace(train, y_N=y_N), Job((), 0, 2))
    smooth_N = DEFAULT_TEACHER.score(train.x_NF, CANONICAL.features, clip=False)
    inside = (smooth_N > 0) & (smooth_N < 100)
    assert set(y_N[inside]) == {0.0, 100.0}
    np.testing.assert_array_equal(labels_N[: len(train)][inside], y_N[inside])


@pytest.mark.parametrize("arch", ["mlp_small", "transformer"])
def test_in_the_loss_corpus_and_mixtures_weigh_alike_and_the_cover_three_tenths(arch, train):
    batched, student = batched_fit(arch, train)
    z, t = next(batched.batches())
    with torch.no_grad():
        square = (student.net(z[0]) - t[0]) ** 2
    corpus, mixed, spread = (float(part.mean()) for part in square.split([32, 16, 16]))
    assert float(batched.step(z, t)) == pytest.approx(
        (corpus + mixed + 0.3 * spread) / 2.3, rel=1e-9
    )


def test_a_polynomial_with_points_is_the_least_squares_solution_under_the_same_weights(train):
    done = fit("cubic", train, train, SETTINGS)
    x_NF, y_N = training_rows(train, Job((), 0, 256))
    lengths = (len(train), 128, 128)
    root = np.repeat(
        [(share / n) ** 0.5 for share, n in zip((1, 1, 0.3), lengths, strict=True)], lengths
    )
    scaled = (torch.from_numpy(x_NF) - done.student.x_mean_F) / done.student.x_std_F
    design = Polynomial(6, 3).expand(scaled).numpy()
    solved = np.linalg.lstsq(design * root[:, None], y_N * root, rcond=None)[0]
    with torch.inference_mode():
        given = done.student.net(scaled) * done.student.y_std + done.student.y_mean
    np.testing.assert_allclose(given.numpy(), design @ solved, rtol=0, atol=1e-3)
    mean = np.average((design @ solved - y_N) ** 2, weights=root**2) / train.y_N.var()
    assert done.history[0].train_loss == pytest.approx(mean, rel=1e-4)


def test_batch_normalisation_is_settled_by_rows_in_the_proportions_of_a_batch(make_table):
    # 256 rows and 128 points of either kind, so that every one of them counts equally often among its like.
    table = make_table(("Alpha",), clips=4, frames=64)
    batched, student = batched_fit("mlp_bn", table)
    batched.end_epoch(1, [batched.step(z, t) for z, t in batched.batches()])
    x_NF, _ = training_rows(table, Job((), 0, 256))
    z = (torch.from_numpy(x_NF) - student.x_mean_F) / student.x_std_F
    weight = torch.from_numpy(
        np.repeat((2.0, 1.0, 1.0), (256, 128, 128)) / np.repeat((256, 128, 128), (256, 128, 128))
    )
    layer, norm = student.net.layers[0]
    given = layer(z).detach()
    mean = (weight[:, None] * given).sum(0) / weight.sum()
    spread = (weight[:, None] * (given - mean) ** 2).sum(0) / weight.sum()
    torch.testing.assert_close(norm.mean[0], mean, rtol=0, atol=1e-10)
    torch.testing.assert_close(norm.deviation[0] ** 2, spread + 1e-5, rtol=0, atol=1e-10)


@pytest.mark.parametrize("arch", ["cubic", "mlp_small", "mlp_bn", "cnn1d"])
@pytest.mark.parametrize(("points", "size"), [(1, 64), (2, 1), (3, 3)])
def test_few_points_and_small_batches_are_no_trouble(arch, points, size, train):
    assert len(training_rows(train, Job((), 0, points))[1]) == len(train) + points
    done = fit(arch, train, train, Settings(epochs=1, batch_size=size, teacher_points=points))
    assert np.isfinite([(epoch.train_loss, epoch.val_rmse) for epoch in done.history]).all()
