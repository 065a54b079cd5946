"""The teacher for feature sets that lack some of its features: regression predicts these."""

from collections.abc import Sequence

import numpy as np

from vmaf_train.teacher.teachers import Teacher

# Singular values below this share of the largest are rounding of the log's six decimals: libvmaf
# computes adm3 from adm2 and aim, so these three columns are linearly dependent.
ROUNDING = 1e-4


class CompletedTeacher:
    """Predicts the features that a feature set lacks, then scores the rows with the teacher.

    The prediction is linear least squares on training rows, which have all features. If the set
    lacks nothing, this is the teacher itself.

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
        """Score feature vectors; see `Teacher.score`.

        Args:
            x_NF: float of shape (frames, features), raw libvmaf values.
            clip: limit scores to the teacher's `score_range`.

        Returns:
            float64 of shape (frames,), in score points.
        """
        z_NF = (x_NF - self._mean_F) / self._scale_F
        predicted_NM = np.clip(z_NF @ self._slopes_FM + self._mean_M, 0, self._highest_M)
        return self._teacher.score(np.hstack([x_NF, predicted_NM]), self._columns, clip=clip)
