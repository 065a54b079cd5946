"""Agreement of a student's scores with the teacher's: metrics, and intervals by bootstrap."""

import warnings

import numpy as np
from scipy import stats

from vmaf_train.judging.intervals import Interval
from vmaf_train.judging.report import Metrics
from vmaf_train.metrics import rmse

# Bootstrap: number of resamples, confidence level, and resamples at once, to bound memory.
RESAMPLES = 2000
LEVEL = 0.95
RESAMPLES_PER_BATCH = 100


def compare(score_N: np.ndarray, truth_N: np.ndarray) -> Metrics:
    """Return metrics of a student's scores against the teacher's; both float64 of shape (n,)."""
    error_N = score_N - truth_N
    plcc = srocc = krocc = None
    if np.ptp(score_N) > 0 and np.ptp(truth_N) > 0:
        plcc = float(stats.pearsonr(score_N, truth_N).statistic)
        srocc = float(stats.spearmanr(score_N, truth_N).statistic)
        krocc = float(stats.kendalltau(score_N, truth_N).statistic)
    return Metrics(
        n_samples=len(truth_N),
        plcc=plcc,
        srocc=srocc,
        krocc=krocc,
        rmse=rmse(score_N, truth_N),
        max_abs_error=float(np.abs(error_N).max()),
        bias=float(error_N.mean()),
    )


def bootstrap_over_clips(
    score_N: np.ndarray, truth_N: np.ndarray, clip_N: np.ndarray
) -> dict[str, Interval]:
    """Return 95 % percentile intervals of RMSE, bias and PLCC.

    Whole clips are resampled, because frames of a clip are not independent. Each clip is reduced to
    its sums first, so the cost does not depend on the number of frames. Fewer than two clips give
    no interval. If one vector is constant, PLCC has no interval.

    Args:
        score_N, truth_N: scores of student and teacher, float64 of shape (frames,).
        clip_N: index of each frame's clip, int of shape (frames,).

    Returns:
        Intervals by metric: "rmse", "bias", "plcc".
    """
    sums_CM = _sums_per_clip(score_N, truth_N, clip_N)
    n_clips = len(sums_CM)
    if n_clips < 2:
        return {}
    # Relative to the variances over all frames, those of a constant resample are only rounding.
    constant = 1e-12 * score_N.var() * truth_N.var()

    def resampled(picks: np.ndarray, axis: int) -> np.ndarray:
        picked = np.moveaxis(picks, axis, -1).astype(int)
        return _statistics(sums_CM[picked].sum(-2), constant)

    with warnings.catch_warnings():
        # A constant vector gives NaN limits, which are left out below.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        result = stats.bootstrap(
            (np.arange(n_clips),),
            resampled,
            vectorized=True,
            method="percentile",
            n_resamples=RESAMPLES,
            confidence_level=LEVEL,
            batch=RESAMPLES_PER_BATCH,
            rng=np.random.default_rng(0),
        )
    limits = zip(("rmse", "bias", "plcc"), *result.confidence_interval, strict=True)
    return {
        name: Interval(low=low, high=high)
        for name, low, high in limits
        if np.isfinite([low, high]).all()
    }


def _sums_per_clip(score_N: np.ndarray, truth_N: np.ndarray, clip_N: np.ndarray) -> np.ndarray:
    """Return each clip's sums of 1, e, e^2, p, t, p^2, t^2, p t: float64 of shape (clips, 8).

    e is the error; p and t are the two scores minus their means over all frames.
    """
    e = score_N - truth_N
    p, t = score_N - score_N.mean(), truth_N - truth_N.mean()
    moments = (np.ones_like(e), e, e**2, p, t, p**2, t**2, p * t)
    return np.stack([np.bincount(clip_N, weights=moment) for moment in moments], axis=-1)


def _statistics(sums: np.ndarray, constant: float) -> np.ndarray:
    """Return RMSE, bias and PLCC of resamples.

    Args:
        sums: float64 of shape (..., 8), as `_sums_per_clip` orders them.
        constant: highest product of the two variances that counts as constant.

    Returns:
        float64 of shape (3, ...); PLCC is NaN for a constant resample.
    """
    n, e, ee, p, t, pp, tt, pt = np.moveaxis(sums, -1, 0)
    # PLCC = cov(p, t) / sqrt(var(p) var(t))
    spread = (pp / n - (p / n) ** 2) * (tt / n - (t / n) ** 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        plcc = (pt / n - p * t / n**2) / np.sqrt(spread)
    return np.stack([np.sqrt(ee / n), e / n, np.where(spread > constant, plcc, np.nan)])
