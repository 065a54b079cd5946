"""A frame score that is fitted to opinion scores of clips, through the pooling.

People rate clips, students score frames. So the loss compares the mean of a clip's frame scores
with the clip's opinion score. With b(x) a given frame score, phi(x) features of a kernel with a 1
in front, and phi_c the mean of phi over the frames of clip c:

    g(x) = b(x) + w' phi(x)
    w = argmin  frames * mean_t (w' phi(x_t))^2  +  clips * mean_c (b_c + w' phi_c - mos_c)^2
                + ridge * |w|^2 without the constant

`mos` takes b = 0 and frames = 0. `hybrid` takes the teacher for b, so the first term keeps g near
it on every frame. phi are Nystroem features of a Gaussian kernel on standardised features: beyond
the content they go to zero, so g goes back to b and a constant. Kernel width and ridge have the
least error on sources that are left out in turn, among those that the student may see.

Source: Saunders, Gammerman and Vovk, Ridge regression learning algorithm in dual variables, 1998;
Williams and Seeger, Using the Nystroem method to speed up kernel machines, 2001.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from vmaf_train.errors import InputError

# Number of frames on which the kernel features stand.
CENTRES = 96
# Candidates for gamma, in exp(-gamma |a - b|^2 / features), and for the ridge.
GAMMAS = (0.05, 0.2, 0.8)
RIDGES = tuple(10.0**power for power in range(-4, 2))
# Frames that are expanded at once, to bound memory.
ROWS_PER_CHUNK = 32768
# Eigenvalues of the kernel below this share of the largest are left out.
SMALLEST_EIGENVALUE = 1e-10


class FrameScorer(Protocol):
    """What scores frames, such as the completed teacher."""

    def score(self, x_NF: np.ndarray, clip: bool = True) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Rated:
    """Frames of some clips, and the opinion scores of those that have one.

    Attributes:
        x_NF: float64 of shape (frames, features), raw values.
        clip_N: int of shape (frames,), index of each frame's clip.
        mos_C: float64 of shape (clips,), NaN for a clip without a score.
        sources: the source of each clip.
    """

    x_NF: np.ndarray
    clip_N: np.ndarray
    mos_C: np.ndarray
    sources: Sequence[str]

    def only_rated(self) -> "Rated":
        """Return the frames of clips that have a score."""
        kept = np.isin(self.clip_N, self.rated)
        return replace(self, x_NF=self.x_NF[kept], clip_N=self.clip_N[kept])

    @property
    def rated(self) -> np.ndarray:
        """Indices of the clips that have frames and a score."""
        present = np.unique(self.clip_N)
        chosen: np.ndarray = present[~np.isnan(self.mos_C[present])]
        return chosen


class OpinionScorer:
    """The frame score g that is fitted to opinion scores.

    Args:
        rated: frames and scores that the student may see.
        base: the frame score b; None is 0.
        frame_weight: weight of the frames in the loss.
        clip_weight: weight of the clips in the loss.

    Raises:
        InputError: fewer than two sources have a clip with a score.
    """

    def __init__(
        self,
        rated: Rated,
        base: FrameScorer | None = None,
        *,
        frame_weight: float = 0.0,
        clip_weight: float = 1.0,
    ) -> None:
        self._base = base
        self._mean_F = rated.x_NF.mean(0)
        deviation_F = rated.x_NF.std(0)
        self._scale_F = np.where(deviation_F > 0, deviation_F, 1.0)
        clips = rated.rated
        sources = np.array([rated.sources[clip] for clip in clips])
        if len(set(sources)) < 2:
            raise InputError(
                "opinion scores are needed of clips of two or more sources besides the held-out "
                "one; pass mos_csv, or a list of pairs with a column mos"
            )
        error_C = rated.mos_C[clips] - self._pooled_base(rated, clips)
        best = math.inf
        for gamma in GAMMAS:
            kernel = _Kernel.of(self._standardised(rated.x_NF), gamma)
            moments = _Moments.of(self._standardised(rated.x_NF), rated.clip_N, clips, kernel)
            for ridge in RIDGES:
                wanted = _Weights(frame_weight, clip_weight, ridge)
                left_out = _left_out_rmse(moments, error_C, sources, wanted)
                if left_out < best:
                    best, self._kernel = left_out, kernel
                    self._weights_P = moments.solve(error_C, np.ones(len(clips), bool), wanted)

    def score(self, x_NF: np.ndarray, clip: bool = True) -> np.ndarray:
        """Score frames.

        Args:
            x_NF: float of shape (frames, features), raw libvmaf values.
            clip: has no effect: opinion scores have no fixed range, and some are above 100.

        Returns:
            float64 of shape (frames,), in score points.
        """
        score_N = np.zeros(len(x_NF)) if self._base is None else self._base.score(x_NF, clip=False)
        z_NF = self._standardised(x_NF)
        for start in range(0, len(x_NF), ROWS_PER_CHUNK):
            rows = slice(start, start + ROWS_PER_CHUNK)
            score_N[rows] += self._kernel.expand(z_NF[rows]) @ self._weights_P
        return score_N

    def _standardised(self, x_NF: np.ndarray) -> np.ndarray:
        z_NF: np.ndarray = (x_NF - self._mean_F) / self._scale_F
        return z_NF

    def _pooled_base(self, rated: Rated, clips: np.ndarray) -> np.ndarray:
        """Return the mean of b over the frames of each clip: float64 of shape (clips,)."""
        if self._base is None:
            return np.zeros(len(clips))
        score_N = self._base.score(rated.x_NF, clip=False)
        sums_C = np.bincount(rated.clip_N, score_N, len(rated.mos_C))
        means: np.ndarray = (
            sums_C[clips] / np.bincount(rated.clip_N, minlength=len(rated.mos_C))[clips]
        )
        return means


@dataclass(frozen=True, eq=False)
class _Kernel:
    """Nystroem features: phi(x) = (1, W k(x)), k the kernel with each centre, W W' = K^-1."""

    centres_MF: np.ndarray
    whitening_PM: np.ndarray
    gamma: float

    @classmethod
    def of(cls, z_NF: np.ndarray, gamma: float) -> "_Kernel":
        # Evenly spaced frames: the same for the same frames, in whatever order students are fitted.
        rows = np.linspace(0, len(z_NF) - 1, min(CENTRES, len(z_NF))).astype(int)
        centres = z_NF[np.unique(rows)]
        values, vectors = np.linalg.eigh(_gaussian(centres, centres, gamma))
        kept = values > SMALLEST_EIGENVALUE * values[-1]
        return cls(centres, (vectors[:, kept] / np.sqrt(values[kept])).T, gamma)

    def expand(self, z_NF: np.ndarray) -> np.ndarray:
        """Return phi of standardised rows: float64 of shape (rows, 1 + features of the kernel)."""
        phi = _gaussian(z_NF, self.centres_MF, self.gamma) @ self.whitening_PM.T
        return np.column_stack([np.ones(len(z_NF)), phi])


def _gaussian(a_NF: np.ndarray, b_MF: np.ndarray, gamma: float) -> np.ndarray:
    """Return exp(-gamma |a - b|^2 / features) of each two rows, float64 of shape (n, m)."""
    squares = (a_NF**2).sum(1)[:, None] + (b_MF**2).sum(1) - 2 * a_NF @ b_MF.T
    kernel: np.ndarray = np.exp(-gamma * np.maximum(squares, 0) / a_NF.shape[1])
    return kernel


@dataclass(frozen=True)
class _Weights:
    """Weights of the three terms of the loss."""

    frames: float
    clips: float
    ridge: float


@dataclass(frozen=True, eq=False)
class _Moments:
    """What the loss needs of the frames.

    Attributes:
        square_PP: mean of phi phi' over all frames.
        pooled_CP: mean of phi over the frames of each rated clip.
    """

    square_PP: np.ndarray
    pooled_CP: np.ndarray

    @classmethod
    def of(
        cls, z_NF: np.ndarray, clip_N: np.ndarray, clips: np.ndarray, kernel: _Kernel
    ) -> "_Moments":
        width = len(kernel.whitening_PM) + 1
        square_PP, sums_CP = np.zeros((width, width)), np.zeros((clip_N.max() + 1, width))
        for start in range(0, len(z_NF), ROWS_PER_CHUNK):
            rows = slice(start, start + ROWS_PER_CHUNK)
            phi = kernel.expand(z_NF[rows])
            square_PP += phi.T @ phi
            np.add.at(sums_CP, clip_N[rows], phi)
        frames_C = np.bincount(clip_N)
        return cls(square_PP / len(z_NF), sums_CP[clips] / frames_C[clips][:, None])

    def solve(self, error_C: np.ndarray, used_C: np.ndarray, weights: _Weights) -> np.ndarray:
        """Return w for the clips in use.

        Args:
            error_C: mos_c - b_c of each rated clip.
            used_C: which of them count, bool of shape (clips,).
            weights: of the terms of the loss.
        """
        pooled = self.pooled_CP[used_C]
        penalty = weights.ridge * np.eye(len(self.square_PP))
        penalty[0, 0] = 0.0
        # (frames E[phi phi'] + clips E[phi_c phi_c'] + ridge I) w = clips E[phi_c error_c]
        left = weights.frames * self.square_PP + weights.clips * pooled.T @ pooled / len(pooled)
        right = weights.clips * pooled.T @ error_C[used_C] / len(pooled)
        solved: np.ndarray = np.linalg.solve(left + penalty, right)
        return solved


def _left_out_rmse(
    moments: _Moments, error_C: np.ndarray, sources: np.ndarray, weights: _Weights
) -> float:
    """Return the RMSE over clips of sources that are left out in turn."""
    missed_C = np.empty(len(error_C))
    for source in set(sources.tolist()):
        out = sources == source
        weights_P = moments.solve(error_C, ~out, weights)
        missed_C[out] = moments.pooled_CP[out] @ weights_P - error_C[out]
    return float(np.sqrt((missed_C**2).mean()))
