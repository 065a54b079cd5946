"""The teacher for feature sets that lack some of its features: a regression predicts these.

A missing VIF scale is predicted as exp(q(z)), q a quadratic polynomial of the set's standardised
features, because it is positive and varies by ratios. Other features are predicted as q(z): they
can be 0 on most frames. Chosen by
leave-one-source-out over the sources of the corpus `real`: docs/decisions/0008-natural-content.md.
"""

import math
from collections.abc import Sequence
from itertools import combinations_with_replacement

import numpy as np

from vmaf_train.teacher.teachers import Teacher

# Added to the diagonal of the normal equations, whose rows' weights add up to one.
RIDGE = 1e-4
# Logarithms are taken of values at least this large: a VIF of 0 has none.
SMALLEST = 1e-3
# Rows that are expanded at once, and rows that the regression reads; both bound memory.
ROWS_PER_CHUNK, MOST_ROWS = 65536, 262_144


class CompletedTeacher:
    """Predicts the features that a feature set lacks, then scores the rows with the teacher.

    The prediction is least squares with a small ridge on training rows, which have all features.
    If the set lacks nothing, this is the teacher itself.

    Args:
        teacher: scores the completed rows.
        features: names of the set's features, in order.
        x_NF: float64 of shape (rows, features), training rows: the features of the set.
        missing_NM: float64 of shape (rows, missing), the same rows: the features that the set
            lacks, in the order of `teacher.missing_from(features)`.
    """

    def __init__(
        self, teacher: Teacher, features: Sequence[str], x_NF: np.ndarray, missing_NM: np.ndarray
    ) -> None:
        missing = teacher.missing_from(features)
        self._teacher = teacher
        self._columns = (*features, *missing)
        self._box = teacher.box_of(missing)
        self._by_ratio_M = np.array([name.startswith("vif") for name in missing], dtype=bool)
        self._mean_F, deviation_F = x_NF.mean(0), x_NF.std(0)
        self._scale_F = np.where(deviation_F > 0, deviation_F, 1.0)
        self._weights_PM = np.zeros((0, 0))
        if missing:
            rows = slice(None, None, math.ceil(len(x_NF) / MOST_ROWS))
            target_NM = missing_NM[rows].copy()
            ratios = self._by_ratio_M
            target_NM[:, ratios] = np.log(np.maximum(target_NM[:, ratios], SMALLEST))
            self._weights_PM = _ridge(self._quadratic(x_NF[rows]), target_NM)

    def complete(self, x_NF: np.ndarray) -> np.ndarray:
        """Return the missing features of rows of the set: float64 of shape (frames, missing)."""
        if not len(self._by_ratio_M):
            return np.zeros((len(x_NF), 0))
        predicted_NM = np.empty((len(x_NF), len(self._by_ratio_M)))
        for start in range(0, len(x_NF), ROWS_PER_CHUNK):
            rows = slice(start, start + ROWS_PER_CHUNK)
            predicted_NM[rows] = self._quadratic(x_NF[rows]) @ self._weights_PM
        ratios = self._by_ratio_M
        most_M = np.log(self._box.highest_F[ratios])
        predicted_NM[:, ratios] = np.exp(np.minimum(predicted_NM[:, ratios], most_M))
        limited: np.ndarray = predicted_NM.clip(self._box.lowest_F, self._box.highest_F)
        return limited

    def score(self, x_NF: np.ndarray, clip: bool = True) -> np.ndarray:
        """Score feature vectors; see `Teacher.score`.

        Args:
            x_NF: float of shape (frames, features), raw libvmaf values.
            clip: limit scores to the teacher's `score_range`.

        Returns:
            float64 of shape (frames,), in score points.
        """
        completed = np.hstack([x_NF, self.complete(x_NF)])
        return self._teacher.score(completed, self._columns, clip=clip)

    def _quadratic(self, x_NF: np.ndarray) -> np.ndarray:
        """Return 1, the standardised features and their products of two, for each row."""
        z_NF = (x_NF - self._mean_F) / self._scale_F
        pairs = combinations_with_replacement(range(z_NF.shape[1]), 2)
        products = [z_NF[:, i] * z_NF[:, j] for i, j in pairs]
        return np.column_stack([np.ones(len(z_NF)), z_NF, *products])


def _ridge(a_NP: np.ndarray, b_NM: np.ndarray) -> np.ndarray:
    """Return argmin_w |a w - b|^2 / N + RIDGE |w|^2, without a penalty on the constant."""
    n = len(a_NP)
    penalty = RIDGE * np.eye(a_NP.shape[1])
    penalty[0, 0] = 0.0
    weights_PM: np.ndarray = np.linalg.solve(a_NP.T @ a_NP / n + penalty, a_NP.T @ b_NM / n)
    return weights_PM
