"""Time of a sweep's fits, all folds and seeds of an architecture at once, against one after the other.

Usage: python benchmarks/sweep.py [--seeds N] [--archs linear,mlp_small,mlp_medium]
Two other ways, each a plain loop over a DataLoader of the same rows, batch size and number of steps, one fit after the
other: the same method (Gauss-Newton with torch.func's per-row gradients and one linear solve a step; for the linear
arch, which takes one step, the rows of one pass and a least-squares solution), and torch's own Adam.
Errors stand beside the times: mean RMSE on the held-out sources of the demo corpus.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice, pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.utils.data import DataLoader, TensorDataset

from vmaf_train.frames.choice import CorpusChoice
from vmaf_train.frames.opening import open_corpus
from vmaf_train.frames.table import FrameTable
from vmaf_train.reporting import Reporter
from vmaf_train.students.examples import training_rows
from vmaf_train.students.gauss_newton import DAMPING, FULL_STEPS, LONGEST_STEP, MOMENTUM
from vmaf_train.students.settings import Job, Settings
from vmaf_train.students.training import fit_many

HIDDEN: dict[str, tuple[int, ...]] = {"linear": (), "mlp_small": (16, 8), "mlp_medium": (64, 32)}
PlainFit = Callable[[nn.Sequential, Iterator[tuple[Tensor, Tensor]], int], None]


def network(hidden: tuple[int, ...], seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise((6, *hidden, 1)):
        layers += [nn.Linear(inputs, outputs), nn.Tanh()]
    return nn.Sequential(*layers[:-1]).double()


def adam(net: nn.Sequential, batches: Iterator[tuple[Tensor, Tensor]], steps: int) -> None:
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    for rows, targets in islice(batches, steps):
        optimiser.zero_grad()
        nn.functional.mse_loss(net(rows).squeeze(-1), targets).backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def least_squares(net: nn.Sequential, batches: Iterator[tuple[Tensor, Tensor]], steps: int) -> None:
    passed = list(islice(batches, steps // Settings().epochs))
    rows, targets = (torch.cat(parts) for parts in zip(*passed, strict=True))
    solved = torch.linalg.lstsq(
        nn.functional.pad(rows, (0, 1), value=1.0), targets[:, None]
    ).solution
    (layer,) = (module for module in net if isinstance(module, nn.Linear))
    with torch.no_grad():
        layer.weight.copy_(solved[:-1].T)
        layer.bias.copy_(solved[-1])


def gauss_newton(net: nn.Sequential, batches: Iterator[tuple[Tensor, Tensor]], steps: int) -> None:
    weights = {name: values.detach() for name, values in net.named_parameters()}
    moved = torch.zeros(sum(values.numel() for values in weights.values()), dtype=torch.float64)
    gradients = vmap(
        grad(lambda w, row: functional_call(net, w, (row,)).squeeze()), in_dims=(None, 0)
    )
    for step, (rows, targets) in enumerate(islice(batches, steps)):
        damping = DAMPING[0] * (DAMPING[1] / DAMPING[0]) ** (step / steps) * len(rows)
        jacobian = torch.cat([part.flatten(1) for part in gradients(weights, rows).values()], 1)
        residual = functional_call(net, weights, (rows,)).squeeze(-1) - targets
        kernel = jacobian @ jacobian.T + damping * torch.eye(len(rows), dtype=torch.float64)
        kept = MOMENTUM * moved
        moved = kept + jacobian.T @ torch.linalg.solve(kernel, residual - jacobian @ kept)
        moved *= min(1.0, LONGEST_STEP / float(moved.norm()))
        change = min(1.0, (1 - step / steps) / (1 - FULL_STEPS)) * moved
        for values, part in zip(
            weights.values(), change.split([w.numel() for w in weights.values()]), strict=True
        ):
            values -= part.view_as(values)


def rmse(scores: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.mean((scores.clip(0, 100) - truth) ** 2)))


def one_by_one(
    fit: PlainFit, arch: str, table: FrameTable, jobs: list[Job], settings: Settings
) -> tuple[float, float]:
    """Return seconds and mean RMSE of the plain loop."""
    # Its best: more threads of torch's only wait for one another in steps this small.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    started, errors = time.perf_counter(), []
    for job in jobs:
        held = table.only(job.hold_out)
        x_NF, y_N = training_rows(table, job)
        mean, std = x_NF.mean(0), x_NF.std(0)
        x, t = (
            torch.from_numpy((x_NF - mean) / std),
            torch.from_numpy((y_N - y_N.mean()) / y_N.std()),
        )
        loader = DataLoader(TensorDataset(x, t), settings.batch_size, shuffle=True)
        net = network(HIDDEN[arch], job.seed)
        steps = settings.epochs * -(-(len(table) - len(held)) // settings.batch_size)
        fit(net, (batch for _ in cycle([0]) for batch in loader), steps)
        with torch.inference_mode():
            scored = net(torch.from_numpy((held.x_NF - mean) / std)).squeeze(-1).numpy()
        errors.append(rmse(scored * y_N.std() + y_N.mean(), held.y_N))
    torch.set_num_threads(threads)
    return time.perf_counter() - started, float(np.mean(errors))


def at_once(
    arch: str, table: FrameTable, jobs: list[Job], settings: Settings
) -> tuple[float, float]:
    """Return seconds and mean RMSE of the batched fit."""
    started, errors = time.perf_counter(), []
    for job, student in fit_many(arch, table, jobs, settings).items():
        held = table.only(job.hold_out)
        with torch.inference_mode():
            errors.append(rmse(student(torch.from_numpy(held.x_NF)).numpy(), held.y_N))
    return time.perf_counter() - started, float(np.mean(errors))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--archs", default=",".join(HIDDEN))
    options = parser.parse_args()
    settings, table = Settings(), open_corpus(CorpusChoice(), Reporter()).table(())
    jobs = [
        Job((source,), seed, settings.teacher_points)
        for seed in range(options.seeds)
        for source in table.sources
    ]
    print(f"{len(jobs)} fits an architecture: {len(table.sources)} folds, {options.seeds} seeds\n")
    print(
        "| arch | at once, s | RMSE | same method one by one, s | RMSE | ratio | Adam one by one, s | RMSE | ratio |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    total = np.zeros(3)
    for arch in options.archs.split(","):
        runs = [at_once(arch, table, jobs, settings)]
        same_method = gauss_newton if HIDDEN[arch] else least_squares
        runs += [one_by_one(fit, arch, table, jobs, settings) for fit in (same_method, adam)]
        (ours, error), (same, same_error), (plain, plain_error) = runs
        print(
            f"| {arch} | {ours:.1f} | {error:.4f} | {same:.1f} | {same_error:.4f} | {same / ours:.1f} | "
            f"{plain:.1f} | {plain_error:.4f} | {plain / ours:.1f} |",
            flush=True,
        )
        total += (ours, same, plain)
    ours, same, plain = total
    print(
        f"| all | {ours:.1f} | | {same:.1f} | | {same / ours:.1f} | {plain:.1f} | | {plain / ours:.1f} |"
    )


if __name__ == "__main__":
    main()
