"""Time of a sweep's fits: all folds and seeds of an architecture at once, or one by one.

Usage: python benchmarks/sweep.py [--seeds N] [--archs linear,mlp_small,mlp_medium]
Two other ways fit one student after the other. Each is a plain loop over a DataLoader with the
same rows, batch size and number of steps:

- the same method: Gauss-Newton with torch.func's per-row gradients and one linear solve per step;
  for linear, which takes one step, least squares on the rows of one pass
- torch's own Adam

Beside each time is the mean RMSE on the held-out sources of the demo corpus.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count, islice, pairwise

import numpy as np
import torch
from common import clocked, header, make_parser, row, table_of
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.utils.data import DataLoader, TensorDataset

from vmaf_train.features import SCORE_MAX, SCORE_MIN
from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.frames.table import FrameTable
from vmaf_train.metrics import rmse
from vmaf_train.students.examples import training_rows
from vmaf_train.students.gauss_newton import DAMPING, FULL_STEPS, LONGEST_STEP, MOMENTUM
from vmaf_train.students.settings import Job, Settings
from vmaf_train.students.training import fit_many

Batches = Iterator[tuple[Tensor, Tensor]]
PlainFit = Callable[[nn.Sequential, Batches, int], None]

ADAM_RATE = 0.01
COLUMNS = (
    "arch",
    "at once, s",
    "RMSE",
    "same method one by one, s",
    "RMSE",
    "ratio",
    "Adam one by one, s",
    "RMSE",
    "ratio",
)


def held_out_errors(
    arch: str, table: FrameTable, jobs: Sequence[Job], settings: Settings
) -> list[float]:
    """Fit all jobs at once; return each student's RMSE on the sources that it did not see."""
    errors = []
    for job, student in fit_many(arch, table, jobs, settings).items():
        held = table.only(job.hold_out)
        with torch.inference_mode():
            score_N = student(torch.from_numpy(held.x_NF)).numpy()
        errors.append(rmse(score_N, held.y_N))
    return errors


def adam(net: nn.Sequential, batches: Batches, steps: int) -> None:
    optimiser = torch.optim.Adam(net.parameters(), lr=ADAM_RATE)
    for rows, targets in islice(batches, steps):
        optimiser.zero_grad()
        loss = nn.functional.mse_loss(net(rows).squeeze(-1), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def least_squares(net: nn.Sequential, batches: Batches, steps: int) -> None:
    one_pass = list(islice(batches, steps // Settings().epochs))
    rows, targets = (torch.cat(parts) for parts in zip(*one_pass, strict=True))
    with_one = nn.functional.pad(rows, (0, 1), value=1.0)
    solved = torch.linalg.lstsq(with_one, targets[:, None]).solution
    (layer,) = (module for module in net if isinstance(module, nn.Linear))
    with torch.no_grad():
        layer.weight.copy_(solved[:-1].T)
        layer.bias.copy_(solved[-1])


def gauss_newton(net: nn.Sequential, batches: Batches, steps: int) -> None:
    weights = {name: values.detach() for name, values in net.named_parameters()}
    sizes = [values.numel() for values in weights.values()]
    moved = torch.zeros(sum(sizes), dtype=torch.float64)

    def score(w: dict[str, Tensor], x: Tensor) -> Tensor:
        scored: Tensor = functional_call(net, w, (x,)).squeeze()
        return scored

    gradients = vmap(grad(score), in_dims=(None, 0))
    for step, (rows, targets) in enumerate(islice(batches, steps)):
        jacobian = torch.cat([part.flatten(1) for part in gradients(weights, rows).values()], 1)
        residual = functional_call(net, weights, (rows,)).squeeze(-1) - targets
        moved = damped_step(jacobian, residual, moved, step / steps)
        share = min(1.0, (1 - step / steps) / (1 - FULL_STEPS))
        for values, part in zip(weights.values(), torch.split(share * moved, sizes), strict=True):
            values -= part.view_as(values)


def damped_step(jacobian: Tensor, residual: Tensor, last: Tensor, progress: float) -> Tensor:
    """Return a step of damped Gauss-Newton: m + J^T (J J^T + d I)^-1 (r - J m), m the momentum.

    Args:
        jacobian: float64 of shape (rows, weights).
        residual: float64 of shape (rows,).
        last: the step before, float64 of shape (weights,).
        progress: from 0 to 1 over the fit.
    """
    n_rows = len(residual)
    damping = DAMPING[0] * (DAMPING[1] / DAMPING[0]) ** progress * n_rows
    kernel = jacobian @ jacobian.T + damping * torch.eye(n_rows, dtype=torch.float64)
    kept = MOMENTUM * last
    step = kept + jacobian.T @ torch.linalg.solve(kernel, residual - jacobian @ kept)
    shortened: Tensor = step * min(1.0, LONGEST_STEP / float(step.norm()))
    return shortened


@dataclass(frozen=True)
class Compared:
    """An architecture of this comparison: its hidden layers, and the plain loop of its method."""

    hidden: tuple[int, ...]
    same_method: PlainFit


ARCHS = {
    "linear": Compared((), least_squares),
    "mlp_small": Compared((16, 8), gauss_newton),
    "mlp_medium": Compared((64, 32), gauss_newton),
}


def make_net(sizes: Sequence[int], seed: int) -> nn.Sequential:
    """Return a net with random weights; `sizes` are those of input, hidden layers and output."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.Tanh()]
    return nn.Sequential(*layers[:-1]).double()


def plain_error(
    table: FrameTable, job: Job, settings: Settings, *, fit: PlainFit, hidden: Sequence[int]
) -> float:
    """Fit one student in a plain loop; return its RMSE on the held-out sources."""
    held = table.only(job.hold_out)
    x_NF, y_N = training_rows(table, job)
    mean_F, std_F = x_NF.mean(0), x_NF.std(0)
    z = torch.from_numpy((x_NF - mean_F) / std_F)
    t = torch.from_numpy((y_N - y_N.mean()) / y_N.std())
    loader = DataLoader(TensorDataset(z, t), settings.batch_size, shuffle=True)
    net = make_net((len(mean_F), *hidden, 1), job.seed)

    steps = settings.epochs * -(-(len(table) - len(held)) // settings.batch_size)
    fit(net, (batch for _ in count() for batch in loader), steps)
    with torch.inference_mode():
        scored = net(torch.from_numpy((held.x_NF - mean_F) / std_F)).squeeze(-1).numpy()
    score_N = (scored * y_N.std() + y_N.mean()).clip(SCORE_MIN, SCORE_MAX)
    return rmse(score_N, held.y_N)


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one of torch's threads: in steps this small, more only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def one_by_one(
    fit: PlainFit, arch: str, *, table: FrameTable, jobs: Sequence[Job], settings: Settings
) -> list[float]:
    """Fit the jobs one after the other; return the RMSE of each."""
    hidden = ARCHS[arch].hidden
    with one_thread():
        return [plain_error(table, job, settings, fit=fit, hidden=hidden) for job in jobs]


def compare(
    arch: str, table: FrameTable, jobs: Sequence[Job], settings: Settings
) -> list[tuple[float, float]]:
    """Return seconds and mean RMSE: at once, the same method one by one, Adam one by one."""
    loops = (ARCHS[arch].same_method, adam)
    ways = [partial(held_out_errors, arch, table, jobs, settings)]
    ways += [
        partial(one_by_one, fit, arch, table=table, jobs=jobs, settings=settings) for fit in loops
    ]
    timed = [clocked(way) for way in ways]
    return [(seconds, float(np.mean(errors))) for seconds, errors in timed]


def line(name: str, seconds: Sequence[float], errors: Sequence[str]) -> str:
    """Return a row of the table; both hold a value for each way."""
    ours, same, plain = (f"{value:.1f}" for value in seconds)
    to_same, to_plain = (f"{value / seconds[0]:.1f}" for value in seconds[1:])
    ours_rmse, same_rmse, plain_rmse = errors
    other = (same, same_rmse, to_same, plain, plain_rmse, to_plain)
    return row(name, ours, ours_rmse, *other)


def main() -> None:
    options = make_parser(__doc__, seeds=5, archs=list(ARCHS)).parse_args()
    settings, table = Settings(), table_of(CorpusChoice())
    jobs = [
        Job((source,), seed, settings.teacher_points)
        for seed in range(options.seeds)
        for source in table.sources
    ]
    folds = len(table.sources)
    print(f"{len(jobs)} fits per architecture: {folds} folds, {options.seeds} seeds\n")

    print(header(*COLUMNS))
    total = np.zeros(3)
    for arch in options.archs:
        seconds, errors = zip(*compare(arch, table, jobs, settings), strict=True)
        print(line(arch, seconds, [f"{error:.4f}" for error in errors]), flush=True)
        total += seconds
    print(line("all", total.tolist(), ["", "", ""]))


if __name__ == "__main__":
    main()
