"""The guard of a student: how far a frame lies from the frames that the student learnt from."""

from dataclasses import dataclass

import numpy as np

# Frames at once, to bound memory.
FRAMES_PER_CHUNK = 16384


@dataclass(frozen=True, eq=False)
class Familiar:
    """Centres of a student's training frames, in whitened features.

    Attributes:
        mean_F: mean of the training frames, raw libvmaf values, float64 of shape (features,).
        whitening_FF: maps a frame minus the mean to whitened features, float64 of shape
            (features, features).
        centres_KF: centres of the training frames in whitened features, float64 of shape
            (centres, features).
        limit: frames at a larger distance lie outside what the student learnt.
    """

    mean_F: np.ndarray
    whitening_FF: np.ndarray
    centres_KF: np.ndarray
    limit: float

    def distance(self, x_NF: np.ndarray) -> np.ndarray:
        """Return the distance of each frame to its nearest centre.

        The distance is the root mean square over the whitened features, so it does not depend on
        their number.

        Args:
            x_NF: float of shape (frames, features), raw libvmaf values.

        Returns:
            float64 of shape (frames,).
        """
        squares_K = (self.centres_KF**2).sum(1)
        nearest_N = np.empty(len(x_NF))
        for start in range(0, len(x_NF), FRAMES_PER_CHUNK):
            rows = slice(start, start + FRAMES_PER_CHUNK)
            w_NF = (x_NF[rows] - self.mean_F) @ self.whitening_FF
            # |w - c|^2 = |w|^2 - 2 w'c + |c|^2
            squares_NK = (w_NF**2).sum(1)[:, None] - 2 * w_NF @ self.centres_KF.T + squares_K
            nearest_N[rows] = squares_NK.min(1)
        distance_N: np.ndarray = np.sqrt(np.maximum(nearest_N, 0) / len(self.mean_F))
        return distance_N
