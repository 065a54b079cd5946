"""Lightning's loop: the same students as the plain loop, and its own log."""

import dataclasses

import pytest
from fits import bytes_of, weights_of

from vmaf_train.errors import InputError
from vmaf_train.features import CANONICAL
from vmaf_train.frames.splits import split
from vmaf_train.students.architectures import build
from vmaf_train.students.lightning import lightning_loop
from vmaf_train.students.settings import Settings
from vmaf_train.students.training import fit

SHORT = Settings(epochs=3, batch_size=32, teacher_points=128)


@pytest.fixture
def rows(make_table):
    """Training and validation rows."""
    return split(make_table(), "Gamma")


@pytest.mark.parametrize("arch", ["mlp_small", "mlp_bn"])
def test_lightning_takes_the_same_steps_and_tells_the_same(arch, rows):
    plain, lightning = (fit(arch, *rows, SHORT, loop=loop) for loop in (None, lightning_loop()))
    assert bytes_of(lightning.student) == bytes_of(plain.student)
    assert bytes_of(lightning.without_points) == bytes_of(plain.without_points)
    assert lightning.history == plain.history


def test_lightning_runs_no_epochs_if_there_are_none(rows):
    done = fit("mlp_small", *rows, Settings(epochs=0, seed=5), loop=lightning_loop())
    assert weights_of(done.student) == weights_of(build("mlp_small", CANONICAL.features, 5))


def test_lightning_refuses_a_diverged_fit_as_the_plain_loop_does(rows):
    wild = dataclasses.replace(SHORT, teacher_points=0, lr=1e200)
    with pytest.raises(
        InputError, match=r"training diverged in epoch 1; pass a lower lr than 1e\+200"
    ):
        fit("mlp_bn", *rows, wild, loop=lightning_loop())


def test_lightning_logs_to_the_run_it_is_given(rows, store):
    import mlflow

    with mlflow.start_run() as run:
        done = fit("mlp_small", *rows, SHORT, loop=lightning_loop(run.info.run_id, store))
    logged = mlflow.get_run(run.info.run_id).data.metrics
    assert logged["lightning/train_loss"] == done.history[-1].train_loss
