"""The fusion of a VMAF model in NumPy: a support-vector regressor (SVR).

Source: libvmaf's predict.c. Features are rescaled linearly, a nu-SVR with an RBF kernel gives a
value, and the value is rescaled back, transformed and clipped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Rows per evaluation of the kernel, to bound memory.
ROWS_PER_CHUNK = 16384
# Stems of the features of v1's correction: the corrected one, and the one that it is taken from.
CORRECTED, CORRECTED_BY = "speed_chroma", "adm3"


@dataclass(frozen=True, eq=False)
class Svr:
    """A nu-SVR with an RBF kernel, and the linear rescaling around it.

    Attributes:
        features: feature names, in the order of the model's columns.
        slopes, intercepts: float64 of shape (features + 1,); element 0 rescales the score.
        support_SF: float64 of shape (support vectors, features), rescaled.
        weights_S: float64 of shape (support vectors,).
        rho: offset that is subtracted from the kernel sum.
        gamma: factor of the squared distance in the RBF kernel.
        clip: lowest and highest score.
        transform: coefficients of a polynomial of the score, from degree 0; empty for none.
        chroma_correction: parameter of the correction of chroma, see `corrected`; 0 for none.
    """

    features: tuple[str, ...]
    slopes: np.ndarray
    intercepts: np.ndarray
    support_SF: np.ndarray
    weights_S: np.ndarray
    rho: float
    gamma: float
    clip: tuple[float, float]
    transform: tuple[float, ...] = ()
    chroma_correction: float = 0.0

    def score(self, x_NF: np.ndarray, features: Sequence[str], clip: bool = True) -> np.ndarray:
        """Score feature vectors.

        Args:
            x_NF: float of shape (frames, features), raw libvmaf values.
            features: names of the columns, in any order.
            clip: limit scores to `clip`, as libvmaf does. Without it the function is smooth, apart
                from the correction of chroma.

        Returns:
            float64 of shape (frames,), in score points.
        """
        order = [list(features).index(name) for name in self.features]
        x_NF = corrected(x_NF[:, order].astype(np.float64), self.features, self.chroma_correction)
        scaled_NF = x_NF * self.slopes[1:] + self.intercepts[1:]

        value_N = np.empty(len(scaled_NF))
        for start in range(0, len(scaled_NF), ROWS_PER_CHUNK):
            rows = slice(start, start + ROWS_PER_CHUNK)
            value_N[rows] = self._kernel_sum(scaled_NF[rows]) - self.rho

        score_N: np.ndarray = (value_N - self.intercepts[0]) / self.slopes[0]
        if self.transform:
            score_N = np.polynomial.polynomial.polyval(score_N, self.transform)
        return score_N.clip(*self.clip) if clip else score_N

    def _kernel_sum(self, z_NF: np.ndarray) -> np.ndarray:
        """Return sum_s weight_s exp(-gamma |z - support_s|^2) for each row."""
        # |z - s|^2 = |z|^2 + |s|^2 - 2 z.s
        squares_NS = (z_NF**2).sum(1)[:, None] + (self.support_SF**2).sum(1)
        distances_NS = squares_NS - 2 * z_NF @ self.support_SF.T
        total_N: np.ndarray = np.exp(-self.gamma * distances_NS) @ self.weights_S
        return total_N


def correction_columns(features: Sequence[str]) -> tuple[int, int] | None:
    """Return the columns of chroma and of adm3; None if the features lack one of them."""
    found = [
        [column for column, name in enumerate(features) if name.startswith(stem)]
        for stem in (CORRECTED, CORRECTED_BY)
    ]
    return (found[0][0], found[1][0]) if all(found) else None


def corrected(x_NF: np.ndarray, features: Sequence[str], parameter: float) -> np.ndarray:
    """Return features as the SVR of VMAF v1 reads them: where chroma is 0, adm3 stands for it.

    libvmaf computes no chroma (exactly 0) for small pictures, and then takes parameter (1 - adm3).
    A second correction changes nothing.

    Args:
        x_NF: float of shape (frames, features), raw libvmaf values.
        features: names of the columns.
        parameter: `chroma_correction_parameter` of the model; 0 changes nothing.
    """
    columns = correction_columns(features)
    if not parameter or columns is None:
        return x_NF
    chroma, adm3 = columns
    x_NF = x_NF.copy()
    absent = x_NF[:, chroma] == 0
    x_NF[absent, chroma] = parameter * (1 - x_NF[absent, adm3])
    return x_NF
