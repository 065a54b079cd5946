"""The solvers: each against its textbook form, written out plainly."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.func import functional_call, grad, vmap

from vmaf_train.features import CANONICAL
from vmaf_train.frames.table import split
from vmaf_train.students import gauss_newton
from vmaf_train.students.architectures import build
from vmaf_train.students.batched_fit import BatchedFit
from vmaf_train.students.gauss_newton import GaussNewton
from vmaf_train.students.nets import Polynomial
from vmaf_train.students.settings import Job, Settings
from vmaf_train.students.solvers import Adam, least_squares, one_cycle
from vmaf_train.students.training import fit

SHORT = Settings(epochs=3, batch_size=32, teacher_points=128)
WITHOUT_POINTS = dataclasses.replace(SHORT, teacher_points=0)


@pytest.fixture(scope="module")
def table(make_table):
    return make_table()


@pytest.fixture
def rows(table):
    """Training and validation rows."""
    return split(table, "Gamma")


def weights_of(student):
    return [weights.detach().numpy().tolist() for weights in student.net.parameters()]


def scores(student, x_NF):
    with torch.inference_mode():
        return student(torch.from_numpy(x_NF)).numpy()


@pytest.mark.parametrize(("arch", "degree"), [("linear", 1), ("quadratic", 2)])
def test_a_polynomial_without_points_is_the_least_squares_solution(arch, degree, rows):
    train, val = rows
    design = [Polynomial(6, degree).expand(torch.from_numpy(part.x_NF)).numpy() for part in rows]
    expected_N = (design[1] @ np.linalg.lstsq(design[0], train.y_N, rcond=None)[0]).clip(0, 100)
    np.testing.assert_allclose(
        scores(fit(arch, train, val, WITHOUT_POINTS).student, val.x_NF),
        expected_N,
        rtol=0,
        atol=1e-3,
    )
    assert np.ptp(expected_N) > 20


def test_least_squares_weighs_rows_and_tells_the_error():
    x, t = (
        torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64),
        torch.tensor([1.0, 4.0, 5.0], dtype=torch.float64),
    )
    net = Polynomial(1, 1)
    error = least_squares(net, [(0.5, x[:1], t[:1]), (0.25, x[1:2], t[1:2]), (0.25, x[2:], t[2:])])
    assert net.weight.tolist() == pytest.approx([2, 3], abs=1e-6)
    assert error == pytest.approx(0.5 * 1 + 0.25 * 4, abs=1e-6)


def random_batches(shape, n, seed=0):
    """Draw features, targets and weights of n batches of one job."""
    draw = np.random.default_rng(seed)
    for _ in range(n):
        z, t, weight = (
            draw.normal(size=shape),
            draw.normal(size=shape[:2]),
            draw.uniform(0.5, 2, shape[:2]),
        )
        yield torch.from_numpy(z), torch.from_numpy(t), torch.from_numpy(weight)


def close(student, weights, atol):
    for name, expected in weights.items():
        torch.testing.assert_close(
            dict(student.net.named_parameters())[name].detach(), expected, rtol=0, atol=atol
        )


@pytest.mark.parametrize(("arch", "shape"), [("mlp_small", (1, 32, 6)), ("cnn1d", (1, 32, 5, 6))])
@pytest.mark.parametrize("longest", [0.0, 1000.0])
def test_gauss_newton_steps_are_the_damped_smallest_ones_that_the_jacobian_asks_for(
    arch, shape, longest
):
    student, steps, moved, lengths = (
        build(arch, CANONICAL.features, 0),
        4,
        torch.zeros(1, dtype=torch.float64),
        [],
    )
    weights = {name: values.detach().clone() for name, values in student.net.named_parameters()}
    gradients = vmap(
        grad(lambda w, row: functional_call(student.net, w, (row[None],))[0]), in_dims=(None, 0)
    )
    solver = GaussNewton([student.net], lr=longest, steps=steps)
    for number, (z, t, weight) in enumerate(random_batches(shape, steps)):
        parts = gradients(weights, z[0])
        jacobian = torch.cat([part.flatten(1) for part in parts.values()], 1) * weight[0][:, None]
        residual = (functional_call(student.net, weights, (z[0],)) - t[0]) * weight[0]
        damping = gauss_newton.DAMPING[0] * (gauss_newton.DAMPING[1] / gauss_newton.DAMPING[0]) ** (
            number / steps
        )
        kernel = jacobian @ jacobian.T + damping * 32 * torch.eye(32, dtype=torch.float64)
        # What the last step moved is kept where this batch has no say in it.
        kept = (gauss_newton.MOMENTUM * moved).expand(jacobian.shape[1])
        moved = kept + jacobian.T @ torch.linalg.solve(kernel, residual - jacobian @ kept)
        lengths.append(float(moved.norm()))
        moved = moved * min(1.0, (longest or gauss_newton.LONGEST_STEP) / lengths[-1])
        change = (moved * (1.0, 1.0, 1.0, 0.5)[number]).split([w.numel() for w in weights.values()])
        weights = {
            name: w - part.view_as(w)
            for (name, w), part in zip(weights.items(), change, strict=True)
        }

        loss = solver.step(z, t, weight)
        solver.write_back()
        close(student, weights, 1e-10 if number == 0 else 1e-8)
        assert float(loss) == pytest.approx(float((residual**2).mean()), rel=1e-6)
    assert max(lengths) < 1000 if longest else min(lengths) > gauss_newton.LONGEST_STEP


@pytest.mark.parametrize(
    ("arch", "shape"), [("mlp_bn", (1, 32, 6)), ("transformer", (1, 32, 5, 6))]
)
def test_adam_takes_adams_steps_under_its_rates(arch, shape):
    student, steps = build(arch, CANONICAL.features, 0), 3
    solver, net = Adam([student.net], lr=0.1, steps=steps), student.net.train()
    weights = {name: values.detach().clone() for name, values in net.named_parameters()}
    first, second = ({name: torch.zeros_like(w) for name, w in weights.items()} for _ in range(2))
    for number, (z, t, weight) in enumerate(random_batches(shape, steps), 1):
        loss = grad(lambda w: (((functional_call(net, w, (z[0],)) - t[0]) * weight[0]) ** 2).mean())  # noqa: B023
        for name, slope in loss(weights).items():
            first[name] = 0.9 * first[name] + 0.1 * slope
            second[name] = 0.99 * second[name] + 0.01 * slope**2
            change = (
                first[name]
                / (1 - 0.9**number)
                / ((second[name] / (1 - 0.99**number)).sqrt() + 1e-8)
            )
            weights[name] = weights[name] - one_cycle(0.1, steps)[number - 1] * change
        solver.step(z, t, weight)
        solver.write_back()
        close(student, weights, 1e-8)


def test_no_gauss_newton_step_is_longer_than_the_learning_rate(table):
    jobs = [Job((), 0, 64), Job(("Beta",), 1, 0)]
    batched = BatchedFit("mlp_small", table, jobs, dataclasses.replace(SHORT, lr=0.01))
    before = {job: weights_of(batched.students[job]) for job in jobs}
    batched.end_epoch(1, [batched.step(*next(batched.batches()))])
    for job in jobs:
        after = weights_of(batched.students[job])
        moved = [np.subtract(new, old).ravel() for new, old in zip(after, before[job], strict=True)]
        assert np.linalg.norm(np.concatenate(moved)) == pytest.approx(0.01, rel=1e-6)


def test_adams_rate_goes_up_and_then_down_to_almost_nothing():
    rates = one_cycle(0.04, 100)
    top = int(rates.argmax())
    assert 20 <= top <= 30
    assert (np.diff(rates[: top + 1]) > 0).all() and (np.diff(rates[top:]) < 0).all()
    assert rates.max() == pytest.approx(0.04, rel=0.01)
    assert 0 < rates[0] < 0.001 and 0 < rates[-1] < 0.001
