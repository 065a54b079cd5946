"""Fits: what they learn from, that nothing else has a say, and that company changes nothing."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.func import functional_call, grad, vmap

from vmaf_train import solvers
from vmaf_train.dataset import split
from vmaf_train.errors import InputError
from vmaf_train.export import check_same_scores, to_onnx
from vmaf_train.features import CANONICAL
from vmaf_train.inference import OnnxStudent
from vmaf_train.models import ARCHITECTURES, Polynomial, build
from vmaf_train.solvers import GaussNewton, least_squares, one_cycle
from vmaf_train.teacher import load_teacher
from vmaf_train.training import Course, Job, Settings, fit, fit_many, training_rows

FITTED = tuple(arch for arch, row in ARCHITECTURES.items() if row.solver != "none")
STEPPED = tuple(arch for arch, row in ARCHITECTURES.items() if row.solver in ("gauss_newton", "adam"))
SHORT = Settings(epochs=3, batch_size=32, teacher_points=128)
PLAIN = dataclasses.replace(SHORT, teacher_points=0)


@pytest.fixture(scope="module")
def table(make_table):
    return make_table()


@pytest.fixture
def rows(table):
    """Training and validation rows."""
    return split(table, "Gamma")


def bytes_of(student):
    return to_onnx(student, CANONICAL.features, {})


def fitted(arch, train, val, settings=SHORT):
    return bytes_of(fit(arch, train, val, settings).student)


def weights_of(student):
    return [weights.detach().numpy().tolist() for weights in student.net.parameters()]


def scores(student, x_NF):
    with torch.inference_mode():
        return student(torch.from_numpy(x_NF)).numpy()


def box(n=2000, seed=1):
    return np.random.default_rng(seed).uniform(0, 1.05, (n, 6)) * (1, 1, 1, 1, 1, 40 / 1.05)


# what decides


@pytest.mark.parametrize("arch", FITTED)
def test_the_same_seed_gives_the_same_onnx_bytes(arch, rows):
    assert fitted(arch, *rows) == fitted(arch, *rows)


@pytest.mark.parametrize("arch", STEPPED)
def test_another_seed_gives_other_bytes(arch, rows):
    assert fitted(arch, *rows) != fitted(arch, *rows, dataclasses.replace(SHORT, seed=1))


def test_the_seed_decides_the_order_of_the_rows_too(rows, monkeypatch):
    drawn = build("mlp_small", CANONICAL.features, 0)
    fresh = {name: weights.clone() for name, weights in drawn.state_dict().items()}

    def same_start(arch, features, seed):
        drawn.load_state_dict(fresh)
        return drawn

    monkeypatch.setattr("vmaf_train.training.build", same_start)
    first = fitted("mlp_small", *rows, PLAIN)
    assert fitted("mlp_small", *rows, dataclasses.replace(PLAIN, seed=1)) != first
    assert fitted("mlp_small", *rows, PLAIN) == first


@pytest.mark.parametrize("arch", FITTED)
def test_the_validation_rows_change_nothing_in_the_student(arch, rows):
    train, val = rows
    moved = dataclasses.replace(val, x_NF=val.x_NF * 3 + 1, y_N=val.y_N / 2)
    assert fitted(arch, train, moved) == fitted(arch, train, val)


@pytest.mark.parametrize("arch", FITTED)
def test_a_source_that_is_held_out_enters_neither_training_nor_standardisation_nor_the_points(arch, table):
    gone = np.array(table.clip_sources)[table.clip_N] == "Beta"
    other = dataclasses.replace(
        table,
        x_NF=np.where(gone[:, None], table.x_NF[::-1] * 0.3, table.x_NF),
        y_N=np.where(gone, 100 - table.y_N, table.y_N),
    )
    jobs = [Job(("Beta",), 0, 128), Job((), 0, 128)]
    before, after = (fit_many(arch, one, jobs, SHORT) for one in (table, other))
    assert bytes_of(before[0]) == bytes_of(after[0])
    assert bytes_of(before[1]) != bytes_of(after[1])


@pytest.mark.parametrize("arch", FITTED)
def test_a_student_has_the_same_bytes_alone_and_in_company(arch, table):
    jobs = [Job((source,), seed, points) for source in table.sources for seed in (0, 1) for points in (128, 0)]
    together = fit_many(arch, table, jobs, SHORT)
    for place in (0, 3, 10):
        (alone,) = fit_many(arch, table, [jobs[place]], SHORT)
        assert bytes_of(alone) == bytes_of(together[place])
    few = fit_many(arch, table, jobs[4:9], SHORT)
    assert list(map(bytes_of, few)) == list(map(bytes_of, together[4:9]))


def test_the_standardisation_is_that_of_the_training_rows_alone(rows):
    train, val = rows
    student = fit("mlp_small", train, val, SHORT).student
    np.testing.assert_allclose(student.x_mean_F.numpy(), train.x_NF.mean(0), rtol=1e-12)
    np.testing.assert_allclose(student.x_std_F.numpy(), train.x_NF.std(0), rtol=1e-12)
    np.testing.assert_allclose(float(student.y_mean), train.y_N.mean(), rtol=1e-12)
    np.testing.assert_allclose(float(student.y_std), train.y_N.std(), rtol=1e-12)


# the teacher's points


def test_without_points_a_fit_knows_the_training_rows_and_their_scores_only(rows):
    x_NF, y_N = training_rows(rows[0], Job())
    np.testing.assert_array_equal(x_NF, rows[0].x_NF)
    np.testing.assert_array_equal(y_N, rows[0].y_N)


def test_points_are_labelled_by_the_teacher_without_its_clip(rows):
    train, teacher = rows[0], load_teacher()
    x_NF, y_N = training_rows(train, Job((), 3, 200))
    assert len(x_NF) == len(train) + 200
    np.testing.assert_allclose(y_N, teacher.score(x_NF, CANONICAL.features, clip=False), rtol=0, atol=1e-9)
    assert y_N.max() > 100 or y_N.min() < 0
    other_NF, _ = training_rows(train, Job((), 4, 200))
    assert (other_NF[len(train) :] != x_NF[len(train) :]).all()


def test_clipped_scores_of_training_rows_go_on_smoothly_with_points_and_the_others_stay_as_libvmaf_said(rows):
    train, teacher = rows[0], load_teacher()
    assert (train.y_N == 100).any() and (train.y_N == 0).any()
    off = dataclasses.replace(train, y_N=np.where(train.y_N % 100 > 0, train.y_N + 0.25, train.y_N))
    _, with_points = training_rows(off, Job((), 0, 2))
    smooth_N = teacher.score(train.x_NF, CANONICAL.features, clip=False)
    clipped = train.y_N % 100 == 0
    np.testing.assert_allclose(with_points[: len(train)][clipped], smooth_N[clipped], rtol=0, atol=1e-9)
    np.testing.assert_array_equal(with_points[: len(train)][~clipped], off.y_N[~clipped])


def test_points_bound_the_error_far_from_the_training_rows(rows):
    train = dataclasses.replace(rows[0], x_NF=0.8 + 0.1 * rows[0].x_NF * (1, 1, 1, 1, 1, 0.1))
    train = dataclasses.replace(train, y_N=load_teacher().score(train.x_NF, CANONICAL.features))
    done = fit("quartic", train, rows[1], Settings(teacher_points=2048))
    truth_N = load_teacher().score(box(), CANONICAL.features)
    errors = [np.abs(scores(student, box()) - truth_N).max() for student in (done.student, done.without_points)]
    assert errors[0] < 1 < 40 < errors[1]


def test_the_same_fit_without_points_comes_with_it_and_only_where_there_were_some(rows):
    done = fit("mlp_small", *rows, SHORT)
    assert bytes_of(done.without_points) == fitted("mlp_small", *rows, PLAIN)
    assert bytes_of(done.without_points) != bytes_of(done.student)
    assert fit("mlp_small", *rows, PLAIN).without_points is None


@pytest.mark.slow
def test_a_default_fit_follows_the_teacher_on_a_source_it_never_saw(rows):
    done = fit("mlp_small", *rows, Settings())
    assert np.sqrt(np.mean((scores(done.student, rows[1].x_NF) - rows[1].y_N) ** 2)) < 0.3


# solvers


@pytest.mark.parametrize(("arch", "degree"), [("linear", 1), ("quadratic", 2)])
def test_a_polynomial_without_points_is_the_least_squares_solution(arch, degree, rows):
    train, val = rows
    design = [Polynomial(6, degree).expand(torch.from_numpy(part.x_NF)).numpy() for part in rows]
    expected_N = (design[1] @ np.linalg.lstsq(design[0], train.y_N, rcond=None)[0]).clip(0, 100)
    np.testing.assert_allclose(scores(fit(arch, train, val, PLAIN).student, val.x_NF), expected_N, rtol=0, atol=1e-3)
    assert np.ptp(expected_N) > 20


def test_least_squares_weighs_rows_and_tells_the_error():
    x, t = torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64), torch.tensor([1.0, 4.0, 5.0], dtype=torch.float64)
    net = Polynomial(1, 1)
    error = least_squares(net, [(0.5, x[:1], t[:1]), (0.25, x[1:2], t[1:2]), (0.25, x[2:], t[2:])])
    assert net.weight.tolist() == pytest.approx([2, 3], abs=1e-6)
    assert error == pytest.approx(0.5 * 1 + 0.25 * 4, abs=1e-6)


def test_a_gauss_newton_step_is_the_damped_smallest_one_that_its_jacobian_asks_for(rows):
    draw = np.random.default_rng(0)
    student = build("mlp_small", CANONICAL.features, 0)
    z, t = torch.from_numpy(draw.normal(size=(1, 32, 6))), torch.from_numpy(draw.normal(size=(1, 32)))
    weight = torch.from_numpy(draw.uniform(0.5, 2, (1, 32)))
    weights = {name: values.detach().clone() for name, values in student.net.named_parameters()}
    gradients = vmap(grad(lambda w, row: functional_call(student.net, w, (row[None],))[0]), in_dims=(None, 0))
    parts = gradients(weights, z[0])
    jacobian = torch.cat([part.flatten(1) for part in parts.values()], 1) * weight[0][:, None]
    residual = (functional_call(student.net, weights, (z[0],)) - t[0]) * weight[0]

    solver = GaussNewton([student], 0.0, 100)
    loss = solver.step(z, t, weight)
    solver.write_back([student])
    kernel = jacobian @ jacobian.T + solvers.DAMPING[0] * 32 * torch.eye(32, dtype=torch.float64)
    change = jacobian.T @ torch.linalg.solve(kernel, residual)
    change *= min(1.0, solvers.LONGEST_STEP / float(change.norm()))
    for (name, old), part in zip(weights.items(), change.split([w.numel() for w in weights.values()]), strict=True):
        new = dict(student.net.named_parameters())[name].detach()
        torch.testing.assert_close(new, old - part.view_as(old), rtol=0, atol=1e-10)
    assert float(loss) == pytest.approx(float((residual**2).mean()), rel=1e-12)


def test_no_gauss_newton_step_is_longer_than_the_learning_rate(table):
    course = Course("mlp_small", table, [Job((), 0, 64), Job(("Beta",), 1, 0)], dataclasses.replace(SHORT, lr=0.01))
    before = [weights_of(student) for student in course.students]
    course.settle(1, [course.step(z, t) for z, t in list(course.batches())[:1]])
    for old, student in zip(before, course.students, strict=True):
        moved = [np.subtract(new, was).ravel() for new, was in zip(weights_of(student), old, strict=True)]
        assert np.linalg.norm(np.concatenate(moved)) == pytest.approx(0.01, rel=1e-6)


def test_adams_rate_goes_up_and_then_down_to_almost_nothing():
    rates = one_cycle(0.04, 100)
    top = int(rates.argmax())
    assert 20 <= top <= 30
    assert (np.diff(rates[: top + 1]) > 0).all() and (np.diff(rates[top:]) < 0).all()
    assert rates.max() == pytest.approx(0.04, rel=0.01)
    assert 0 < rates[0] < 0.001 and 0 < rates[-1] < 0.001


# the course of a fit


@pytest.mark.parametrize("arch", FITTED)
def test_no_epochs_keep_the_initial_weights_and_tell_nothing(arch, rows):
    done = fit(arch, *rows, Settings(epochs=0, seed=5))
    assert weights_of(done.student) == weights_of(build(arch, CANONICAL.features, 5))
    assert done.history == ()


@pytest.mark.parametrize("arch", STEPPED)
def test_more_epochs_reduce_the_training_loss(arch, rows):
    losses = [fit(arch, *rows, dataclasses.replace(PLAIN, epochs=n)).history[-1].train_loss for n in (1, 12)]
    assert losses[0] > 2 * losses[1]


@pytest.mark.parametrize("arch", ["mlp_small", "mlp_bn", "cnn1d"])
def test_every_epoch_is_told_with_the_held_out_error(arch, rows):
    told = []
    done = fit(arch, *rows, SHORT, told.append)
    assert [epoch.number for epoch in told] == [1, 2, 3]
    assert done.history == tuple(told)
    # Clip by clip, since cnn1d reads windows.
    clips = [rows[1].x_NF[rows[1].rows_of(clip)] for clip in range(len(rows[1].clips))]
    error_N = np.concatenate([scores(done.student, x_TF) for x_TF in clips]) - rows[1].y_N
    assert told[-1].val_rmse == pytest.approx(np.sqrt(np.mean(error_N**2)), rel=1e-6)
    assert len({epoch.val_rmse for epoch in told}) == 3


def test_what_is_solved_for_takes_one_epoch_however_many_are_asked_for(rows):
    (epoch,) = fit("linear", *rows, PLAIN).history
    train = rows[0]
    design = np.column_stack([train.x_NF, np.ones(len(train))])
    residual_N = design @ np.linalg.lstsq(design, train.y_N, rcond=None)[0] - train.y_N
    assert (epoch.number, epoch.train_loss) == (1, pytest.approx(np.var(residual_N) / np.var(train.y_N), rel=1e-4))


def test_the_teacher_itself_is_not_trained(rows):
    done = fit("teacher_svr", *rows, SHORT)
    assert done.history == ()
    np.testing.assert_allclose(scores(done.student, rows[1].x_NF), rows[1].y_N, rtol=0, atol=1e-5)


@pytest.mark.parametrize("arch", ["mlp_small", "mlp_bn"])
@pytest.mark.parametrize("column", ["x_NF", "y_N"])
def test_a_loss_that_is_no_number_ends_the_fit_with_the_epoch_and_the_next_step(arch, column, rows):
    train, val = rows
    values = getattr(train, column).copy()
    values[7] = np.nan
    broken = dataclasses.replace(train, **{column: values})
    with pytest.raises(InputError, match=r"training diverged in epoch 1; pass a lower lr than 0\.5"):
        fit(arch, broken, val, dataclasses.replace(PLAIN, lr=0.5))


@pytest.mark.parametrize("arch", FITTED)
@pytest.mark.parametrize("constant", [0.0, 1.0, 1 / 3])
def test_a_constant_feature_has_no_say_and_gives_no_nan(arch, constant, rows):
    train, val = (dataclasses.replace(part, x_NF=part.x_NF.copy()) for part in rows)
    train.x_NF[:, 1] = val.x_NF[:, 1] = constant
    student = fit(arch, train, val, PLAIN).student
    exported = OnnxStudent(bytes_of(student), arch)
    check_same_scores(exported, student, train.x_NF)
    held_N = exported.score(val.x_NF)
    assert np.isfinite(held_N).all() and np.ptp(held_N) > 10
    # A value that differs in the last places, as of another frame, may move the score by no more than that.
    val.x_NF[:, 1] = np.float32(constant)
    np.testing.assert_allclose(exported.score(val.x_NF), held_N, rtol=0, atol=1e-3)


@pytest.mark.parametrize("arch", FITTED)
def test_constant_scores_are_learnt_as_that_constant(arch, rows):
    train, val = (dataclasses.replace(part, y_N=np.full(len(part), 42.0)) for part in rows)
    settings = dataclasses.replace(PLAIN, epochs=30)
    scored_N = OnnxStudent(fitted(arch, train, val, settings), arch).score(train.x_NF[:40])
    assert np.abs(scored_N - 42).max() < 0.5


# Lightning


def test_lightning_takes_the_same_steps_and_tells_the_same(rows):
    from vmaf_train.lightning_loop import lightning_loop

    for arch in ("mlp_small", "mlp_bn"):
        plain, lightning = (fit(arch, *rows, SHORT, loop=loop) for loop in (None, lightning_loop()))
        assert bytes_of(lightning.student) == bytes_of(plain.student)
        assert bytes_of(lightning.without_points) == bytes_of(plain.without_points)
        assert lightning.history == plain.history


def test_lightning_logs_to_the_run_it_is_given(rows, store):
    import mlflow

    from vmaf_train.lightning_loop import lightning_loop

    with mlflow.start_run() as run:
        done = fit("mlp_small", *rows, SHORT, loop=lightning_loop(run.info.run_id, store))
    logged = mlflow.get_run(run.info.run_id).data.metrics
    assert logged["lightning/train_loss"] == pytest.approx(done.history[-1].train_loss, rel=1e-5)
