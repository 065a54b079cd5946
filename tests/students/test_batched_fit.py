"""A batched fit: its students, its batches and its epochs."""

import dataclasses

import numpy as np
import pytest
import torch
from fits import weights_of

from vmaf_train.features import CANONICAL
from vmaf_train.frames.splits import split
from vmaf_train.students.architectures import build, windows
from vmaf_train.students.batched_fit import BatchedFit
from vmaf_train.students.examples import training_rows
from vmaf_train.students.nets import WINDOW
from vmaf_train.students.settings import Job, Settings
from vmaf_train.students.training import fit
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

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


# Batches of corpus rows and teacher's points.


def unstandardised(student, z):
    """Return raw feature rows."""
    return (z * student.x_std_F + student.x_mean_F).numpy()


def batched_fit(arch, table, points=256):
    """Return a batched fit of one job in batches of 64 rows, and its student."""
    settings = Settings(epochs=1, batch_size=64, teacher_points=points)
    batched = BatchedFit(arch, table, [Job((), 0, points)], settings)
    (student,) = batched.students.values()
    return batched, student


@pytest.fixture
def train(make_table):
    return split(make_table(), "Gamma")[0]


@pytest.mark.parametrize("arch", ["mlp_small", "cnn1d"])
@pytest.mark.parametrize(("points", "corpus_rows"), [(256, 32), (0, 64)])
def test_a_batch_is_half_corpus_with_points_and_all_corpus_without(
    arch, points, corpus_rows, train
):
    batched, student = batched_fit(arch, train, points)
    window = student.architecture.window
    parts = [torch.from_numpy(train.x_NF[train.rows_of(clip)]) for clip in range(len(train.clips))]
    parts = [(part - student.x_mean_F) / student.x_std_F for part in parts]
    # The student itself makes the windows of a clip like this.
    known = torch.cat([windows(part, window) if window > 1 else part for part in parts]).flatten(1)
    batches = list(batched.batches())
    assert len(batches) == batched.steps == 4
    for z, _ in batches:
        off = (z[0].flatten(1)[:, None] - known).abs().amax(2).amin(1)
        assert off[:corpus_rows].max() < 1e-12
        assert (off[corpus_rows:] > 1e-6).all()


@pytest.mark.parametrize("arch", ["mlp_bn", "transformer"])
def test_targets_are_unclipped_teacher_scores_of_the_middle_frame(arch, train):
    batched, student = batched_fit(arch, train)
    lowest = []
    for z, t in batched.batches():
        frames = z[0] if z.ndim == 3 else z[0, :, WINDOW // 2]
        expected_N = DEFAULT_TEACHER.score(
            unstandardised(student, frames), CANONICAL.features, clip=False
        )
        np.testing.assert_allclose(
            t[0] * student.y_std + student.y_mean, expected_N, rtol=0, atol=1e-8
        )
        lowest.append(expected_N.min())
    assert min(lowest) < 0


@pytest.mark.parametrize("arch", ["mlp_small", "transformer"])
def test_the_loss_weighs_corpus_mixtures_and_cover_1_to_1_to_0_3(arch, train):
    batched, student = batched_fit(arch, train)
    z, t = next(batched.batches())
    with torch.no_grad():
        square = (student.net(z[0]) - t[0]) ** 2
    corpus, mixed, spread = (float(part.mean()) for part in square.split([32, 16, 16]))
    assert float(batched.step(z, t)) == pytest.approx(
        (corpus + mixed + 0.3 * spread) / 2.3, rel=1e-9
    )


def test_batch_normalisation_weighs_rows_as_a_batch_does(make_table):
    # 256 rows and 128 points of each kind fill whole batches: every row is used equally often.
    table = make_table(("Alpha",), clips=4, frames=64)
    batched, student = batched_fit("mlp_bn", table)
    batched.end_epoch(1, [batched.step(z, t) for z, t in batched.batches()])
    x_NF, _ = training_rows(table, Job((), 0, 256))
    z = (torch.from_numpy(x_NF) - student.x_mean_F) / student.x_std_F
    weight = torch.from_numpy(
        np.repeat((2.0, 1.0, 1.0), (256, 128, 128)) / np.repeat((256, 128, 128), (256, 128, 128))
    )
    layer, norm = student.net.layers[0]
    given = layer(z).detach()
    mean = (weight[:, None] * given).sum(0) / weight.sum()
    spread = (weight[:, None] * (given - mean) ** 2).sum(0) / weight.sum()
    torch.testing.assert_close(norm.mean[0], mean, rtol=0, atol=1e-10)
    torch.testing.assert_close(norm.deviation[0] ** 2, spread + 1e-5, rtol=0, atol=1e-10)
