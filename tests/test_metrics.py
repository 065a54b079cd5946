"""The error measure that training and judging share."""

import numpy as np
import pytest

from vmaf_train.metrics import rmse


def test_rmse_is_the_root_of_the_mean_square():
    # sqrt((3^2 + 4^2 + 0) / 3)
    given = rmse(np.array([13.0, 16.0, 30.0]), np.array([10.0, 20.0, 30.0]))
    assert given == pytest.approx((25 / 3) ** 0.5)
    assert isinstance(given, float)
