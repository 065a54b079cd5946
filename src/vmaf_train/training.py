"""Fit students to the teacher's scores, many at once: folds and seeds of one architecture share every step.

Seeds first, standardisation from the training rows only. The solvers are least squares for the polynomials, a
stochastic Gauss-Newton for the plain networks, and Adam for the rest.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.optim.adam import adam

from vmaf_train import sampling
from vmaf_train.dataset import FrameTable
from vmaf_train.errors import InputError
from vmaf_train.features import SCORE_MAX, SCORE_MIN
from vmaf_train.models import Mlp, Polynomial, Student, build
from vmaf_train.teacher import load_teacher

# Shares of the loss, and of the rows of a batch: corpus, mixtures, cover of the box.
LOSS_SHARES = (1.0, 1.0, 0.1)
BATCH_SHARES = (2, 1, 1)
RIDGE = 1e-9
DAMPING = (1e-2, 1e-7)
MOMENTUM = 0.8
FULL_STEPS = 0.5
LONGEST_STEP = 0.3
ADAM_RATE = 0.02
STEPS_A_DRAW = 64
ROWS_A_PART = 16384


@dataclass(frozen=True)
class Settings:
    """How a student is fitted.

    Attributes:
        epochs: passes over the training rows, counted in batches; 0 keeps the initial weights.
        batch_size: rows a step.
        lr: longest step of Gauss-Newton (norm of the change of all weights), or highest rate of Adam; 0 is the
            solver's own.
        seed: of the initial weights, of the order of the rows and of the teacher's points.
        teacher_points: feature vectors labelled by the teacher that join the training rows.
    """

    epochs: int = 30
    batch_size: int = 64
    lr: float = 0.0
    seed: int = 0
    teacher_points: int = 8192


@dataclass(frozen=True)
class Job:
    """One student to fit: the sources it must not see, its seed, how many of the teacher's points it gets."""

    hold_out: tuple[str, ...] = ()
    seed: int = 0
    teacher_points: int = 0


@dataclass(frozen=True)
class Epoch:
    """Where a fit stands after a pass: mean squared error on standardised scores, and RMSE in score points."""

    number: int
    train_loss: float
    val_rmse: float


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted student, the way it took, and the same fitted without the teacher's points where it had some."""

    student: Student
    history: tuple[Epoch, ...]
    without_points: Student | None


@dataclass(frozen=True, eq=False)
class _Pool:
    """Rows to draw from: `x` (rows, features), `rows` (examples,) or (examples, window) into it, targets, share."""

    x: Tensor
    rows: Tensor
    y: Tensor
    share: float

    def take(self, student: Student, picks: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Return standardised features and targets of these examples."""
        # Rows beyond a clip's ends are NaN: they stand for the mean.
        z = ((self.x[self.rows[picks]] - student.x_mean_F) / student.x_std_F).nan_to_num()
        return z, (self.y[picks] - student.y_mean) / student.y_std


def fit(
    arch: str,
    train: FrameTable,
    val: FrameTable,
    settings: Settings,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Fit:
    """Fit a student to `train`; `val` is only measured after each epoch and decides nothing.

    The same seed on the same machine gives the same weights.

    Raises:
        InputError: the loss is no longer a number.
    """
    jobs = [Job((), settings.seed, points) for points in sorted({settings.teacher_points, 0}, reverse=True)]
    val_x_NF = torch.from_numpy(val.x_NF)
    history = []

    def note(number: int, losses: Tensor, students: Sequence[Student]) -> None:
        with torch.inference_mode():
            residual_N = students[0](val_x_NF).numpy() - val.y_N
        history.append(Epoch(number, float(losses[0]), float(np.sqrt(np.mean(residual_N**2)))))
        on_epoch(history[-1])

    students = fit_many(arch, train, jobs, settings, note)
    return Fit(students[0], tuple(history), students[1] if len(students) > 1 else None)


def fit_many(
    arch: str,
    table: FrameTable,
    jobs: Sequence[Job],
    settings: Settings,
    on_epoch: Callable[[int, Tensor, Sequence[Student]], None] | None = None,
) -> list[Student]:
    """Fit one student a job, all of them step by step together; each sees its own sources, seed and points only.

    Args:
        arch: of all of them.
        table: the rows of every source.
        jobs: what sets the students apart; the settings' own seed and points are not read.
        settings: what they share.
        on_epoch: told the epoch, the training losses of shape (jobs,) and the students as they are then.

    Raises:
        InputError: a loss is no longer a number.
    """
    students = [build(arch, table.features, job.seed) for job in jobs]
    architecture = students[0].architecture
    # A last row of NaN stands for every frame beyond a clip's ends.
    x = np.concatenate([table.x_NF, np.full((1, len(table.features)), np.nan)])
    rows = table.window_rows(architecture.window) if architecture.window > 1 else np.arange(len(table))
    pools = [_pools(student, table, job, x, rows) for student, job in zip(students, jobs, strict=True)]
    if settings.epochs and architecture.solver == "least_squares":
        losses = torch.tensor([_least_squares(*one) for one in zip(students, pools, strict=True)])
        if on_epoch:
            on_epoch(1, losses, students)
    elif settings.epochs and architecture.solver != "none":
        steps = -(-max(len(of[0].y) for of in pools) // settings.batch_size)
        draws = [np.random.default_rng([job.seed, 1]) for job in jobs]
        solver = _GaussNewton if architecture.solver == "gauss_newton" else _Adam
        descent = solver(students, settings, steps * settings.epochs)
        for number in range(1, settings.epochs + 1):
            summed = torch.zeros(len(jobs), dtype=torch.float64)
            for batch in _batches(students, pools, draws, steps, settings.batch_size):
                summed += descent.step(*batch)
            if not torch.isfinite(summed).all():
                raise InputError(f"training diverged in epoch {number}; pass a lower lr than {descent.lr:g}")
            if on_epoch or number == settings.epochs:
                descent.write_back(students, pools)
            if on_epoch:
                on_epoch(number, summed / steps, students)
    return [student.eval() for student in students]


def _pools(student: Student, table: FrameTable, job: Job, x: np.ndarray, rows: np.ndarray) -> list[_Pool]:
    """Standardise by the job's own rows, and return what it learns from: the corpus, and the teacher's points."""
    kept = np.isin(table.clip_N, [i for i, source in enumerate(table.clip_sources) if source not in job.hold_out])
    x_NF, y_N, rows = table.x_NF[kept], table.y_N[kept], rows[kept]
    student.standardise_by(torch.from_numpy(x_NF), torch.from_numpy(y_N))
    teacher = load_teacher()
    if job.teacher_points:
        # The clip is a kink that a student would spend its weights on; beyond it the teacher goes on smoothly.
        for clipped, lowest, highest in ((y_N >= SCORE_MAX, SCORE_MAX, None), (y_N <= SCORE_MIN, None, SCORE_MIN)):
            y_N[clipped] = teacher.score(x_NF[clipped], table.features, clip=False).clip(lowest, highest)
    pools = [_Pool(torch.from_numpy(x), torch.from_numpy(rows), torch.from_numpy(y_N), LOSS_SHARES[0])]
    if not job.teacher_points:
        return pools

    draw = np.random.default_rng([job.seed, 0])
    examples = np.where(np.isnan(x[rows]), student.x_mean_F.numpy(), x[rows])
    mixed = sampling.mixtures(examples, table.features, -(-job.teacher_points // 2), draw)
    spread = sampling.cover((job.teacher_points // 2, *mixed.shape[1:-1]), table.features, draw)
    for points, share in zip((mixed, spread), LOSS_SHARES[1:], strict=True):
        middle = points if points.ndim == 2 else points[:, points.shape[1] // 2]
        labels = torch.from_numpy(teacher.score(middle, table.features, clip=False))
        places = torch.arange(points[..., 0].size).reshape(points.shape[:-1])
        pools.append(_Pool(torch.from_numpy(points.reshape(-1, points.shape[-1])), places, labels, share))
    return [pool for pool in pools if len(pool.y)]


def _batches(
    students: Sequence[Student],
    pools: Sequence[Sequence[_Pool]],
    draws: Sequence[np.random.Generator],
    steps: int,
    size: int,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield batches of all jobs: features (jobs, size, ...), targets (jobs, size), roots of loss weights (jobs, size).

    Drawn with replacement, a few batches at a time; what a job draws depends on its own generator alone.
    """
    quotas = [_quotas(len(pool), size) for pool in pools]
    weight = torch.stack([_root_weights(pool, quota) for pool, quota in zip(pools, quotas, strict=True)])
    for start in range(0, steps, STEPS_A_DRAW):
        n, drawn = min(STEPS_A_DRAW, steps - start), []
        for student, pool, quota, draw in zip(students, pools, quotas, draws, strict=True):
            picks = [torch.from_numpy(draw.integers(len(of.y), size=(n, k))) for of, k in zip(pool, quota, strict=True)]
            parts = [of.take(student, rows) for of, rows in zip(pool, picks, strict=True)]
            drawn.append([torch.cat(tensors, 1) for tensors in zip(*parts, strict=True)])
        z, t = (torch.stack(tensors, 1) for tensors in zip(*drawn, strict=True))
        for step in range(n):
            yield z[step], t[step], weight


def _quotas(pools: int, size: int) -> list[int]:
    """Return how many rows of a batch each pool gives; the corpus gives what the others leave."""
    points = [size * share // sum(BATCH_SHARES[:pools]) for share in BATCH_SHARES[1:pools]]
    return [size - sum(points), *points]


def _root_weights(pools: Sequence[_Pool], quotas: Sequence[int]) -> Tensor:
    """Return the root of each batch row's weight in the loss, so that the pools have their shares of it."""
    shares = [pool.share if quota else 0.0 for pool, quota in zip(pools, quotas, strict=True)]
    weights = [share / sum(shares) * sum(quotas) / max(quota, 1) for share, quota in zip(shares, quotas, strict=True)]
    return torch.tensor(weights, dtype=torch.float64).sqrt().repeat_interleave(torch.tensor(quotas))


def _least_squares(student: Student, pools: Sequence[_Pool]) -> float:
    """Solve for a polynomial's weights by its normal equations in float64; return the weighted mean squared error."""
    net = student.net
    assert isinstance(net, Polynomial)
    n = len(net.monomials)
    gram, moment, square = torch.zeros(n, n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64), 0.0
    for pool in pools:
        weight = pool.share / sum(of.share for of in pools) / len(pool.y)
        for start in range(0, len(pool.y), ROWS_A_PART):
            z, t = pool.take(student, slice(start, start + ROWS_A_PART))
            expanded = net.expand(z)
            gram += weight * expanded.mT @ expanded
            moment += weight * expanded.mT @ t
            square += weight * float(t @ t)
    solved = torch.linalg.solve(gram + RIDGE * torch.eye(n, dtype=torch.float64), moment)
    with torch.no_grad():
        net.weight.copy_(solved)
    return max(0.0, square - 2 * float(solved @ moment) + float(solved @ gram @ solved))


class _GaussNewton:
    """Stochastic Gauss-Newton for stacks of dense layers, in float64, all jobs at once along the first axis.

    A step is the smallest change of the weights, damped, that takes a batch's residuals away. With a batch of B rows
    and their Jacobian J it is J' (J J' + damping B)^-1 r, and J J' is a sum over the layers of the elementwise product
    of two B x B matrices, so J itself is never written down. What the last step moved is kept where the batch has
    no say in it. Source: Goldshlager, Abrahamsen and Lin, A Kaczmarz-inspired approach (SPRING), 2024; the layers'
    products as in the neural tangent kernel of Jacot, Gabriel and Hongler, 2018.
    """

    def __init__(self, students: Sequence[Student], settings: Settings, steps: int) -> None:
        layers = [[student.net.dense[i] for student in students] for i in range(len(students[0].net.dense))]
        self.weights = [torch.stack([layer.weight.detach() for layer in same]) for same in layers]
        self.biases = [torch.stack([layer.bias.detach() for layer in same]) for same in layers]
        self.lr = settings.lr or LONGEST_STEP
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
        predicted = torch.baddbmm(self.biases[-1], inputs[-1], self.weights[-1].mT).squeeze(-1)
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
            ((torch.bmm(given, kept[i].mT) + kept[depth + i]) * slope).sum(-1)
            for i, (slope, given) in enumerate(zip(slopes, inputs, strict=True))
        ]
        factor, failed = torch.linalg.cholesky_ex(kernel)
        solved = torch.cholesky_solve((residual - sum(carried)).unsqueeze(-1), factor)
        pulls = [slope * solved for slope in slopes]
        moved = [torch.baddbmm(old, pull.mT, given) for old, pull, given in zip(kept, pulls, inputs, strict=False)]
        moved += [old + pull.sum(1, keepdim=True) for old, pull in zip(kept[depth:], pulls, strict=True)]
        length = torch.stack([(change**2).sum((1, 2)) for change in moved]).sum(0).sqrt()
        self._moved = [change * (self.lr / length).clamp(max=1)[:, None, None] for change in moved]
        share = next(self._share)
        for weights, change in zip((*self.weights, *self.biases), self._moved, strict=True):
            weights -= share * change
        return (residual**2).mean(1).where(failed == 0, torch.nan)

    def write_back(self, students: Sequence[Student], pools: Sequence[Sequence[_Pool]]) -> None:
        """Give each student its weights."""
        with torch.no_grad():
            for job, student in enumerate(students):
                for layer, weights, biases in zip(student.net.dense, self.weights, self.biases, strict=True):
                    layer.weight.copy_(weights[job])
                    layer.bias.copy_(biases[job])


class _Adam:
    """Adam (Kingma and Ba, 2015) under a one-cycle rate for any net, all jobs at once along the first axis."""

    def __init__(self, students: Sequence[Student], settings: Settings, steps: int) -> None:
        self.net = students[0].net
        states = [dict(student.net.named_parameters()) for student in students]
        self.weights = {name: torch.stack([state[name].detach() for state in states]) for name in states[0]}
        for weights in self.weights.values():
            weights.requires_grad_()
        self.lr = settings.lr or ADAM_RATE
        # torch.optim's classes import the compiler stack on first use, two seconds; its functional Adam does not.
        self._moments = [[torch.zeros_like(w, requires_grad=False) for w in self.weights.values()] for _ in range(2)]
        self._steps = [torch.zeros(()) for _ in self.weights]
        self._rates = iter(one_cycle(self.lr, steps))

    def step(self, z: Tensor, t: Tensor, weight: Tensor) -> Tensor:
        """Move all jobs' weights once; return their mean squared residuals of shape (jobs,)."""
        predicted = torch.func.functional_call(self.net, self.weights, (z,))
        losses = (((predicted - t) * weight) ** 2).mean(1)
        weights = list(self.weights.values())
        gradients = list(torch.autograd.grad(losses.sum(), weights))
        with torch.no_grad():
            adam(
                weights, gradients, *self._moments, [], self._steps,
                amsgrad=False, beta1=0.9, beta2=0.99, lr=next(self._rates), weight_decay=0.0, eps=1e-8, maximize=False,
            )  # fmt: skip
        return losses.detach()

    def write_back(self, students: Sequence[Student], pools: Sequence[Sequence[_Pool]]) -> None:
        """Give each student its weights, and its batch normalisations their statistics."""
        with torch.no_grad():
            for job, (student, pool) in enumerate(zip(students, pools, strict=True)):
                for name, weights in student.net.named_parameters():
                    weights.copy_(self.weights[name][job])
                if isinstance(student.net, Mlp):
                    # In a batch's proportions, or the statistics would not be those it was trained with.
                    quotas = zip(pool, _quotas(len(pool), ROWS_A_PART), strict=True)
                    student.net.settle(
                        torch.cat([of.take(student, torch.arange(k) % len(of.y))[0] for of, k in quotas])
                    )


def one_cycle(highest: float, steps: int, warm_up: float = 0.25, lowest: float = 1e-3) -> np.ndarray:
    """Return a learning rate for each step: up to `highest` along a cosine, then down; the ends are `lowest` of it.

    Source: Smith and Topin, Super-Convergence, 2018; with cosine ramps.
    """
    at = (np.arange(steps) + 0.5) / steps
    phase = np.where(at < warm_up, 1 - at / warm_up, (at - warm_up) / (1 - warm_up))
    return highest * (lowest + (1 - lowest) * (1 + np.cos(np.pi * phase)) / 2)
