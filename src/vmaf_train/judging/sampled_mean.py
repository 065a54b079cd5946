"""The mean score of a video of which some frames were scored, and its interval.

A regression on signals of every frame predicts the frames that were not scored. Source: the
regression estimator of survey sampling, Cochran, Sampling Techniques, 1977, chapter 7. The interval
comes from successive differences of residuals (von Neumann et al., The Mean Square Successive
Difference, 1941), each divided by one minus its leverage; of few frames, also from HC3 (MacKinnon
and White, Some heteroskedasticity-consistent covariance matrix estimators, 1985).
"""

from dataclasses import dataclass

import numpy as np

# Of the interval.
CONFIDENCE = 0.95
# Penalty on the weights of standardised signals, per scored frame.
RIDGE = 0.1
# With fewer scored frames, no regression: the mean of the scored frames.
FEWEST = 4
# With fewer scored frames than this, successive differences are too few to go by alone.
FEW = 32
# Of a residual's leverage: a frame that determines its own prediction tells nothing.
MOST_LEVERAGE = 0.99


@dataclass(frozen=True)
class SampledMean:
    """The mean score of all frames of a video.

    Attributes:
        mean: in score points.
        half_width: the mean of all frames lies this near with 95 % confidence, in score points; 0
            if every frame was scored, infinite if only one of several was.
        deviation: standard deviation of a frame's score around its prediction, in score points;
            None if one frame was scored.
    """

    mean: float
    half_width: float
    deviation: float | None


def estimate_mean(y_S: np.ndarray, scored_S: np.ndarray, signals_NK: np.ndarray) -> SampledMean:
    """Estimate the mean score of a video's frames.

    Args:
        y_S: scores of the scored frames, float64 of shape (scored,).
        scored_S: numbers of these frames, int64 of shape (scored,), ascending.
        signals_NK: float64 of shape (frames, signals); one row per frame of the video.

    Returns:
        The estimate. It is exact if every frame was scored.
    """
    n, scored = len(signals_NK), len(y_S)
    if scored == n:
        return SampledMean(float(y_S.mean()), 0.0, 0.0)

    a_NP = _regressors(signals_NK if scored >= FEWEST else signals_NK[:, :0])
    a_SP = a_NP[scored_S]
    # y = a w + e; w = (a'a + ridge)^-1 a'y = hat' y
    penalty = RIDGE * scored * np.eye(a_NP.shape[1])
    penalty[0, 0] = 0.0
    hat_SP = np.linalg.solve(a_SP.T @ a_SP + penalty, a_SP.T).T
    weights_P = hat_SP.T @ y_S
    leverage_S = (hat_SP * a_SP).sum(1)
    residual_S = y_S - a_SP @ weights_P

    # The mean is the sum of scored and predicted frames, over n.
    rest = np.ones(n, dtype=bool)
    rest[scored_S] = False
    rest_P = a_NP[rest].sum(0) / n
    mean = float(y_S.sum() / n + rest_P @ weights_P)
    if scored == 1:
        return SampledMean(mean, np.inf, None)

    # r_i = e_i / (1 - leverage_i); each frame that is not scored deviates by s from its prediction
    r_S = residual_S / (1 - np.minimum(leverage_S, MOST_LEVERAGE))
    share_S = hat_SP @ rest_P
    rest_share = (n - scored) / n**2
    # s^2 = sum of (r_(i+1) - r_i)^2 / 2 (scored - 1)
    square = float((np.diff(r_S) ** 2).sum() / (2 * (scored - 1)))
    variance = square * (float((share_S**2).sum()) + rest_share)
    if scored < FEW:
        # HC3: Var(mean) = sum of (share_i r_i)^2, and s^2 = mean of r_i^2
        hc3 = float(((share_S * r_S) ** 2).sum() + rest_share * (r_S**2).mean())
        variance = max(variance, hc3)
    freedom = max(1.0, scored - float(leverage_S.sum()))
    return SampledMean(mean, _student_t(freedom) * variance**0.5, square**0.5)


def frames_needed(estimate: SampledMean, n_frames: int, within: float) -> int:
    """Return how many frames to score, so that the half-width of the interval is about `within`.

    Args:
        estimate: of a first sample.
        n_frames: frames of the video.
        within: wanted half-width, in score points.
    """
    if estimate.deviation is None:
        return n_frames
    # within^2 = z^2 s^2 (1 / scored - 1 / n), solved for the number of scored frames
    spread = _student_t(np.inf) * estimate.deviation
    share = (within / spread) ** 2 if spread else np.inf
    return int(np.ceil(1 / (share + 1 / n_frames)))


def _regressors(signals_NK: np.ndarray) -> np.ndarray:
    """Return a column of ones and the standardised signals that vary: (frames, 1 + varying)."""
    deviation_K = signals_NK.std(0)
    varying = deviation_K > 0
    z_NK = (signals_NK[:, varying] - signals_NK[:, varying].mean(0)) / deviation_K[varying]
    return np.column_stack([np.ones(len(signals_NK)), z_NK])


def _student_t(freedom: float) -> float:
    """Return the quantile of Student's t that `CONFIDENCE` of its values lie within, either way."""
    from scipy.special import stdtrit  # it takes as long to import as all else of a score

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
