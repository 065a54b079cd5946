"""The table of architectures, and the Student around a net."""

import dataclasses

import numpy as np
import pytest
import torch
from fits import random_features, scores_of, weights_of

from vmaf_train.errors import InputError
from vmaf_train.features import CANONICAL
from vmaf_train.students.architectures import ARCHITECTURES, build, find_architecture, windows
from vmaf_train.students.nets import WINDOW

PUBLISHED = {
    "linear": 7,
    "quadratic": 28,
    "cubic": 84,
    "quartic": 210,
    "quintic": 462,
    "mlp_small": 257,
    "mlp_medium": 2561,
    "mlp_bn": 1905,
    "cnn1d": 641,
    "transformer": 673,
    "teacher_svr": 0,
}


def test_the_architectures_are_as_published():
    assert {name: row.parameters for name, row in ARCHITECTURES.items()} == PUBLISHED


@pytest.mark.parametrize(("arch", "count"), PUBLISHED.items())
def test_a_student_has_the_published_number_of_parameters(arch, count):
    student = build(arch, CANONICAL.features, 0)
    assert sum(weights.numel() for weights in student.parameters()) == count
    assert student.n_parameters == count


def test_a_wrong_number_of_parameters_in_the_table_is_found_when_a_student_is_built(monkeypatch):
    wrong = dataclasses.replace(ARCHITECTURES["linear"], parameters=8)
    monkeypatch.setitem(ARCHITECTURES, "linear", wrong)
    with pytest.raises(AssertionError, match="linear"):
        build("linear", CANONICAL.features, 0)


def test_polynomials_are_solved_for_and_networks_take_steps_and_the_teacher_is_not_trained():
    stepped = {name for name, row in ARCHITECTURES.items() if row.takes_steps}
    untrained = {name for name, row in ARCHITECTURES.items() if not row.trained}
    assert stepped == {"mlp_small", "mlp_medium", "mlp_bn", "cnn1d", "transformer"}
    assert untrained == {"teacher_svr"}


def test_an_unknown_arch_is_refused_with_the_known_ones():
    choices = ", ".join(ARCHITECTURES)
    with pytest.raises(InputError, match=f"unknown arch 'mlp_tiny'; choose one of: {choices}"):
        find_architecture("mlp_tiny", CANONICAL.features)


def test_the_teachers_regressor_is_refused_without_all_of_its_features():
    with pytest.raises(
        InputError, match="teacher_svr is the teacher, which reads 6 features, not 5"
    ):
        build("teacher_svr", CANONICAL.features[:5], 0)


@pytest.mark.parametrize("arch", ["mlp_small", "mlp_bn", "cnn1d", "transformer"])
def test_initial_weights_depend_on_the_seed_only(arch):
    first = weights_of(build(arch, CANONICAL.features, 3))
    torch.rand(5)
    assert weights_of(build(arch, CANONICAL.features, 3)) == first
    assert weights_of(build(arch, CANONICAL.features, 4)) != first


def test_a_student_is_standardised_by_mean_and_deviation_and_a_constant_column_gets_deviation_1():
    student = build("linear", CANONICAL.features, 0)
    x_NF = random_features(50)
    x_NF[:, 2] = 0.5
    y_N = x_NF[:, 0] * 100
    student.standardise_by(torch.from_numpy(x_NF), torch.from_numpy(y_N))
    np.testing.assert_allclose(student.x_mean_F.numpy(), x_NF.mean(0), rtol=1e-12)
    deviation_F = np.where(np.arange(6) == 2, 1, x_NF.std(0))
    np.testing.assert_allclose(student.x_std_F.numpy(), deviation_F, rtol=1e-12)
    assert float(student.y_mean) == pytest.approx(y_N.mean(), rel=1e-12)
    assert float(student.y_std) == pytest.approx(y_N.std(), rel=1e-12)


def test_the_teachers_regressor_is_not_standardised():
    student = build("teacher_svr", CANONICAL.features, 0)
    x_NF = torch.from_numpy(random_features(50))
    student.standardise_by(x_NF, x_NF[:, 0] * 100)
    assert student.x_mean_F.tolist() == [0] * 6
    assert student.x_std_F.tolist() == [1] * 6
    assert (float(student.y_mean), float(student.y_std)) == (0, 1)


def test_a_students_scores_are_clipped():
    student = build("linear", CANONICAL.features, 0)
    with torch.no_grad():
        student.net.weight.fill_(100.0)
    scores_N = scores_of(student, random_features() - 0.5)
    assert (scores_N.min(), scores_N.max()) == (0.0, 100.0)


def test_a_window_is_the_frames_around_it_and_zero_beyond_the_clip():
    z_TF = torch.arange(1.0, 9.0).reshape(4, 2)
    around = windows(z_TF, WINDOW)
    assert around.shape == (4, WINDOW, 2)
    assert around[0].tolist() == [[0, 0], [0, 0], [1, 2], [3, 4], [5, 6]]
    assert around[3].tolist() == [[3, 4], [5, 6], [7, 8], [0, 0], [0, 0]]
