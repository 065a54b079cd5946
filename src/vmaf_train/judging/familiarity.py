"""Learn the guard of a student: centres of its training frames, and the limit of the distance."""

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.cluster.vq import kmeans2

from vmaf_train.judging.conformal import source_quantile
from vmaf_train.onnx_file.expected_error import FamiliarFacts
from vmaf_train.onnx_file.familiar import Familiar

CENTRES = 64
# Rows that the centres are made of, at most, and steps of k-means; more change no figure.
MOST_ROWS, STEPS = 4096, 10
# Added to the variance of each standardised feature, so that rounding is no direction of its own.
RIDGE = 1e-2
# Share of the out-of-fold frames that lie inside; every source has the same weight.
INSIDE = 0.99
# Digits that the file keeps: significant ones of mean and whitening, decimals of the centres.
DIGITS, DECIMALS = 5, 2


def learn(x_NF: np.ndarray) -> Familiar:
    """Return the centres of training frames; every frame is inside, since no limit is known yet.

    Args:
        x_NF: float64 of shape (frames, features), raw libvmaf values.
    """
    mean_F, deviation_F = x_NF.mean(0), x_NF.std(0)
    scale_F = np.where(deviation_F > 0, deviation_F, 1.0)
    z_NF = (x_NF - mean_F) / scale_F
    covariance_FF = z_NF.T @ z_NF / len(z_NF) + RIDGE * np.eye(len(mean_F))
    variance_F, axes_FF = np.linalg.eigh(covariance_FF)
    whitening_FF = _significant(axes_FF / np.sqrt(variance_F) / scale_F[:, None])
    mean_F = _significant(mean_F)

    stride = -(-len(x_NF) // MOST_ROWS)
    # Equal rows would let k-means start from equal centres.
    rows_NF = np.unique((x_NF[::stride] - mean_F) @ whitening_FF, axis=0)
    with warnings.catch_warnings():
        # A centre that loses all its rows stays where it is.
        warnings.filterwarnings("ignore", "One of the clusters is empty")
        centres_KF, _ = kmeans2(
            rows_NF,
            min(CENTRES, len(rows_NF)),
            iter=STEPS,
            minit="++",
            rng=np.random.default_rng(0),
        )
    return Familiar(mean_F, whitening_FF, centres_KF.round(DECIMALS), limit=np.inf)


def limited(familiar: Familiar, distances: Sequence[np.ndarray]) -> Familiar:
    """Return the guard with its limit.

    Args:
        familiar: the centres.
        distances: out-of-fold distances of the frames of each source, float64 of shape (frames,).
    """
    limit = source_quantile(distances, INSIDE)
    # Frames that equal the training rows have no distance.
    return replace(familiar, limit=max(float(f"{limit:.{DIGITS}g}"), 10.0**-DECIMALS))


def facts_of(familiar: Familiar) -> FamiliarFacts:
    """Return the guard as it is written to the file."""
    return FamiliarFacts(
        mean=familiar.mean_F.tolist(),
        whitening=familiar.whitening_FF.tolist(),
        centres=familiar.centres_KF.tolist(),
        limit=familiar.limit,
    )


def _significant(values: np.ndarray) -> np.ndarray:
    """Round to DIGITS significant digits."""
    text = [f"{value:.{DIGITS}g}" for value in values.ravel()]
    return np.array(text, dtype=np.float64).reshape(values.shape)
