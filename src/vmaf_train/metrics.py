"""The error metric that training and judging share."""

import numpy as np


def rmse(score_N: np.ndarray, truth_N: np.ndarray) -> float:
    """Return the root mean squared error of scores, in score points; both of shape (n,)."""
    return float(np.sqrt(np.mean((score_N - truth_N) ** 2)))
