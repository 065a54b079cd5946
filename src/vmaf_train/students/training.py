"""Fit students to the teacher's scores, many at once: folds and seeds of one architecture share every step.

Seeds first, standardisation from the training rows only; what moves the weights is in solvers.py.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vmaf_train.errors import InputError
from vmaf_train.features import CANONICAL, SCORE_MAX, SCORE_MIN, find_feature_set
from vmaf_train.frames.table import FrameTable
from vmaf_train.reporting import Epoch as Epoch
from vmaf_train.students.architectures import Mlp, Polynomial, Student, build
from vmaf_train.students.settings import Job, Settings
from vmaf_train.students.solvers import Adam, GaussNewton, least_squares
from vmaf_train.teacher import points as sampling
from vmaf_train.teacher.svr import CompletedTeacher, missing_of

# Shares of the loss, and of the rows of a batch: corpus, mixtures, cover of the box.
LOSS_SHARES = (1.0, 1.0, 0.3)
BATCH_SHARES = (2, 1, 1)
STEPS_A_DRAW = 64
ROWS_A_PART = 16384
NORM_ROWS = 4096


OnEpoch = Callable[[int, Tensor, Sequence[Student]], None]
Loop = Callable[["Course", OnEpoch | None], None]


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
        z = (self.x[self.rows[picks]] - student.x_mean_F) / student.x_std_F
        if self.rows.ndim > 1:
            # Frames beyond a clip's ends are NaN: they stand for the mean.
            z = z.nan_to_num()
        return z, (self.y[picks] - student.y_mean) / student.y_std


def fit(
    arch: str,
    train: FrameTable,
    val: FrameTable,
    settings: Settings,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    loop: Loop | None = None,
) -> Fit:
    """Fit a student to `train`; `val` is only measured after each epoch and decides nothing.

    The same seed on the same machine gives the same weights.

    Raises:
        InputError: the loss is no longer a number.
    """
    jobs = [
        Job((), settings.seed, points)
        for points in sorted({settings.teacher_points, 0}, reverse=True)
    ]
    inputs = val.select(find_feature_set(settings.features).features)
    clips = [torch.from_numpy(inputs.x_NF[val.rows_of(clip)]) for clip in range(len(val.clips))]
    history = []

    def note(number: int, losses: Tensor, students: Sequence[Student]) -> None:
        with torch.inference_mode():
            residual_N = torch.cat([students[0](x_TF) for x_TF in clips]).numpy() - val.y_N
        history.append(Epoch(number, float(losses[0]), float(np.sqrt(np.mean(residual_N**2)))))
        on_epoch(history[-1])

    students = fit_many(arch, train, jobs, settings, note, loop)
    return Fit(students[0], tuple(history), students[1] if len(students) > 1 else None)


def fit_many(
    arch: str,
    table: FrameTable,
    jobs: Sequence[Job],
    settings: Settings,
    on_epoch: OnEpoch | None = None,
    loop: Loop | None = None,
) -> list[Student]:
    """Fit one student a job, all of them step by step together; each sees its own sources, seed and points only.

    Args:
        arch: of all of them.
        table: the rows of every source.
        jobs: what sets the students apart; the settings' own seed and points are not read.
        settings: what they share.
        on_epoch: told the epoch, the training losses of shape (jobs,) and the students as they are then.
        loop: what runs the course; the plain loop unless told otherwise.

    Raises:
        InputError: a loss is no longer a number.
    """
    cores = torch.get_num_threads()
    # Whoever follows the fit wants all of it at once; otherwise each core takes a share of the jobs.
    shares = 1 if on_epoch or loop else min(cores, len(jobs))
    # torch's own threads wait for one another by spinning, which a busy machine makes very long.
    torch.set_num_threads(1)
    try:
        # One after the other: drawing weights sets torch's one seed.
        courses = [Course(arch, table, jobs[share::shares], settings) for share in range(shares)]
        if shares == 1:
            (loop or plain_loop)(courses[0], on_epoch)
        else:
            with ThreadPoolExecutor(shares) as pool:
                try:
                    list(pool.map(lambda course: plain_loop(course, None), courses))
                except BaseException:
                    for course in courses:
                        course.cancelled = True
                    raise
    finally:
        torch.set_num_threads(cores)
    return [courses[place % shares].students[place // shares] for place in range(len(jobs))]


class Course:
    """A fit before its first step: freshly drawn students, their rows, and the solver that will move their weights.

    Attributes:
        students: one a job; their weights are those of the last `settle`.
        epochs: how many there are; least squares takes one, and what cannot be trained none.
        steps: batches an epoch.
        settings: of the fit.
        cancelled: set it to have the plain loop end after the epoch that runs.
    """

    def __init__(
        self, arch: str, table: FrameTable, jobs: Sequence[Job], settings: Settings
    ) -> None:
        self.settings, self.cancelled = settings, False
        inputs = table.select(find_feature_set(settings.features).features)
        self.students = [build(arch, inputs.features, job.seed).eval() for job in jobs]
        architecture = self.students[0].architecture
        # A last row of NaN stands for every frame beyond a clip's ends.
        x = np.concatenate([inputs.x_NF, np.full((1, len(inputs.features)), np.nan)])
        rows = (
            table.window_rows(architecture.window)
            if architecture.window > 1
            else np.arange(len(table))
        )
        self._pools = [
            _pools(student, table, job, x, rows)
            for student, job in zip(self.students, jobs, strict=True)
        ]
        self._weight = torch.stack([_root_weights(of, settings.batch_size) for of in self._pools])
        self._draws = [np.random.default_rng([job.seed, 1]) for job in jobs]
        # By the rows of all sources, whatever a job holds out: a fit must not depend on those beside it.
        self.steps = -(-len(table) // settings.batch_size)
        self.epochs = {"none": 0, "least_squares": min(1, settings.epochs)}.get(
            architecture.solver, settings.epochs
        )
        self._solver: GaussNewton | Adam | None = None
        if architecture.solver in ("gauss_newton", "adam"):
            solver = GaussNewton if architecture.solver == "gauss_newton" else Adam
            self._solver = solver(self.students, settings.lr, self.steps * settings.epochs)

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the next epoch's batches, none where the weights are solved for; see `step`."""
        if self._solver:
            yield from _batches(
                self.students, self._pools, self._draws, self.steps, self.settings.batch_size
            )

    def step(self, z: Tensor, t: Tensor) -> Tensor:
        """Move the weights of all students by a batch.

        Args:
            z: standardised features, float64 of shape (jobs, rows, features) or (jobs, rows, window, features).
            t: standardised targets, float64 of shape (jobs, rows).

        Returns:
            Weighted mean squared residuals before the step, float64 of shape (jobs,).
        """
        assert self._solver
        return self._solver.step(z, t, self._weight)

    def settle(self, number: int, losses: Sequence[Tensor]) -> Tensor:
        """End an epoch: give the students their weights and return the mean of its steps' losses.

        Raises:
            InputError: it is no longer a number.
        """
        if self._solver is None:
            return torch.tensor(
                [_solve(*one) for one in zip(self.students, self._pools, strict=True)]
            )
        mean = torch.stack(list(losses)).mean(0)
        self._solver.write_back(self.students)
        weights = [
            weights.detach() for student in self.students for weights in student.parameters()
        ]
        if not all(torch.isfinite(values).all() for values in (mean, *weights)):
            raise InputError(
                f"training diverged in epoch {number}; pass a lower lr than {self._solver.lr:g}"
            )
        for student, pools in zip(self.students, self._pools, strict=True):
            if isinstance(student.net, Mlp) and len(student.net.norms):
                # In a batch's proportions, or the statistics would not be those it was trained with.
                quotas = zip(pools, _quotas(len(pools), NORM_ROWS), strict=True)
                rows = torch.cat(
                    [pool.take(student, torch.arange(k) % len(pool.y))[0] for pool, k in quotas]
                )
                with torch.no_grad():
                    student.net.settle(rows)
        return mean


def plain_loop(course: Course, on_epoch: OnEpoch | None) -> None:
    """Run a course to its end."""
    for number in range(1, course.epochs + 1):
        if course.cancelled:
            return
        mean = course.settle(number, [course.step(z, t) for z, t in course.batches()])
        if on_epoch:
            on_epoch(number, mean, course.students)


def training_rows(table: FrameTable, job: Job) -> tuple[np.ndarray, np.ndarray]:
    """Return all that a frame-wise student of this job learns from: features (rows, features) and targets (rows,)."""
    student = build("linear", CANONICAL.features, job.seed)
    pools = _pools(student, table, job, table.select(student.features).x_NF, np.arange(len(table)))
    return np.concatenate([of.x[of.rows].numpy() for of in pools]), np.concatenate(
        [of.y.numpy() for of in pools]
    )


def _pools(
    student: Student, table: FrameTable, job: Job, x: np.ndarray, rows: np.ndarray
) -> list[_Pool]:
    """Standardise by the job's own rows, and return what it learns from: the corpus, and the teacher's points."""
    kept = np.isin(
        table.clip_N,
        [i for i, source in enumerate(table.clip_sources) if source not in job.hold_out],
    )
    x_NF, y_N, rows = x[: len(table)][kept], table.y_N[kept], rows[kept]
    student.standardise_by(torch.from_numpy(x_NF), torch.from_numpy(y_N))
    missing = missing_of(student.features)
    teacher = CompletedTeacher(student.features, x_NF, table.select(missing).x_NF[kept])
    if job.teacher_points and missing:
        # One truth for rows and points; what the features cannot tell would be fitted as if they could.
        y_N = teacher.score(x_NF, clip=False)
    elif job.teacher_points:
        # The clip is a kink that a student would spend its weights on; beyond it the teacher goes on smoothly.
        for clipped, beyond, limit in (
            (y_N >= SCORE_MAX, np.maximum, SCORE_MAX),
            (y_N <= SCORE_MIN, np.minimum, SCORE_MIN),
        ):
            y_N[clipped] = beyond(teacher.score(x_NF[clipped], clip=False), limit)
    pools = [
        _Pool(torch.from_numpy(x), torch.from_numpy(rows), torch.from_numpy(y_N), LOSS_SHARES[0])
    ]
    if not job.teacher_points:
        return pools

    draw = np.random.default_rng([job.seed, 0])
    examples = np.where(np.isnan(x[rows]), student.x_mean_F.numpy(), x[rows])
    mixed = sampling.mixtures(examples, student.features, -(-job.teacher_points // 2), draw)
    spread = sampling.cover((job.teacher_points // 2, *mixed.shape[1:-1]), student.features, draw)
    for points, share in zip((mixed, spread), LOSS_SHARES[1:], strict=True):
        middle = points if points.ndim == 2 else points[:, points.shape[1] // 2]
        labels = torch.from_numpy(teacher.score(middle, clip=False))
        places = torch.arange(points[..., 0].size).reshape(points.shape[:-1])
        pools.append(
            _Pool(torch.from_numpy(points.reshape(-1, points.shape[-1])), places, labels, share)
        )
    return [pool for pool in pools if len(pool.y)]


def _batches(
    students: Sequence[Student],
    pools: Sequence[Sequence[_Pool]],
    draws: Sequence[np.random.Generator],
    steps: int,
    size: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of all jobs: standardised features (jobs, size, ...) and targets (jobs, size).

    Drawn with replacement, a few batches at a time; what a job draws depends on its own generator alone.
    """
    quotas = [_quotas(len(pool), size) for pool in pools]
    for start in range(0, steps, STEPS_A_DRAW):
        n, drawn = min(STEPS_A_DRAW, steps - start), []
        for student, pool, quota, draw in zip(students, pools, quotas, draws, strict=True):
            picks = [
                torch.from_numpy(draw.integers(len(of.y), size=(n, k)))
                for of, k in zip(pool, quota, strict=True)
            ]
            parts = [of.take(student, rows) for of, rows in zip(pool, picks, strict=True)]
            drawn.append([torch.cat(tensors, 1) for tensors in zip(*parts, strict=True)])
        z, t = (torch.stack(tensors, 1) for tensors in zip(*drawn, strict=True))
        for step in range(n):
            yield z[step], t[step]


def _quotas(pools: int, size: int) -> list[int]:
    """Return how many rows of a batch each pool gives; the corpus gives what the others leave."""
    points = [size * share // sum(BATCH_SHARES[:pools]) for share in BATCH_SHARES[1:pools]]
    return [size - sum(points), *points]


def _root_weights(pools: Sequence[_Pool], size: int) -> Tensor:
    """Return the root of each batch row's weight in the loss, so that the pools have their shares of it."""
    quotas = _quotas(len(pools), size)
    total = sum(pool.share for pool, quota in zip(pools, quotas, strict=True) if quota)
    parts = [
        torch.full(
            (quota,), (pool.share / total * size / max(quota, 1)) ** 0.5, dtype=torch.float64
        )
        for pool, quota in zip(pools, quotas, strict=True)
    ]
    return torch.cat(parts)


def _solve(student: Student, pools: Sequence[_Pool]) -> float:
    """Solve for a student's weights from all rows of its pools; return the weighted mean squared error."""
    assert isinstance(student.net, Polynomial)
    total = sum(pool.share for pool in pools)
    return least_squares(
        student.net,
        (
            (
                pool.share / total / len(pool.y),
                *pool.take(student, slice(start, start + ROWS_A_PART)),
            )
            for pool in pools
            for start in range(0, len(pool.y), ROWS_A_PART)
        ),
    )
