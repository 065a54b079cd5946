"""The solvers, each against its textbook form."""

import numpy as np
import pytest
import torch
from fits import assert_weights_close, random_batches, scores_of
from torch.func import functional_call, grad

from vmaf_train.features import CANONICAL
from vmaf_train.frames.splits import split
from vmaf_train.students.architectures import build
from vmaf_train.students.examples import training_rows
from vmaf_train.students.nets import Polynomial
from vmaf_train.students.settings import Job, Settings
from vmaf_train.students.solvers import (
    Adam,
    LeastSquares,
    NoTraining,
    Rows,
    least_squares,
    one_cycle,
)
from vmaf_train.students.training import fit


@pytest.mark.parametrize(("arch", "degree"), [("linear", 1), ("quadratic", 2)])
def test_a_polynomial_without_points_is_the_least_squares_solution(arch, degree, make_table):
    train, val = split(make_table(), "Gamma")
    expand = Polynomial(6, degree).expand
    design, held = (expand(torch.from_numpy(part.x_NF)).numpy() for part in (train, val))
    expected_N = (held @ np.linalg.lstsq(design, train.y_N, rcond=None)[0]).clip(0, 100)

    student = fit(arch, train, val, Settings(teacher_points=0)).student
    np.testing.assert_allclose(scores_of(student, val.x_NF), expected_N, rtol=0, atol=1e-3)
    assert np.ptp(expected_N) > 20


def test_least_squares_weights_rows_and_returns_the_error():
    x = torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64)
    t = torch.tensor([1.0, 4.0, 5.0], dtype=torch.float64)
    net = Polynomial(1, 1)
    parts = [(0.5, x[:1], t[:1]), (0.25, x[1:2], t[1:2]), (0.25, x[2:], t[2:])]
    error = least_squares(net, Rows(parts))
    assert net.weight.tolist() == pytest.approx([2, 3], abs=1e-6)
    assert error == pytest.approx(0.5 * 1 + 0.25 * 4, abs=1e-6)


@pytest.mark.parametrize("wanted", [0, 1, 30])
def test_least_squares_takes_at_most_one_epoch_and_what_is_not_trained_none(wanted):
    assert LeastSquares.epochs(wanted) == min(1, wanted)
    assert NoTraining.epochs(wanted) == 0
    assert Adam.epochs(wanted) == wanted


@pytest.mark.parametrize(
    ("arch", "shape"), [("mlp_bn", (1, 32, 6)), ("transformer", (1, 32, 5, 6))]
)
def test_adam_takes_adams_steps_under_its_rates(arch, shape):
    steps, net = 3, build(arch, CANONICAL.features, 0).net.train()
    solver = Adam([net], lr=0.1, steps=steps)
    weights = {name: values.detach().clone() for name, values in net.named_parameters()}
    first, second = ({name: torch.zeros_like(w) for name, w in weights.items()} for _ in range(2))
    for number, (z, t, root_weight) in enumerate(random_batches(shape, steps), 1):

        def loss(w, z=z[0], t=t[0], root_weight=root_weight[0]):
            return (((functional_call(net, w, (z,)) - t) * root_weight) ** 2).mean()

        for name, slope in grad(loss)(weights).items():
            first[name] = 0.9 * first[name] + 0.1 * slope
            second[name] = 0.99 * second[name] + 0.01 * slope**2
            mean = first[name] / (1 - 0.9**number)
            deviation = (second[name] / (1 - 0.99**number)).sqrt()
            rate = one_cycle(0.1, steps)[number - 1]
            weights[name] = weights[name] - rate * mean / (deviation + 1e-8)

        solver.step(z, t, root_weight)
        solver.write_back()
        assert_weights_close(net, weights, atol=1e-8)


def test_adams_rate_goes_up_and_then_down_to_almost_nothing():
    rates = one_cycle(0.04, 100)
    top = int(rates.argmax())
    assert 20 <= top <= 30
    assert (np.diff(rates[: top + 1]) > 0).all() and (np.diff(rates[top:]) < 0).all()
    assert rates.max() == pytest.approx(0.04, rel=0.01)
    assert 0 < rates[0] < 0.001 and 0 < rates[-1] < 0.001


def test_a_polynomial_with_points_is_the_weighted_least_squares_solution(make_table):
    train = split(make_table(), "Gamma")[0]
    done = fit("cubic", train, train, Settings(batch_size=64, teacher_points=256))
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


def test_even_rows_lower_the_largest_error_and_leave_the_others_nearly_as_they_are():
    x = torch.linspace(-1, 1, 400, dtype=torch.float64)[:, None]
    t = torch.exp(2 * x[:, 0])
    near = slice(150, 250)
    largest, inside = [], []
    for even in (None, (0.003, x, t)):
        net = Polynomial(1, 4)
        least_squares(net, Rows([(1 / 100, x[near], t[near])], even))
        error = (net(x) - t).abs().detach()
        largest.append(float(error.max()))
        inside.append(float(error[near].max()))
    assert largest[1] < 0.2 * largest[0]
    assert inside[1] < 0.02
