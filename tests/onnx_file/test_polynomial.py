"""A polynomial as a sum of kernels: exact for every polynomial, with the same bits everywhere."""

from itertools import combinations_with_replacement

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmaf_train.errors import InputError
from vmaf_train.onnx_file.polynomial import DEGREES, kernels_of, product, unclipped
from vmaf_train.students.architectures import ARCHITECTURES, build
from vmaf_train.students.export import to_onnx
from vmaf_train.students.nets import Polynomial

SIX = ("adm2", "vif_scale0", "vif_scale1", "vif_scale2", "vif_scale3", "motion2")


def polynomial(degree, n_features, highest_F, draw):
    """Return a random polynomial of features that are rescaled to about 1."""
    exponents = [
        np.bincount(choice, minlength=n_features + 1)[1:]
        for choice in combinations_with_replacement(range(n_features + 1), degree)
    ]
    weights = draw.normal(size=len(exponents))

    def score(x_NF):
        powers_PN = [((x_NF / highest_F) ** exponent).prod(1) for exponent in exponents]
        return weights @ np.array(powers_PN)

    return score, len(exponents)


@given(
    degree=st.integers(1, 4),
    n_features=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
    reach=st.floats(-2, 2),
)
def test_every_polynomial_is_a_sum_of_as_many_kernels_as_it_has_monomials(
    degree, n_features, seed, reach
):
    draw = np.random.default_rng(seed)
    # Features of very different ranges, like those of libvmaf.
    highest_F = 10 ** (reach * draw.random(n_features))
    score, n_monomials = polynomial(degree, n_features, highest_F, draw)
    kernels = kernels_of(score, degree, np.zeros(n_features), highest_F)
    assert kernels.points_PF.shape == (n_monomials, n_features)
    x_NF = draw.random((200, n_features)) * highest_F
    np.testing.assert_allclose(kernels.score(x_NF), score(x_NF), rtol=0, atol=1e-10)


def test_most_coordinates_of_the_points_are_zero():
    kernels = kernels_of(lambda x_NF: x_NF[:, 0], 5, np.zeros(9), np.ones(9))
    assert np.mean(kernels.points_PF == 0) > 0.6


def test_the_degrees_are_those_of_the_architectures():
    nets = {name: row.net(6, None) for name, row in ARCHITECTURES.items() if row.trained}
    polynomials = {name: net for name, net in nets.items() if isinstance(net, Polynomial)}
    assert {name: net.degree for name, net in polynomials.items()} == DEGREES


@pytest.mark.parametrize("arch", DEGREES)
def test_the_onnx_file_is_read_in_float64_and_without_the_clip(arch):
    student = build(arch, SIX, seed=1)
    for weight in student.net.parameters():
        weight.data.normal_(0, 100)
    x_NF = np.random.default_rng(0).random((50, 6))
    expected_N = student.net(student_input(student, x_NF)).detach().numpy()
    score_N = unclipped(to_onnx(student, {}))(x_NF)
    # The weights of the file are float32.
    np.testing.assert_allclose(score_N, expected_N, rtol=1e-4, atol=1e-2)
    assert score_N.min() < -1 and score_N.max() > 101


def student_input(student, x_NF):
    import torch

    return (torch.from_numpy(x_NF) - student.x_mean_F) / student.x_std_F


def test_a_network_is_no_polynomial():
    content = to_onnx(build("mlp_small", SIX, seed=1), {})
    with pytest.raises(InputError, match="operators that no polynomial needs: Tanh"):
        unclipped(content)


def test_the_product_adds_in_the_order_of_the_columns():
    draw = np.random.default_rng(0)
    a_NK, b_KM = draw.normal(size=(7, 300)), draw.normal(size=(300, 5))
    one_by_one = sum((a_NK[:, k : k + 1] * b_KM[k] for k in range(300)), np.zeros((7, 5)))
    assert product(a_NK, b_KM).tolist() == one_by_one.tolist()
    np.testing.assert_allclose(product(a_NK, b_KM), a_NK @ b_KM, atol=1e-12)
