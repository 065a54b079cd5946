"""A batched fit: its students, its batches and its epochs."""

import dataclasses

import numpy as np
import pytest
import torch
from fits import weights_of

from vmaf_train.features import CANONICAL
from vmaf_train.frames.splits import split
from vmaf_train.students.architectures import build
from vmaf_train.students.batched_fit import BatchedFit
from vmaf_train.students.settings import Job, Settings
from vmaf_train.students.training import fit

SETTINGS = Settings(epochs=3, batch_size=32, teacher_points=0)


@pytest.fixture(scope="module")
def table(make_table):
    return make_table()


def steps_of(batched):
    return [batched.step(z, t) for z, t in batched.batches()]


def test_students_start_with_the_weights_of_their_seeds(table):
    jobs = [Job(seed=0), Job(("Beta",), seed=3)]
    students = BatchedFit("mlp_small", table, jobs, SETTINGS).students
    assert list(students) == jobs
    for job in jobs:
        fresh = build("mlp_small", CANONICAL.features, job.seed)
        assert weights_of(students[job]) == weights_of(fresh)


def test_a_student_is_standardised_by_the_sources_that_its_job_may_see(table):
    job = Job(("Gamma",), 0, 128)
    student = BatchedFit("mlp_small", table, [Job(), job], SETTINGS).students[job]
    seen, _ = split(table, "Gamma")
    np.testing.assert_allclose(student.x_mean_F.numpy(), seen.x_NF.mean(0), rtol=1e-12)
    np.testing.assert_allclose(student.x_std_F.numpy(), seen.x_NF.std(0), rtol=1e-12)
    assert float(student.y_mean) == pytest.approx(seen.y_N.mean(), rel=1e-12)
    assert float(student.y_std) == pytest.approx(seen.y_N.std(), rel=1e-12)


@pytest.mark.parametrize(
    ("arch", "epochs", "n_batches"),
    [("mlp_small", 3, 12), ("mlp_bn", 3, 12), ("linear", 1, 0), ("teacher_svr", 0, 0)],
)
def test_only_solvers_that_take_steps_have_batches(arch, epochs, n_batches, table):
    batched = BatchedFit(arch, table, [Job(), Job(("Beta",))], SETTINGS)
    assert (len(table), batched.steps) == (360, 12)
    assert batched.epochs == epochs
    assert len(list(batched.batches())) == n_batches


@pytest.mark.parametrize(("arch", "window"), [("mlp_small", ()), ("cnn1d", (5,))])
def test_a_batch_has_rows_of_every_job(arch, window, table):
    batched = BatchedFit(arch, table, [Job(), Job(("Beta",))], SETTINGS)
    z, t = next(batched.batches())
    assert z.shape == (2, 32, *window, 6)
    assert t.shape == (2, 32)
    assert z.dtype == t.dtype == torch.float64


@pytest.mark.parametrize("arch", ["mlp_small", "transformer"])
def test_the_loss_of_an_epoch_is_the_mean_of_those_of_its_steps(arch, table):
    train, val = split(table, "Gamma")
    losses = [float(loss) for loss in steps_of(BatchedFit(arch, train, [Job()], SETTINGS))]
    assert len(set(losses)) == len(losses) == 8
    reported = fit(arch, train, val, SETTINGS).history[0].train_loss
    assert reported == pytest.approx(np.mean(losses), rel=1e-12)


def test_students_have_the_solvers_weights_after_an_epoch_and_not_before(table):
    job = Job()
    batched = BatchedFit("mlp_small", table, [job], SETTINGS)
    fresh = weights_of(batched.students[job])
    losses = steps_of(batched)
    assert weights_of(batched.students[job]) == fresh
    batched.end_epoch(1, losses)
    assert weights_of(batched.students[job]) != fresh


def test_each_job_has_its_own_loss(table):
    jobs = [Job(), Job(("Beta",)), Job(seed=1)]
    together = BatchedFit("mlp_small", table, jobs, SETTINGS)
    losses = together.end_epoch(1, steps_of(together))
    for job in jobs:
        alone = BatchedFit("mlp_small", table, [job], SETTINGS)
        assert alone.end_epoch(1, steps_of(alone)) == {job: losses[job]}
    assert len(set(losses.values())) == 3


def test_lr_0_takes_the_solvers_default(table):
    default, zero, other = (
        BatchedFit("mlp_small", table, [Job()], dataclasses.replace(SETTINGS, lr=lr))
        for lr in (0.3, 0.0, 0.1)
    )
    weights = []
    for batched in (default, zero, other):
        batched.end_epoch(1, steps_of(batched))
        weights.append(weights_of(batched.students[Job()]))
    assert weights[0] == weights[1] != weights[2]
