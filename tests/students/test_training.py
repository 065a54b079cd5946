"""Fits: what they depend on, what they do not depend on, and how they end."""

import dataclasses

import numpy as np
import pytest
import torch
from fits import bytes_by_job, bytes_of, random_features, scores_of, weights_of

from vmaf_train.errors import InputError
from vmaf_train.features import CANONICAL
from vmaf_train.frames.splits import split
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.students.architectures import ARCHITECTURES, build
from vmaf_train.students.examples import training_rows
from vmaf_train.students.export import check_same_scores
from vmaf_train.students.settings import Job, Settings
from vmaf_train.students.solvers import Adam
from vmaf_train.students.training import fit, fit_many
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

FITTED = tuple(arch for arch, row in ARCHITECTURES.items() if row.trained)


STEPPED = tuple(arch for arch, row in ARCHITECTURES.items() if row.takes_steps)


SHORT = Settings(epochs=3, batch_size=32, teacher_points=128)


WITHOUT_POINTS = dataclasses.replace(SHORT, teacher_points=0)


@pytest.fixture(scope="module")
def table(make_table):
    return make_table()


@pytest.fixture
def rows(table):
    """Training and validation rows."""
    return split(table, "Gamma")


def fitted(arch, train, val, settings=SHORT):
    return bytes_of(fit(arch, train, val, settings).student)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_same_seed_gives_the_same_onnx_bytes(arch, rows):
    assert fitted(arch, *rows) == fitted(arch, *rows)


@pytest.mark.parametrize("arch", FITTED)
def test_another_seed_gives_other_bytes(arch, rows):
    assert fitted(arch, *rows) != fitted(arch, *rows, dataclasses.replace(SHORT, seed=1))


def test_the_seed_sets_the_batch_order_too(rows, monkeypatch):
    drawn = build("mlp_small", CANONICAL.features, 0)
    fresh = {name: weights.clone() for name, weights in drawn.state_dict().items()}

    def same_start(arch, features, seed, teacher):
        drawn.load_state_dict(fresh)
        return drawn

    monkeypatch.setattr("vmaf_train.students.batched_fit.build", same_start)
    first = fitted("mlp_small", *rows, WITHOUT_POINTS)
    assert fitted("mlp_small", *rows, dataclasses.replace(WITHOUT_POINTS, seed=1)) != first
    assert fitted("mlp_small", *rows, WITHOUT_POINTS) == first


@pytest.mark.parametrize("arch", FITTED)
def test_the_validation_rows_change_nothing_in_the_student(arch, rows):
    train, val = rows
    moved = dataclasses.replace(val, x_NF=val.x_NF * 3 + 1, y_N=val.y_N / 2)
    assert fitted(arch, train, moved) == fitted(arch, train, val)


@pytest.mark.parametrize("arch", FITTED)
def test_a_held_out_source_changes_nothing_in_the_student(arch, table):
    gone = np.array(table.clip_sources)[table.clip_N] == "Beta"
    other = dataclasses.replace(
        table,
        x_NF=np.where(gone[:, None], table.x_NF[::-1] * 0.3, table.x_NF),
        y_N=np.where(gone, 100 - table.y_N, table.y_N),
    )
    jobs = [Job(("Beta",), 0, 128), Job(("Beta",), 0, 0), Job((), 0, 128)]
    before, after = (bytes_by_job(fit_many(arch, one, jobs, SHORT)) for one in (table, other))
    assert [before[job] == after[job] for job in jobs] == [True, True, False]


@pytest.mark.parametrize("arch", FITTED)
def test_a_student_has_the_same_bytes_alone_and_in_company(arch, table):
    jobs = [
        Job((source,), seed, points)
        for source in table.sources
        for seed in (0, 1)
        for points in (128, 0)
    ]
    together = fit_many(arch, table, jobs, SHORT)
    for job in (jobs[0], jobs[3], jobs[10]):
        alone = fit_many(arch, table, [job], SHORT)[job]
        assert bytes_of(alone) == bytes_of(together[job])
        # Adam's weights differ by 1e-15, which the file's float32 hides; all others are equal.
        if ARCHITECTURES[arch].solver is not Adam:
            assert weights_of(alone) == weights_of(together[job])
    few = fit_many(arch, table, jobs[4:9], SHORT)
    assert bytes_by_job(few) == bytes_by_job({job: together[job] for job in jobs[4:9]})


def test_a_job_that_is_repeated_is_fitted_once(table):
    job, other = Job(("Beta",)), Job(("Alpha",))
    fitted_once = fit_many("mlp_small", table, [job, other], WITHOUT_POINTS)
    repeated = fit_many("mlp_small", table, [job, other, job], WITHOUT_POINTS)
    assert list(repeated) == [job, other]
    assert bytes_by_job(repeated) == bytes_by_job(fitted_once)


@pytest.mark.parametrize("batch_size", [16, 240])
@pytest.mark.parametrize("arch", STEPPED)
def test_company_that_learns_from_more_rows_changes_nothing(arch, batch_size, table):
    # Gamma keeps one of its three clips.
    kept = table.clip_N < 7
    uneven = dataclasses.replace(
        table,
        x_NF=table.x_NF[kept],
        y_N=table.y_N[kept],
        clip_N=table.clip_N[kept],
        clips=table.clips[:7],
        clip_sources=table.clip_sources[:7],
    )
    settings = dataclasses.replace(SHORT, batch_size=batch_size)
    jobs = [Job(hold_out, 0, 64) for hold_out in ((), *((source,) for source in table.sources))]
    for job, student in fit_many(arch, uneven, jobs, settings).items():
        alone = fit_many(arch, uneven, [job], settings)[job]
        assert bytes_of(alone) == bytes_of(student)


@pytest.fixture
def cores():
    """Sets the number of torch's threads, among which jobs are divided."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("arch", ["quartic", "mlp_small", "mlp_bn"])
def test_jobs_divided_among_cores_come_back_in_their_order_as_from_one_core(arch, table, cores):
    jobs = [Job((source,), seed, 64) for seed in (0, 1) for source in table.sources][:5]
    cores(1)
    expected = bytes_by_job(fit_many(arch, table, jobs, SHORT))
    for n in (2, 3, 8):
        cores(n)
        given = fit_many(arch, table, jobs, SHORT)
        assert list(given) == jobs
        assert bytes_by_job(given) == expected
        assert torch.get_num_threads() == n


def test_a_fit_that_fails_on_one_core_ends_those_on_the_others(table, cores):
    broken = dataclasses.replace(table, y_N=np.where(np.arange(len(table)) == 7, np.nan, table.y_N))
    # Row 7 is Alpha's, so the second job never fails and would run for hours.
    jobs = [Job(("Beta",)), Job(("Alpha",))]
    endless = dataclasses.replace(WITHOUT_POINTS, epochs=100_000)
    cores(2)
    with pytest.raises(InputError, match="training diverged in epoch 1"):
        fit_many("mlp_small", broken, jobs, endless)
    assert torch.get_num_threads() == 2


def test_points_bound_the_error_far_from_the_training_rows(rows):
    near_NF = 0.8 + 0.1 * rows[0].x_NF * (1, 1, 1, 1, 1, 0.1)
    near_N = DEFAULT_TEACHER.score(near_NF, CANONICAL.features)
    train = dataclasses.replace(rows[0], x_NF=near_NF, y_N=near_N)
    done = fit("quartic", train, rows[1], Settings(teacher_points=2048))
    x_NF = random_features(2000)
    truth_N = DEFAULT_TEACHER.score(x_NF, CANONICAL.features)
    errors = [
        np.abs(scores_of(student, x_NF) - truth_N).max()
        for student in (done.student, done.without_points)
    ]
    assert errors[0] < 1 < 40 < errors[1]


def test_a_fit_with_points_comes_with_the_same_fit_without_them(rows):
    done = fit("mlp_small", *rows, SHORT)
    assert bytes_of(done.without_points) == fitted("mlp_small", *rows, WITHOUT_POINTS)
    assert bytes_of(done.without_points) != bytes_of(done.student)
    assert fit("mlp_small", *rows, WITHOUT_POINTS).without_points is None


def test_a_default_fit_follows_the_teacher_on_a_source_it_never_saw(rows):
    done = fit("mlp_small", *rows, Settings())
    error_N = scores_of(done.student, rows[1].x_NF) - rows[1].y_N
    assert np.sqrt(np.mean(error_N**2)) < 0.3


@pytest.mark.parametrize("arch", FITTED)
def test_no_epochs_keep_the_initial_weights_and_leave_no_history(arch, rows):
    done = fit(arch, *rows, Settings(epochs=0, seed=5))
    assert weights_of(done.student) == weights_of(build(arch, CANONICAL.features, 5))
    assert done.history == ()


@pytest.mark.parametrize("arch", STEPPED)
def test_more_epochs_reduce_the_training_loss(arch, rows):
    losses = [
        fit(arch, *rows, dataclasses.replace(WITHOUT_POINTS, epochs=n)).history[-1].train_loss
        for n in (1, 12)
    ]
    assert losses[0] > 2 * losses[1]


@pytest.mark.parametrize("arch", ["mlp_small", "mlp_bn", "cnn1d"])
def test_every_epoch_is_reported_with_the_error_on_the_validation_rows(arch, rows):
    told = []
    done = fit(arch, *rows, SHORT, on_epoch=told.append)
    assert [epoch.number for epoch in told] == [1, 2, 3]
    assert done.history == tuple(told)
    # Clip by clip, since cnn1d reads windows.
    val = rows[1]
    clips = [val.x_NF[val.rows_of(clip)] for clip in range(len(val.clips))]
    error_N = np.concatenate([scores_of(done.student, x_TF) for x_TF in clips]) - val.y_N
    assert told[-1].val_rmse == pytest.approx(np.sqrt(np.mean(error_N**2)), rel=1e-6)
    assert len({epoch.val_rmse for epoch in told}) == 3


def test_least_squares_reports_one_epoch_with_its_loss(rows):
    (epoch,) = fit("linear", *rows, WITHOUT_POINTS).history
    train = rows[0]
    design = np.column_stack([train.x_NF, np.ones(len(train))])
    residual_N = design @ np.linalg.lstsq(design, train.y_N, rcond=None)[0] - train.y_N
    expected = np.var(residual_N) / np.var(train.y_N)
    assert epoch.number == 1
    assert epoch.train_loss == pytest.approx(expected, rel=1e-4)


def test_the_teacher_itself_is_not_trained(rows):
    done = fit("teacher_svr", *rows, SHORT)
    assert done.history == ()
    np.testing.assert_allclose(
        scores_of(done.student, rows[1].x_NF), rows[1].y_N, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("arch", ["mlp_small", "mlp_bn"])
@pytest.mark.parametrize("column", ["x_NF", "y_N"])
def test_a_loss_that_is_nan_ends_the_fit_and_names_the_epoch_and_the_rate(arch, column, rows):
    train, val = rows
    values = getattr(train, column).copy()
    values[7] = np.nan
    broken = dataclasses.replace(train, **{column: values})
    with pytest.raises(
        InputError, match=r"training diverged in epoch 1; pass a lower lr than 0\.5"
    ):
        fit(arch, broken, val, dataclasses.replace(WITHOUT_POINTS, lr=0.5))


@pytest.mark.parametrize("arch", ["mlp_bn", "transformer"])
def test_weights_that_overflow_end_the_fit(arch, rows):
    with pytest.raises(
        InputError, match=r"training diverged in epoch 1; pass a lower lr than 1e\+200"
    ):
        fit(arch, *rows, dataclasses.replace(WITHOUT_POINTS, lr=1e200))


@pytest.mark.parametrize("arch", FITTED)
@pytest.mark.parametrize("constant", [0.0, 1.0, 1 / 3])
def test_a_constant_feature_changes_no_score_and_gives_no_nan(arch, constant, rows):
    train, val = (dataclasses.replace(part, x_NF=part.x_NF.copy()) for part in rows)
    train.x_NF[:, 1] = val.x_NF[:, 1] = constant
    student = fit(arch, train, val, WITHOUT_POINTS).student
    exported = OnnxStudent(bytes_of(student), arch)
    check_same_scores(exported, student, train.x_NF)
    held_N = exported.score(val.x_NF)
    assert np.isfinite(held_N).all() and np.ptp(held_N) > 10
    # Rounded to float32, the constant differs in its last digits and must hardly move the score.
    val.x_NF[:, 1] = np.float32(constant)
    np.testing.assert_allclose(exported.score(val.x_NF), held_N, rtol=0, atol=1e-3)


@pytest.mark.parametrize("arch", FITTED)
def test_constant_scores_are_learnt_as_that_constant(arch, rows):
    train, val = (dataclasses.replace(part, y_N=np.full(len(part), 42.0)) for part in rows)
    settings = dataclasses.replace(WITHOUT_POINTS, epochs=30)
    scored_N = OnnxStudent(fitted(arch, train, val, settings), arch).score(train.x_NF[:40])
    assert np.abs(scored_N - 42).max() < 0.5


@pytest.mark.parametrize("arch", ["cubic", "mlp_small", "mlp_bn", "cnn1d"])
@pytest.mark.parametrize(("points", "size"), [(1, 64), (2, 1), (3, 3)])
def test_few_points_and_small_batches_can_be_fitted(arch, points, size, rows):
    train = rows[0]
    assert len(training_rows(train, Job((), 0, points))[1]) == len(train) + points
    done = fit(arch, train, train, Settings(epochs=1, batch_size=size, teacher_points=points))
    assert np.isfinite([(epoch.train_loss, epoch.val_rmse) for epoch in done.history]).all()
