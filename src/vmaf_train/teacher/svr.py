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
        chroma_correction: parameter of the correction of chroma, see `Correction`; 0 for none.
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
        x_NF = x_NF[:, order].astype(np.float64)
        if correction := correction_in(self.features, self.chroma_correction):
            x_NF = correction.apply(x_NF)
        scaled_NF = x_NF * self.slopes[1:] + self.intercepts[1:]

        value_N = np.empty(len(scaled_NF))
        for start in range(0, len(scaled_NF), ROWS_PER_CHUNK):
            rows = slice(start, start + ROWS_PER_CHUNK)
            value_N[rows] = self._kernel_sum(scaled_NF[rows]) - self.rho

        score_N: np.ndarray = (value_N - self.intercepts[0]) / self.slopes[0]
        if self.transform:
            score_N = np.polynomial.polynomial.polyval(score_N, self.transform)
        return score_N.clip(*self.clip) if clip else score_N

    def same_kernel(self, other: "Svr") -> bool:
        """Tell whether two SVRs give the same value before `transform` and `clip`."""
        arrays, others = (
            (each.slopes, each.intercepts, each.support_SF, each.weights_S)
            for each in (self, other)
        )
        same = all(np.array_equal(a, b) for a, b in zip(arrays, others, strict=True))
        return same and (self.rho, self.gamma) == (other.rho, other.gamma)

    def _kernel_sum(self, z_NF: np.ndarray) -> np.ndarray:
        """Return sum_s weight_s exp(-gamma |z - support_s|^2) for each row."""
        # |z - s|^2 = |z|^2 + |s|^2 - 2 z.s
        squares_NS = (z_NF**2).sum(1)[:, None] + (self.support_SF**2).sum(1)
        distances_NS = squares_NS - 2 * z_NF @ self.support_SF.T
        total_N: np.ndarray = np.exp(-self.gamma * distances_NS) @ self.weights_S
        return total_N


@dataclass(frozen=True)
class Correction:
    """VMAF v1's correction: where chroma is exactly 0, parameter (1 - adm3) stands for it.

    libvmaf computes no chroma for small pictures. A second correction changes nothing.

    Attributes:
        chroma, adm3: columns of these features.
        parameter: `chroma_correction_parameter` of the model.
    """

    chroma: int
    adm3: int
    parameter: float

    def apply(self, x_NF: np.ndarray) -> np.ndarray:
        """Return corrected features; `x_NF` is float of shape (frames, features), raw values."""
        x_NF = x_NF.copy()
        absent = x_NF[:, self.chroma] == 0
        x_NF[absent, self.chroma] = self.parameter * (1 - x_NF[absent, self.adm3])
        return x_NF


def correction_in(features: Sequence[str], parameter: float) -> Correction | None:
    """Return the correction of some features; None if there is none, or a feature is missing."""
    columns = [
        next((column for column, name in enumerate(features) if name.startswith(stem)), None)
        for stem in (CORRECTED, CORRECTED_BY)
    ]
    chroma, adm3 = columns
    if not parameter or chroma is None or adm3 is None:
        return None
    return Correction(chroma, adm3, parameter)
