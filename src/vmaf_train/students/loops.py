"""The loops that run the epochs of a batched fit: the plain loop, or Lightning's Trainer."""

from collections.abc import Callable, Mapping

from vmaf_train.errors import InputError
from vmaf_train.students.architectures import Architecture, Student
from vmaf_train.students.batched_fit import BatchedFit
from vmaf_train.students.settings import LIGHTNING, PLAIN, Job

# Called with the number of the epoch, from 1, and the loss and the student of each job.
OnEpoch = Callable[[int, Mapping[Job, float], Mapping[Job, Student]], None]
# Runs all epochs of a batched fit.
Loop = Callable[[BatchedFit, OnEpoch | None], None]


def plain_loop(batched: BatchedFit, on_epoch: OnEpoch | None) -> None:
    """Run all epochs of a batched fit."""
    for number in range(1, batched.epochs + 1):
        if batched.cancelled:
            return
        losses = [batched.step(z, t) for z, t in batched.batches()]
        mean = batched.end_epoch(number, losses)
        if on_epoch:
            on_epoch(number, mean, batched.students)


def find_loop(trainer: str, architecture: Architecture) -> Callable[[str, str], Loop]:
    """Return the function that makes a trainer's loop from an MLflow run id and a tracking URI.

    Raises:
        InputError: there is no such trainer, it cannot fit this architecture, or its extra is
            missing.
    """
    if trainer not in (PLAIN, LIGHTNING):
        raise InputError(f"unknown trainer {trainer!r}; choose one of: {PLAIN}, {LIGHTNING}")
    if trainer == PLAIN:
        return lambda run_id, tracking_uri: plain_loop
    if not architecture.takes_steps:
        raise InputError(
            f"trainer lightning runs steps, and {architecture.name} takes none; use trainer=plain"
        )
    try:
        from vmaf_train.students.lightning import lightning_loop
    except ModuleNotFoundError as error:
        raise InputError(
            "trainer lightning needs an extra; run: pip install 'vmaf-train[lightning]'"
        ) from error
    return lightning_loop
