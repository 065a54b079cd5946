"""Solvers find a net's weights: least squares for polynomials, Adam for any net.

Gauss-Newton, for plain networks, is in gauss_newton.py. A solver moves the nets of many jobs at
once, stacked along the first axis of every tensor. The result of a job does not depend on the
others.
"""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.optim.adam import adam

from vmaf_train.errors import InputError
from vmaf_train.students.nets import Net, Polynomial

AnyNet = TypeVar("AnyNet", bound=Net)

# Rows of one job in parts that fit in memory: weight of each row, standardised features
# (rows, features) and standardised targets (rows,). The weights of all rows add up to one.
Parts = Iterable[tuple[float, Tensor, Tensor]]


@dataclass(frozen=True)
class Rows:
    """All training rows of one job.

    Attributes:
        parts: the rows whose mean squared error counts.
        even: the rows whose largest error counts, where there are any: the weight of all together,
            features and targets.
    """

    parts: Parts
    even: tuple[float, Tensor, Tensor] | None = None


# Added to the diagonal of the normal equations.
RIDGE = 1e-9

# Default of Adam's highest learning rate.
ADAM_RATE = 0.02

# Rounds in which even rows are weighed again, and the highest power of the error that is minimised.
EVEN_ROUNDS, HIGHEST_POWER = 16, 10
# Least weight of an even row, as a share of the greatest.
LEAST_WEIGHT = 1e-4


class Solver(Generic[AnyNet]):
    """Base of the solvers, which find the weights of one net per job.

    Args:
        nets: one per job, all of one architecture; the solver writes its weights to them.
        lr: learning rate of the settings; 0 takes the solver's default.
        steps: number of steps of the whole fit.

    Attributes:
        trained: whether the solver finds weights.
        takes_steps: whether it moves the weights batch by batch.
    """

    trained: ClassVar[bool] = True
    takes_steps: ClassVar[bool] = True

    def __init__(self, nets: Sequence[AnyNet], *, lr: float, steps: int) -> None:
        self.nets = nets

    @classmethod
    def epochs(cls, wanted: int) -> int:
        """Return the number of epochs to run, where the settings have `wanted` epochs."""
        return wanted

    def step(self, z: Tensor, t: Tensor, root_weight: Tensor) -> Tensor:
        """Move the weights of all jobs by one batch.

        Args:
            z: standardised features, float64 of shape (jobs, rows, features) or
                (jobs, rows, window, features).
            t: standardised targets, float64 of shape (jobs, rows).
            root_weight: root of each row's weight in the loss, float64 of shape (jobs, rows).

        Returns:
            The losses before the step: weighted mean squared error, float64 of shape (jobs,).
        """
        # Each solver that takes steps has its own; no loop calls this on the others.
        raise NotImplementedError

    def end_epoch(self, number: int, losses: Sequence[Tensor], rows: Sequence[Rows]) -> Tensor:
        """Write the weights to the nets.

        Args:
            number: number of the epoch, from 1.
            losses: the losses that `step` returned for each batch of the epoch.
            rows: all training rows of each job.

        Returns:
            The losses of the epoch, float64 of shape (jobs,).

        Raises:
            InputError: a loss or a weight is no longer finite.
        """
        # Each solver that runs epochs has its own.
        raise NotImplementedError


class NoTraining(Solver[Net]):
    """For nets without weights, such as the teacher's SVR: it runs no epochs."""

    trained = False
    takes_steps = False

    @classmethod
    def epochs(cls, wanted: int) -> int:
        return 0


class LeastSquares(Solver[Polynomial]):
    """Solves for a polynomial's weights in one epoch, by the normal equations of all rows."""

    takes_steps = False

    @classmethod
    def epochs(cls, wanted: int) -> int:
        return min(1, wanted)

    def end_epoch(self, number: int, losses: Sequence[Tensor], rows: Sequence[Rows]) -> Tensor:
        return torch.tensor(
            [least_squares(net, each) for net, each in zip(self.nets, rows, strict=True)]
        )


def least_squares(net: Polynomial, rows: Rows) -> float:
    """Set a polynomial's weights to the w that minimises sum_i c_i (phi(z_i) w - t_i)^2.

    phi(z) holds all monomials of a row, c is its weight, t its target. A small ridge keeps the
    equations solvable. The weights of even rows are proportional to |phi(z) w - t|^(p - 2) of the
    round before, so that the sum of |phi(z) w - t|^p is small; p grows by one per round.

    Source: Burrus, Barreto and Selesnick, Iterative reweighted least-squares design of FIR filters,
    1994.

    Returns:
        The weighted mean squared error, without the even rows.
    """
    n = len(net.monomials)
    gram = torch.zeros(n, n, dtype=torch.float64)
    moment = torch.zeros(n, dtype=torch.float64)
    square = 0.0

    # G = sum c phi' phi, m = sum c phi' t, s = sum c t^2
    for weight, z, t in rows.parts:
        phi = net.expand(z)
        gram += weight * phi.mT @ phi
        moment += weight * phi.mT @ t
        square += weight * float(t @ t)

    # (G + ridge I) w = m
    ridge = RIDGE * torch.eye(n, dtype=torch.float64)
    solved = torch.linalg.solve(gram + ridge, moment)
    if rows.even:
        solved = _evened(net, gram + 1e-3 * ridge, moment, rows.even)
    with torch.no_grad():
        net.weight.copy_(solved)

    # sum c (phi w - t)^2 = s - 2 w'm + w'G w
    return max(0.0, square - 2 * float(solved @ moment) + float(solved @ gram @ solved))


def _evened(
    net: Polynomial, gram: Tensor, moment: Tensor, even: tuple[float, Tensor, Tensor]
) -> Tensor:
    """Return the weights that also keep the largest error of even rows small."""
    share, z, t = even
    phi = net.expand(z)
    weight_N = torch.full_like(t, 1 / len(t))
    solved: Tensor | None = None
    for power in range(2, 2 + EVEN_ROUNDS):
        power = min(power, HIGHEST_POWER)
        weighed = share * weight_N[:, None] * phi
        step = torch.linalg.solve(gram + phi.mT @ weighed, moment + weighed.mT @ t)
        # A whole step overshoots: it is right for the square, not for the power.
        solved = step if solved is None else solved + (step - solved) / (power - 1)
        error_N = (phi @ solved - t).abs()
        weight_N = (error_N / error_N.max()) ** (power - 1) + LEAST_WEIGHT
        weight_N /= weight_N.sum()
    assert solved is not None
    return solved


class SteppingSolver(Solver[AnyNet]):
    """Base of the solvers that move the weights batch by batch.

    Attributes:
        default_lr: learning rate where the settings give 0.
        lr: learning rate in use.
    """

    default_lr: ClassVar[float]

    def __init__(self, nets: Sequence[AnyNet], *, lr: float, steps: int) -> None:
        super().__init__(nets, lr=lr, steps=steps)
        self.lr = lr or self.default_lr

    def write_back(self) -> None:
        """Copy the weights of each job to its net."""
        # Each subclass holds its weights in another form.
        raise NotImplementedError

    def end_epoch(self, number: int, losses: Sequence[Tensor], rows: Sequence[Rows]) -> Tensor:
        mean = torch.stack(list(losses)).mean(0)
        self.write_back()
        weights = [values.detach() for net in self.nets for values in net.parameters()]
        if not all(torch.isfinite(values).all() for values in (mean, *weights)):
            raise InputError(
                f"training diverged in epoch {number}; pass a lower lr than {self.lr:g}"
            )
        return mean


class Adam(SteppingSolver[Net]):
    """Adam with a one-cycle learning rate, for any net. Source: Kingma and Ba, Adam, 2015."""

    default_lr = ADAM_RATE

    def __init__(self, nets: Sequence[Net], *, lr: float, steps: int) -> None:
        super().__init__(nets, lr=lr, steps=steps)
        self._rates = iter(one_cycle(self.lr, steps))

        # One net computes all jobs: weights are stacked as (jobs, ...) under their names.
        self._net = deepcopy(nets[0]).train()
        states = [dict(net.named_parameters()) for net in nets]
        self._weights = {
            name: torch.stack([state[name].detach() for state in states]) for name in states[0]
        }
        for weights in self._weights.values():
            weights.requires_grad_()

        # State of torch's functional Adam: first and second moments, and counts of steps. torch's
        # optimiser class imports the compiler stack at its first use, which takes two seconds.
        self._first = [torch.zeros_like(weights) for weights in self._weights.values()]
        self._second = [torch.zeros_like(weights) for weights in self._weights.values()]
        self._counts = [torch.zeros(()) for _ in self._weights]

    def step(self, z: Tensor, t: Tensor, root_weight: Tensor) -> Tensor:
        predicted = torch.func.functional_call(self._net, self._weights, (z,))
        losses: Tensor = (((predicted - t) * root_weight) ** 2).mean(1)

        # The loss of a job depends only on its weights, so the gradient of the sum of the losses
        # holds the gradient of each.
        weights = list(self._weights.values())
        gradients = list(torch.autograd.grad(losses.sum(), weights))
        with torch.no_grad():
            adam(
                weights,
                gradients,
                self._first,
                self._second,
                max_exp_avg_sqs=[],
                state_steps=self._counts,
                amsgrad=False,
                beta1=0.9,
                beta2=0.99,
                lr=next(self._rates),
                weight_decay=0.0,
                eps=1e-8,
                maximize=False,
            )
        return losses.detach()

    def write_back(self) -> None:
        with torch.no_grad():
            for job, net in enumerate(self.nets):
                for name, weights in net.named_parameters():
                    weights.copy_(self._weights[name][job])


def one_cycle(
    highest: float, steps: int, *, warm_up: float = 0.25, lowest: float = 1e-3
) -> np.ndarray:
    """Return a learning rate per step: it rises to `highest` on a cosine, then falls on another.

    Source: Smith and Topin, Super-Convergence, 2018; here with cosine ramps.

    Args:
        highest: rate at the top.
        steps: number of steps.
        warm_up: share of the steps in which the rate rises.
        lowest: rate at both ends, as a share of `highest`.

    Returns:
        float64 of shape (steps,).
    """
    at = (np.arange(steps) + 0.5) / steps
    # 1 at the ends, 0 at the top.
    phase = np.where(at < warm_up, 1 - at / warm_up, (at - warm_up) / (1 - warm_up))
    return highest * (lowest + (1 - lowest) * (1 + np.cos(np.pi * phase)) / 2)
