"""Fit one student to the teacher's scores. Seeds first, standardisation from the training rows only."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.optim.adam import adam

from vmaf_train.dataset import FrameTable
from vmaf_train.errors import InputError
from vmaf_train.models import Student, build


@dataclass(frozen=True)
class Settings:
    """How a student is fitted.

    Attributes:
        epochs: passes over the training rows; 0 keeps the initial weights.
        batch_size: rows a step.
        lr: highest learning rate of the one-cycle schedule.
        seed: of the initial weights and of the order of the rows.
    """

    epochs: int = 30
    batch_size: int = 256
    lr: float = 0.04
    seed: int = 0


@dataclass(frozen=True)
class Epoch:
    """Where a fit stands after a pass: mean squared error on standardised scores, and RMSE in score points."""

    number: int
    train_loss: float
    val_rmse: float


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted student and the way it took."""

    student: Student
    history: tuple[Epoch, ...]


def fit(
    arch: str,
    train: FrameTable,
    val: FrameTable,
    settings: Settings,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Fit:
    """Fit a student to `train`; `val` is only measured after each epoch and decides nothing.

    The affine student is solved by least squares in float64; the others are trained by Adam (Kingma and Ba,
    2015) under a one-cycle learning rate. The same seed on the same machine gives the same weights.

    Raises:
        InputError: the loss is no longer a number.
    """
    student = build(arch, train.features, settings.seed)
    x_NF, y_N = torch.from_numpy(train.x_NF), torch.from_numpy(train.y_N)
    student.standardise_by(x_NF, y_N)
    z_NF = student.standardised(x_NF)
    t_N = ((y_N - student.y_mean) / student.y_std).float()
    val_x_NF = torch.from_numpy(val.x_NF)

    history = []

    def note(number: int, train_loss: float) -> None:
        with torch.inference_mode():
            residual_N = student(val_x_NF).numpy() - val.y_N
        history.append(Epoch(number, train_loss, float(np.sqrt(np.mean(residual_N**2)))))
        on_epoch(history[-1])

    if settings.epochs and not student.architecture.hidden:
        note(1, _solve(student, z_NF, t_N))
    elif settings.epochs:
        _descend(student, z_NF, t_N, settings, note)
    return Fit(student.eval(), tuple(history))


def _solve(student: Student, z_NF: torch.Tensor, t_N: torch.Tensor) -> float:
    """Set the affine layer to the least-squares solution; return its mean squared error."""
    with_one = np.column_stack([z_NF.double().numpy(), np.ones(len(z_NF))])
    weights, *_ = np.linalg.lstsq(with_one, t_N.double().numpy(), rcond=None)
    layer = student.layers[0]
    assert isinstance(layer, nn.Linear)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weights[None, :-1]))
        layer.bias.copy_(torch.from_numpy(weights[-1:]))
    return float(np.mean((with_one @ weights - t_N.numpy()) ** 2))


def _descend(
    student: Student,
    z_NF: torch.Tensor,
    t_N: torch.Tensor,
    settings: Settings,
    note: Callable[[int, float], None],
) -> None:
    """Run Adam for the settings' epochs over shuffled batches, the learning rate going through one cycle."""
    weights: list[torch.Tensor] = list(student.layers.parameters())
    # torch.optim's classes import the compiler stack on first use, two seconds; its functional Adam does not.
    first, second = [torch.zeros_like(w) for w in weights], [torch.zeros_like(w) for w in weights]
    steps = [torch.zeros(()) for _ in weights]
    order = torch.Generator().manual_seed(settings.seed)
    total = settings.epochs * -(-len(z_NF) // settings.batch_size)
    rates = iter(one_cycle(settings.lr, total))
    for number in range(1, settings.epochs + 1):
        summed = torch.zeros(())
        for rows in torch.split(torch.randperm(len(z_NF), generator=order), settings.batch_size):
            loss = nn.functional.mse_loss(student.layers(z_NF[rows]).squeeze(-1), t_N[rows])
            gradients = list(torch.autograd.grad(loss, weights))
            with torch.no_grad():
                adam(
                    weights, gradients, first, second, [], steps,
                    amsgrad=False, beta1=0.9, beta2=0.99, lr=next(rates), weight_decay=0.0, eps=1e-8, maximize=False,
                )  # fmt: skip
            summed += loss.detach() * len(rows)
        if not torch.isfinite(summed):
            raise InputError(f"training diverged in epoch {number}; pass a lower lr than {settings.lr:g}")
        note(number, float(summed) / len(z_NF))


def one_cycle(highest: float, steps: int, warm_up: float = 0.25, lowest: float = 1e-3) -> np.ndarray:
    """Return a learning rate for each step: up to `highest` along a cosine, then down; the ends are `lowest` of it.

    Source: Smith and Topin, Super-Convergence, 2018; with cosine ramps.
    """
    at = (np.arange(steps) + 0.5) / steps
    phase = np.where(at < warm_up, 1 - at / warm_up, (at - warm_up) / (1 - warm_up))
    return highest * (lowest + (1 - lowest) * (1 + np.cos(np.pi * phase)) / 2)
