"""The nets, each against its definition."""

import numpy as np
import pytest
import torch
from fits import random_features

from vmaf_train.features import CANONICAL
from vmaf_train.students.architectures import ARCHITECTURES, build
from vmaf_train.students.nets import WINDOW, BatchNorm, Polynomial, SupportVectors
from vmaf_train.teacher.teachers import DEFAULT_TEACHER


def test_a_polynomial_has_every_monomial_once_and_no_other():
    draw = np.random.default_rng(0)
    for degree in range(1, 6):
        net, x_NF = Polynomial(3, degree), draw.normal(size=(4, 3))
        powers = [
            (a, b, c) for a in range(6) for b in range(6) for c in range(6) if a + b + c <= degree
        ]
        expected = sorted(np.prod(x_NF[0] ** np.array(power)) for power in powers)
        given = sorted(net.expand(torch.from_numpy(x_NF))[0].numpy())
        np.testing.assert_allclose(given, expected, rtol=1e-12)


def test_a_polynomials_columns_are_in_the_order_of_its_monomials():
    net, x_NF = Polynomial(3, 4), np.random.default_rng(0).normal(size=(4, 3))
    expected = [np.prod(x_NF[:, list(monomial)], axis=1) for monomial in net.monomials]
    given = net.expand(torch.from_numpy(x_NF)).numpy()
    np.testing.assert_allclose(given, np.stack(expected, 1), rtol=1e-12)


@pytest.mark.parametrize("arch", ["quadratic", "mlp_small", "mlp_bn", "cnn1d", "transformer"])
def test_a_net_scores_each_job_of_a_leading_axis_as_it_scores_it_alone(arch):
    net = build(arch, CANONICAL.features, 0).net.eval()
    window = (WINDOW,) if ARCHITECTURES[arch].window > 1 else ()
    z = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 20, *window, 6)))
    with torch.no_grad():
        together = net(z)
        alone = torch.stack([net(each) for each in z])
    assert together.shape == (3, 20)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


def test_batch_normalisation_uses_the_batchs_statistics_in_training_and_the_settled_ones_after():
    norm, x = BatchNorm(2), torch.tensor([[1.0, 10.0], [3.0, 30.0]], dtype=torch.float64)
    np.testing.assert_allclose(norm(x).detach().numpy(), [[-1, -1], [1, 1]], rtol=1e-4)
    norm.eval()
    torch.testing.assert_close(norm(x), x)
    norm.mean.copy_(torch.tensor([[1.0, 10.0]]))
    norm.deviation.copy_(torch.tensor([[2.0, 10.0]]))
    assert norm(x).tolist() == [[0, 0], [1, 2]]


def test_settled_statistics_are_those_of_training_on_the_same_rows_in_every_layer():
    net, x = build("mlp_bn", CANONICAL.features, 0).net, torch.from_numpy(random_features(200) * 3)
    with torch.no_grad():
        expected, fresh = net.train()(x), net.eval()(x)
        net.settle(x)
        torch.testing.assert_close(net(x), expected, rtol=0, atol=1e-12)
    assert (fresh - expected).abs().max() > 0.1


def test_the_support_vectors_are_the_unclipped_teacher():
    x_NF = random_features(300)
    expected_N = DEFAULT_TEACHER.score(x_NF, CANONICAL.features, clip=False)
    assert expected_N.min() < 0
    given_N = SupportVectors(6, DEFAULT_TEACHER)(torch.from_numpy(x_NF)).numpy()
    np.testing.assert_allclose(given_N, expected_N, rtol=0, atol=1e-9)
