"""What moves weights: least squares for polynomials, stochastic Gauss-Newton for plain networks, Adam for the rest.

The last two move many students of one architecture at once, along the first axis of every tensor; what happens to one
of them does not depend on the others, to the last bit.
"""

from collections.abc import Iterable, Sequence
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor
from torch.optim.adam import adam

from vmaf_train.students.architectures import Mlp, Polynomial, Student

# Of the normal equations, whose rows' weights add up to one.
RIDGE = 1e-9
# Gauss-Newton's: damping at the first and the last step, momentum, share of steps taken in full, longest step.
DAMPING = (1e-2, 1e-7)
MOMENTUM = 0.8
FULL_STEPS = 0.5
LONGEST_STEP = 0.3
ADAM_RATE = 0.02


def least_squares(net: Polynomial, parts: Iterable[tuple[float, Tensor, Tensor]]) -> float:
    """Solve for a polynomial's weights by its normal equations in float64, with a small ridge.

    Args:
        net: gets the weights.
        parts: weight of a row, standardised features (rows, features), standardised targets (rows,); all the rows in
            parts that fit in memory, their weights adding up to one.

    Returns:
        The weighted mean squared error.
    """
    n = len(net.monomials)
    gram, moment, square = (
        torch.zeros(n, n, dtype=torch.float64),
        torch.zeros(n, dtype=torch.float64),
        0.0,
    )
    for weight, z, t in parts:
        expanded = net.expand(z)
        gram += weight * expanded.mT @ expanded
        moment += weight * expanded.mT @ t
        square += weight * float(t @ t)
    solved = torch.linalg.solve(gram + RIDGE * torch.eye(n, dtype=torch.float64), moment)
    with torch.no_grad():
        net.weight.copy_(solved)
    return max(0.0, square - 2 * float(solved @ moment) + float(solved @ gram @ solved))


class GaussNewton:
    """Stochastic Gauss-Newton for stacks of dense layers, in float64, all jobs at once along the first axis.

    A step is the smallest change of the weights, damped, that takes a batch's residuals away. With a batch of B rows
    and their Jacobian J it is J' (J J' + damping B)^-1 r, and J J' is a sum over the layers of the elementwise product
    of two B x B matrices, so J itself is never written down. What the last step moved is kept where the batch has
    no say in it. Source: Goldshlager, Abrahamsen and Lin, A Kaczmarz-inspired approach (SPRING), 2024; the layers'
    products as in the neural tangent kernel of Jacot, Gabriel and Hongler, 2018.
    """

    def __init__(self, students: Sequence[Student], lr: float, steps: int) -> None:
        layers = list(zip(*map(_dense_layers, students), strict=True))
        self.weights = [torch.stack([weight.detach() for weight, _ in same]) for same in layers]
        self.biases = [torch.stack([bias.detach() for _, bias in same]) for same in layers]
        self.lr = lr or LONGEST_STEP
        self._moved = [torch.zeros_like(weights) for weights in (*self.weights, *self.biases)]
        at = np.arange(steps) / steps
        self._damping = iter(DAMPING[0] * (DAMPING[1] / DAMPING[0]) ** at)
        self._share = iter(np.minimum(1.0, (1 - at) / (1 - FULL_STEPS)))

    def step(self, z: Tensor, t: Tensor, weight: Tensor) -> Tensor:
        """Move all jobs' weights once; return their mean squared residuals of shape (jobs,)."""
        depth, size = len(self.weights), t.shape[1]
        inputs = [z.flatten(2)]
        for weights, biases in zip(self.weights[:-1], self.biases[:-1], strict=True):
            inputs.append(torch.tanh(torch.baddbmm(biases, inputs[-1], weights.mT)))
        # Not as a product with one column, nor below: that rounds otherwise for one job than for several.
        predicted = (inputs[-1] * self.weights[-1]).sum(-1) + self.biases[-1].squeeze(-1)
        residual = (predicted - t) * weight

        # slopes[i]: derivative of each row's weighted output by what layer i gives; its weights' is slope times input.
        slopes = [weight.unsqueeze(-1)] * depth
        for i in range(depth - 1, 0, -1):
            slopes[i - 1] = torch.bmm(slopes[i], self.weights[i]) * (1 - inputs[i] ** 2)
        kernel = torch.diag_embed(torch.full_like(t, size * next(self._damping)))
        for slope, given in zip(slopes, inputs, strict=True):
            kernel += torch.bmm(slope, slope.mT) * (torch.bmm(given, given.mT) + 1)
        kept = [MOMENTUM * moved for moved in self._moved]
        carried = [
            (torch.bmm(slope, kept[i]) * given).sum(-1) + (slope * kept[depth + i]).sum(-1)
            for i, (slope, given) in enumerate(zip(slopes, inputs, strict=True))
        ]
        factor, failed = torch.linalg.cholesky_ex(kernel)
        solved = torch.cholesky_solve((residual - sum(carried)).unsqueeze(-1), factor)
        pulls = [slope * solved for slope in slopes]
        moved = [
            torch.baddbmm(old, pull.mT, given)
            for old, pull, given in zip(kept, pulls, inputs, strict=False)
        ]
        moved += [
            old + pull.sum(1, keepdim=True) for old, pull in zip(kept[depth:], pulls, strict=True)
        ]
        length = sum(
            ((change**2).sum((1, 2)) for change in moved), torch.zeros(len(t), dtype=t.dtype)
        ).sqrt()
        self._moved = [change * (self.lr / length).clamp(max=1)[:, None, None] for change in moved]
        share = next(self._share)
        for weights, change in zip((*self.weights, *self.biases), self._moved, strict=True):
            weights -= share * change
        return (residual**2).mean(1).where(failed == 0, torch.nan)

    def write_back(self, students: Sequence[Student]) -> None:
        """Give each student its weights."""
        with torch.no_grad():
            for job, student in enumerate(students):
                for (weight, bias), weights, biases in zip(
                    _dense_layers(student), self.weights, self.biases, strict=True
                ):
                    weight.copy_(weights[job])
                    bias.copy_(biases[job])


def _dense_layers(student: Student) -> list[tuple[Tensor, Tensor]]:
    assert isinstance(student.net, Mlp)
    return [(layer.weight, layer.bias) for layer, _ in student.net.layers if layer.bias is not None]


class Adam:
    """Adam (Kingma and Ba, 2015) under a one-cycle rate for any net, all jobs at once along the first axis."""

    def __init__(self, students: Sequence[Student], lr: float, steps: int) -> None:
        self.net = deepcopy(students[0].net).train()
        states = [dict(student.net.named_parameters()) for student in students]
        self.weights = {
            name: torch.stack([state[name].detach() for state in states]) for name in states[0]
        }
        for weights in self.weights.values():
            weights.requires_grad_()
        self.lr = lr or ADAM_RATE
        # torch.optim's classes import the compiler stack on first use, two seconds; its functional Adam does not.
        self._first, self._second = (
            [torch.zeros_like(w) for w in self.weights.values()] for _ in range(2)
        )
        self._steps = [torch.zeros(()) for _ in self.weights]
        self._rates = iter(one_cycle(self.lr, steps))

    def step(self, z: Tensor, t: Tensor, weight: Tensor) -> Tensor:
        """Move all jobs' weights once; return their mean squared residuals of shape (jobs,)."""
        predicted = torch.func.functional_call(self.net, self.weights, (z,))
        losses: Tensor = (((predicted - t) * weight) ** 2).mean(1)
        weights = list(self.weights.values())
        gradients = list(torch.autograd.grad(losses.sum(), weights))
        with torch.no_grad():
            adam(
                weights, gradients, self._first, self._second, [], self._steps,
                amsgrad=False, beta1=0.9, beta2=0.99, lr=next(self._rates), weight_decay=0.0, eps=1e-8, maximize=False,
            )  # fmt: skip
        return losses.detach()

    def write_back(self, students: Sequence[Student]) -> None:
        """Give each student its weights."""
        with torch.no_grad():
            for job, student in enumerate(students):
                for name, weights in student.net.named_parameters():
                    weights.copy_(self.weights[name][job])


def one_cycle(
    highest: float, steps: int, warm_up: float = 0.25, lowest: float = 1e-3
) -> np.ndarray:
    """Return a learning rate for each step: up to `highest` along a cosine, then down; the ends are `lowest` of it.

    Source: Smith and Topin, Super-Convergence, 2018; with cosine ramps.
    """
    at = (np.arange(steps) + 0.5) / steps
    phase = np.where(at < warm_up, 1 - at / warm_up, (at - warm_up) / (1 - warm_up))
    return highest * (lowest + (1 - lowest) * (1 + np.cos(np.pi * phase)) / 2)
