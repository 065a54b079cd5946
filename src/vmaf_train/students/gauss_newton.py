"""Stochastic Gauss-Newton with momentum, for plain networks of dense layers.

Symbols, for one job and a batch of B rows:
    r: weighted residuals, sqrt(c_i) (f(z_i) - t_i), of shape (B,)
    J: Jacobian of r by all weights, of shape (B, weights); never written down
    K: J J' + damping B I, of shape (B, B)
    p: momentum times the last step
    A: inputs of a layer, of shape (B, inputs)
    S: slopes of a layer, the derivative of r by its outputs, of shape (B, outputs)

The step is the smallest change of the weights that removes the batch's residuals, up to damping:

    step = p + J' K^-1 (r - J p)

Momentum is kept only in directions that this batch does not constrain.

Source: Goldshlager, Abrahamsen and Lin, A Kaczmarz-inspired approach (SPRING), 2024. J J' as a sum
over layers: Jacot, Gabriel and Hongler, Neural Tangent Kernel, 2018.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vmaf_train.students.nets import Mlp
from vmaf_train.students.solvers import SteppingSolver

# Damping at the first and the last step; a geometric sequence between them.
DAMPING = (1e-2, 1e-7)
MOMENTUM = 0.8
# Share of the steps that are taken in full; after them, steps decrease linearly to zero.
FULL_STEPS = 0.5
# Default for the longest step: norm of the change of all weights.
LONGEST_STEP = 0.3


class GaussNewton(SteppingSolver[Mlp]):
    """Gauss-Newton in float64, for all jobs at once along the first axis.

    Attributes:
        weights: weights of each layer, float64 of shape (jobs, outputs, inputs).
        biases: biases of each layer, float64 of shape (jobs, 1, outputs).
    """

    default_lr = LONGEST_STEP

    def __init__(self, nets: Sequence[Mlp], *, lr: float, steps: int) -> None:
        super().__init__(nets, lr=lr, steps=steps)

        layers = list(zip(*(_weights_and_biases(net) for net in nets), strict=True))
        self.weights = [torch.stack([weight.detach() for weight, _ in same]) for same in layers]
        self.biases = [torch.stack([bias.detach() for _, bias in same]) for same in layers]
        self._last_weights = [torch.zeros_like(weights) for weights in self.weights]
        self._last_biases = [torch.zeros_like(biases) for biases in self.biases]

        at = np.arange(steps) / steps
        self._dampings = iter(DAMPING[0] * (DAMPING[1] / DAMPING[0]) ** at)
        self._shares = iter(np.minimum(1.0, (1 - at) / (1 - FULL_STEPS)))

    def step(self, z: Tensor, t: Tensor, root_weight: Tensor) -> Tensor:
        inputs, predicted = self._forward(z.flatten(2))
        slopes = self._slopes(inputs, root_weight)

        # r = sqrt(c) (f(z) - t)
        residual = (predicted - t) * root_weight
        kernel = _kernel(slopes, inputs, next(self._dampings))

        # p = momentum * last step
        kept_weights = [MOMENTUM * last for last in self._last_weights]
        kept_biases = [MOMENTUM * last for last in self._last_biases]
        carried = _carried(slopes, inputs, kept_weights, kept_biases)

        # K u = r - J p
        factor, failed = torch.linalg.cholesky_ex(kernel)
        solved = torch.cholesky_solve((residual - carried).unsqueeze(-1), factor)

        # step = p + J' u; of one layer, J' u is (S u)' A for weights and (S u)' 1 for biases
        pulls = [slope * solved for slope in slopes]
        weight_steps = [
            torch.baddbmm(kept, pull.mT, given)
            for kept, pull, given in zip(kept_weights, pulls, inputs, strict=True)
        ]
        bias_steps = [
            kept + pull.sum(1, keepdim=True) for kept, pull in zip(kept_biases, pulls, strict=True)
        ]
        self._update(weight_steps, bias_steps)
        # `end_epoch` reports a loss of NaN as a fit that diverged.
        return (residual**2).mean(1).where(failed == 0, torch.nan)

    def _forward(self, z: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return A of each layer, (jobs, B, inputs), and the net's outputs, (jobs, B)."""
        inputs = [z]
        for weights, biases in zip(self.weights[:-1], self.biases[:-1], strict=True):
            # a = tanh(a W' + b)
            inputs.append(torch.tanh(torch.baddbmm(biases, inputs[-1], weights.mT)))
        # A sum, because a product with one column rounds differently for one job than for several.
        # The same holds in `_carried`.
        predicted = (inputs[-1] * self.weights[-1]).sum(-1) + self.biases[-1].squeeze(-1)
        return inputs, predicted

    def _slopes(self, inputs: Sequence[Tensor], root_weight: Tensor) -> list[Tensor]:
        """Return S of each layer, (jobs, B, outputs)."""
        slopes = [root_weight.unsqueeze(-1)]
        for layer in range(len(self.weights) - 1, 0, -1):
            # The chain rule; tanh' = 1 - tanh^2
            slope = torch.bmm(slopes[0], self.weights[layer]) * (1 - inputs[layer] ** 2)
            slopes.insert(0, slope)
        return slopes

    def _update(self, weight_steps: Sequence[Tensor], bias_steps: Sequence[Tensor]) -> None:
        """Cut each job's step to the longest that is allowed, keep it, and move the weights."""
        steps = (*weight_steps, *bias_steps)
        none = torch.zeros(len(self.nets), dtype=torch.float64)
        length = sum(((step**2).sum((1, 2)) for step in steps), none).sqrt()
        cut = (self.lr / length).clamp(max=1)[:, None, None]
        self._last_weights = [step * cut for step in weight_steps]
        self._last_biases = [step * cut for step in bias_steps]

        share = next(self._shares)
        for weights, step in zip(self.weights, self._last_weights, strict=True):
            weights -= share * step
        for biases, step in zip(self.biases, self._last_biases, strict=True):
            biases -= share * step

    def write_back(self) -> None:
        with torch.no_grad():
            for job, net in enumerate(self.nets):
                layers = zip(_weights_and_biases(net), self.weights, self.biases, strict=True)
                for (weight, bias), weights, biases in layers:
                    weight.copy_(weights[job])
                    bias.copy_(biases[job])


def _kernel(slopes: Sequence[Tensor], inputs: Sequence[Tensor], damping: float) -> Tensor:
    """Return K, (jobs, B, B)."""
    jobs, size = slopes[0].shape[:2]
    # K = sum over layers (S S') * (A A' + 1), elementwise, + damping B I
    diagonal = torch.full((jobs, size), size * damping, dtype=torch.float64)
    kernel = torch.diag_embed(diagonal)
    for slope, given in zip(slopes, inputs, strict=True):
        kernel += torch.bmm(slope, slope.mT) * (torch.bmm(given, given.mT) + 1)
    return kernel


def _carried(
    slopes: Sequence[Tensor],
    inputs: Sequence[Tensor],
    kept_weights: Sequence[Tensor],
    kept_biases: Sequence[Tensor],
) -> Tensor:
    """Return J p, (jobs, B): how far the momentum moves the residuals, before this batch does."""
    # J p = sum over layers of (S P) . A + S . q, row by row; P and q are p for weights and biases
    total = torch.zeros(slopes[0].shape[:2], dtype=torch.float64)
    for slope, given, weights, biases in zip(
        slopes, inputs, kept_weights, kept_biases, strict=True
    ):
        total += (torch.bmm(slope, weights) * given).sum(-1) + (slope * biases).sum(-1)
    return total


def _weights_and_biases(net: Mlp) -> list[tuple[Tensor, Tensor]]:
    return [(layer.weight, layer.bias) for layer, _ in net.layers if layer.bias is not None]
