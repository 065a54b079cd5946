"""The teacher for feature sets that lack some of its features: a regression predicts these."""

from collections.abc import Sequence

import numpy as np

from vmaf_train.teacher.teachers import Teacher

# Features closer than this share of the largest spread differ only by the log's six decimals:
# adm3 is computed from adm2 and aim.
ROUNDING = 1e-4


class CompletedTeacher:
    """Scores rows of a feature set with the teacher, after predicting what the set lacks.

    The prediction is linear least squares on training rows, which have all features. For a set
    that lacks nothing this is the teacher itself.

    Args:
        teacher: scores the completed rows.
        features: names of the set's features, in order.
        x_NF: float64 of shape (rows, features), the training rows' features of the set.
        missing_NM: float64 of shape (rows, missing), the same rows' features that the set lacks,
            in the order of `teacher.missing_from(features)`.
    """

    def __init__(
        self, teacher: Teacher, features: Sequence[str], x_NF: np.ndarray, missing_NM: np.ndarray
    ) -> None:
        missing = teacher.missing_from(features)
        self._teacher = teacher
        self._columns = (*features, *missing)
        self._highest_M = teacher.highest_of(missing)
        self._mean_F, self._mean_M = x_NF.mean(0), missing_NM.mean(0)

        deviation_F = x_NF.std(0)
        self._scale_F = np.where(deviation_F > 0, deviation_F, 1.0)
        self._slopes_FM = np.zeros((len(features), len(missing)))
        if missing:
            # slopes = argmin |z slopes - (missing - mean)|^2
            z_NF = (x_NF - self._mean_F) / self._scale_F
            centred_NM = missing_NM - self._mean_M
            self._slopes_FM = np.linalg.lstsq(z_NF, centred_NM, rcond=ROUNDING)[0]

    def score(self, x_NF: np.ndarray, clip: bool = True) -> np.ndarray:
        """Score rows, float of shape (frames, features), to float64 of shape (frames,)."""
        z_NF = (x_NF - self._mean_F) / self._scale_F
        predicted_NM = np.clip(z_NF @ self._slopes_FM + self._mean_M, 0, self._highest_M)
        return self._teacher.score(np.hstack([x_NF, predicted_NM]), self._columns, clip=clip)
