"""Fit students to the teacher's scores; all folds and seeds of an architecture step together."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from vmaf_train.features import find_feature_set
from vmaf_train.frames.table import FrameTable
from vmaf_train.metrics import rmse
from vmaf_train.reporting import Epoch
from vmaf_train.students.architectures import Student
from vmaf_train.students.batched_fit import BatchedFit
from vmaf_train.students.loops import Loop, OnEpoch, plain_loop
from vmaf_train.students.settings import Job, Settings


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted student.

    Attributes:
        student: the student.
        history: state of the fit after each epoch.
        without_points: the student of the same fit without the teacher's points; None if the fit
            had no points.
    """

    student: Student
    history: tuple[Epoch, ...]
    without_points: Student | None


def fit(
    arch: str,
    train: FrameTable,
    val: FrameTable,
    settings: Settings,
    *,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    loop: Loop | None = None,
) -> Fit:
    """Fit one student to `train`; the same seed on the same machine gives the same weights.

    Args:
        arch: name of the architecture.
        train: frames to learn from.
        val: frames to measure the error on after each epoch; they do not change the student.
        settings: settings of the fit.
        on_epoch: called with the state of the fit after each epoch.
        loop: runs the epochs; None is the plain loop.

    Raises:
        InputError: an arch or a feature set is unknown, or the loss is no longer finite.
    """
    wanted = Job(seed=settings.seed, teacher_points=settings.teacher_points)
    without_points = Job(seed=settings.seed)
    inputs = val.select(find_feature_set(settings.features, val.teacher.features).features)
    clips = [torch.from_numpy(inputs.x_NF[rows]) for rows in val.clip_rows]
    history = []

    def record(number: int, losses: Mapping[Job, float], students: Mapping[Job, Student]) -> None:
        # Clip by clip, because a student can read windows.
        with torch.inference_mode():
            score_N = torch.cat([students[wanted](x_TF) for x_TF in clips]).numpy()
        history.append(Epoch(number, losses[wanted], rmse(score_N, val.y_N)))
        on_epoch(history[-1])

    jobs = [wanted, without_points]
    students = fit_many(arch, train, jobs, settings, on_epoch=record, loop=loop)
    return Fit(
        students[wanted],
        tuple(history),
        students[without_points] if settings.teacher_points else None,
    )


def fit_many(
    arch: str,
    table: FrameTable,
    jobs: Sequence[Job],
    settings: Settings,
    *,
    on_epoch: OnEpoch | None = None,
    loop: Loop | None = None,
) -> dict[Job, Student]:
    """Fit one student per job; all jobs take each step together.

    The student of a job depends only on that job's sources, seed and points, not on the other jobs.
    Without `on_epoch` and `loop`, the jobs are divided among the cores.

    Args:
        arch: name of the architecture of all students.
        table: frames of every source.
        jobs: one per student; a repeated job counts once.
        settings: settings of all fits; `seed` and `teacher_points` are not read, the jobs have
            them.
        on_epoch: called with the state of all jobs after each epoch.
        loop: runs the epochs; None is the plain loop.

    Raises:
        InputError: an arch or a feature set is unknown, or a loss is no longer finite.
    """
    distinct = list(dict.fromkeys(jobs))
    cores = torch.get_num_threads()
    shares = 1 if on_epoch or loop else min(cores, len(distinct))
    # torch's threads wait for each other in busy loops, which is slow on a busy machine.
    torch.set_num_threads(1)
    try:
        # Build them one after the other: drawing weights sets torch's global seed.
        fits = [
            BatchedFit(arch, table, distinct[share::shares], settings) for share in range(shares)
        ]
        if shares == 1:
            (loop or plain_loop)(fits[0], on_epoch)
        else:
            _run_in_threads(fits)
    finally:
        torch.set_num_threads(cores)
    students = {job: student for each in fits for job, student in each.students.items()}
    return {job: students[job] for job in distinct}


def _run_in_threads(fits: Sequence[BatchedFit]) -> None:
    """Run each batched fit in a separate thread; if one fails, stop the others and raise."""
    with ThreadPoolExecutor(len(fits)) as pool:
        try:
            list(pool.map(lambda each: plain_loop(each, None), fits))
        except BaseException:
            for each in fits:
                each.cancelled = True
            raise
