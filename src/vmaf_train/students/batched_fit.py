"""A batched fit: the students of several jobs, their examples, and their shared solver."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from vmaf_train.features import find_feature_set
from vmaf_train.frames.table import FrameTable
from vmaf_train.students.architectures import Student, build, find_architecture
from vmaf_train.students.examples import Examples, Pool, make_pools, quotas, root_weights
from vmaf_train.students.nets import Polynomial
from vmaf_train.students.settings import Aim, Job, Settings
from vmaf_train.students.solvers import Parts, Rows

# Batches per epoch, at most: students need steps, and beyond these more rows bring nothing.
MOST_STEPS = 128
# Steps whose rows are drawn at once.
DRAWN_STEPS = 64

# Least degree of polynomials whose largest error over the box is kept small.
LEAST_EVEN_DEGREE = 4
# Rows that a net's statistics are taken from at the end of an epoch.
STATISTICS_ROWS = 4096


class BatchedFit:
    """Several jobs that are fitted together; a loop runs the epochs.

    An epoch is one `step` per batch of `batches`, then `end_epoch` with the losses of the steps.

    Args:
        arch: name of the architecture of all students.
        table: frames of every source.
        jobs: one per student; a repeated job counts once.
        settings: settings of all jobs.

    Attributes:
        students: the student of each job; `end_epoch` writes the weights to it.
        epochs: number of epochs to run.
        steps: batches per epoch: as many as the table fills, but at most MOST_STEPS.
        cancelled: set it to stop the plain loop before its next epoch.
    """

    def __init__(
        self, arch: str, table: FrameTable, jobs: Sequence[Job], settings: Settings
    ) -> None:
        features = find_feature_set(settings.features, table.teacher.features).features
        architecture = find_architecture(arch, features, table.teacher)
        self.cancelled = False
        self.epochs = architecture.solver.epochs(settings.epochs)
        # Counted over all sources, also those that a job holds out: the number of steps must not
        # depend on which jobs are fitted together.
        self.steps = min(-(-len(table) // settings.batch_size), MOST_STEPS)
        self._batch_size = settings.batch_size

        self.students = {job: build(arch, features, job.seed, table.teacher).eval() for job in jobs}
        examples = Examples.of(table, features, architecture.window)
        self._pools = [
            _prepare(student, examples, job, settings.aim) for job, student in self.students.items()
        ]
        self._root_weight = torch.stack(
            [root_weights(pools, settings.batch_size) for pools in self._pools]
        )
        self._draws = [np.random.default_rng([job.seed, 1]) for job in self.students]
        self._solver = architecture.solver(
            [student.net for student in self.students.values()],
            lr=settings.lr,
            steps=self.steps * settings.epochs,
        )

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the next epoch's batches as `step` takes them; none if the solver takes no steps.

        Rows are drawn with replacement. The rows of a job depend only on its seed and its pools.
        """
        if not self._solver.takes_steps:
            return
        for start in range(0, self.steps, DRAWN_STEPS):
            n = min(DRAWN_STEPS, self.steps - start)
            jobs = zip(self.students.values(), self._pools, self._draws, strict=True)
            drawn = [self._draw(n, *job) for job in jobs]
            # Both of shape (n, jobs, rows, ...), with one entry per step.
            z, t = (torch.stack(tensors, 1) for tensors in zip(*drawn, strict=True))
            yield from zip(z, t, strict=True)

    def _draw(
        self, n: int, student: Student, pools: Sequence[Pool], draw: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Draw n batches of one job: features (n, rows, ...) and targets (n, rows)."""
        of_pools = list(zip(pools, quotas(pools, self._batch_size), strict=True))
        picks = [draw.integers(len(pool.y), size=(n, quota)) for pool, quota in of_pools]
        parts = [
            pool.take(student, torch.from_numpy(rows))
            for pool, rows in zip(pools, picks, strict=True)
        ]
        z_parts, t_parts = zip(*parts, strict=True)
        return torch.cat(z_parts, 1), torch.cat(t_parts, 1)

    def step(self, z: Tensor, t: Tensor) -> Tensor:
        """Move the weights of all jobs by one batch.

        Args:
            z: standardised features, float64 of shape (jobs, rows, features) or
                (jobs, rows, window, features).
            t: standardised targets, float64 of shape (jobs, rows).

        Returns:
            The losses before the step: weighted mean squared error, float64 of shape (jobs,).
        """
        return self._solver.step(z, t, self._root_weight)

    def end_epoch(self, number: int, losses: Sequence[Tensor]) -> Mapping[Job, float]:
        """Write the weights to the students, and return each job's loss of the epoch.

        Args:
            number: number of the epoch, from 1.
            losses: the losses that `step` returned for each batch of the epoch.

        Raises:
            InputError: a loss or a weight is no longer finite.
        """
        jobs = list(zip(self.students.values(), self._pools, strict=True))
        mean = self._solver.end_epoch(number, losses, [_rows_of(*job) for job in jobs])
        for student, pools in jobs:
            if student.net.settles:
                with torch.no_grad():
                    student.net.settle(_statistics_rows(student, pools))
        return dict(zip(self.students, mean.tolist(), strict=True))


def _prepare(student: Student, examples: Examples, job: Job, aim: Aim) -> list[Pool]:
    """Standardise a student by the examples that its job may see; return the job's pools."""
    seen = examples.without(job.hold_out)
    student.standardise_by(torch.from_numpy(seen.frames), torch.from_numpy(seen.y_N))
    # A lower degree cannot follow the teacher over the whole box, so content would pay for it.
    even = isinstance(student.net, Polynomial) and student.net.degree >= LEAST_EVEN_DEGREE
    return make_pools(seen, job, student.x_mean_F.numpy(), aim, even=even)


def _rows_of(student: Student, pools: Sequence[Pool]) -> Rows:
    """Return all rows of a job's pools."""
    even = next((pool for pool in pools if pool.even), None)
    parts = _weighted_parts(student, [pool for pool in pools if not pool.even])
    if even is None:
        return Rows(parts)
    return Rows(parts, (even.share.loss, *even.take(student, slice(None))))


def _weighted_parts(student: Student, pools: Sequence[Pool]) -> Parts:
    """Yield all rows of a job's pools with the weight of each row; the weights add up to one."""
    total = sum(pool.share.loss for pool in pools)
    for pool in pools:
        weight = pool.share.loss / total / len(pool.y)
        for z, t in pool.parts(student):
            yield weight, z, t


def _statistics_rows(student: Student, pools: Sequence[Pool]) -> Tensor:
    """Return standardised rows in the proportions of a batch, as the net saw them in training."""
    of_pools = zip(pools, quotas(pools, STATISTICS_ROWS), strict=True)
    return torch.cat(
        [pool.take(student, torch.arange(quota) % len(pool.y))[0] for pool, quota in of_pools]
    )
