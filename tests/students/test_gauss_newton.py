"""Gauss-Newton, against its equation with the Jacobian written out."""

import numpy as np
import pytest
import torch
from fits import assert_weights_close, random_batches, weights_of
from torch.func import functional_call, grad, vmap

from vmaf_train.features import CANONICAL
from vmaf_train.students.architectures import build
from vmaf_train.students.batched_fit import BatchedFit
from vmaf_train.students.gauss_newton import DAMPING, LONGEST_STEP, MOMENTUM, GaussNewton
from vmaf_train.students.settings import Job, Settings

STEPS, ROWS = 4, 32
# After half of the steps, they decrease linearly to zero.
SHARES = (1.0, 1.0, 1.0, 0.5)


def jacobian_of(net, weights, z):
    """Return the derivative of each row's output by all weights, (rows, weights)."""
    by_row = grad(lambda w, row: functional_call(net, w, (row[None],))[0])
    parts = vmap(by_row, in_dims=(None, 0))(weights, z)
    return torch.cat([part.flatten(1) for part in parts.values()], 1)


def moved_by(weights, change):
    """Return weights less one long vector."""
    parts = change.split([values.numel() for values in weights.values()])
    return {
        name: values - part.view_as(values)
        for (name, values), part in zip(weights.items(), parts, strict=True)
    }


@pytest.mark.parametrize(
    ("arch", "shape"), [("mlp_small", (1, ROWS, 6)), ("cnn1d", (1, ROWS, 5, 6))]
)
@pytest.mark.parametrize("lr", [0.0, 1000.0])
def test_a_step_is_the_smallest_damped_change_that_removes_the_residuals(arch, shape, lr):
    net = build(arch, CANONICAL.features, 0).net
    solver = GaussNewton([net], lr=lr, steps=STEPS)
    weights = {name: values.detach().clone() for name, values in net.named_parameters()}
    step = torch.zeros(sum(values.numel() for values in weights.values()), dtype=torch.float64)
    lengths = []

    for number, (z, t, root_weight) in enumerate(random_batches(shape, STEPS)):
        jacobian = jacobian_of(net, weights, z[0]) * root_weight[0][:, None]
        residual = (functional_call(net, weights, (z[0],)) - t[0]) * root_weight[0]
        damping = DAMPING[0] * (DAMPING[1] / DAMPING[0]) ** (number / STEPS)
        kernel = jacobian @ jacobian.T + damping * ROWS * torch.eye(ROWS, dtype=torch.float64)
        # Momentum is kept only in directions that this batch does not constrain.
        kept = MOMENTUM * step
        step = kept + jacobian.T @ torch.linalg.solve(kernel, residual - jacobian @ kept)
        lengths.append(float(step.norm()))
        step = step * min(1.0, (lr or LONGEST_STEP) / lengths[-1])
        weights = moved_by(weights, SHARES[number] * step)

        loss = solver.step(z, t, root_weight)
        solver.write_back()
        assert_weights_close(net, weights, atol=1e-10 if number == 0 else 1e-8)
        assert float(loss) == pytest.approx(float((residual**2).mean()), rel=1e-6)

    # The default cuts every step, the high rate none.
    assert max(lengths) < 1000 if lr else min(lengths) > LONGEST_STEP


def test_no_step_is_longer_than_the_learning_rate(make_table):
    jobs = [Job((), 0, 64), Job(("Beta",), 1, 0)]
    settings = Settings(epochs=3, batch_size=32, lr=0.01)
    batched = BatchedFit("mlp_small", make_table(), jobs, settings)
    before = {job: weights_of(batched.students[job]) for job in jobs}
    batched.end_epoch(1, [batched.step(*next(batched.batches()))])
    for job in jobs:
        after = weights_of(batched.students[job])
        moved = [np.subtract(new, old).ravel() for new, old in zip(after, before[job], strict=True)]
        assert np.linalg.norm(np.concatenate(moved)) == pytest.approx(0.01, rel=1e-6)


def test_a_kernel_that_cannot_be_factored_makes_the_loss_nan():
    net = build("mlp_small", CANONICAL.features, 0).net
    solver = GaussNewton([net], lr=0.0, steps=1)
    z, t, root_weight = next(random_batches((1, 8, 6), 1))
    # The residuals stay finite, the kernel does not.
    z *= 1e200
    with torch.no_grad():
        assert net(z).isfinite().all()
    assert solver.step(z, t, root_weight).isnan().all()
