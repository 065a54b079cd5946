"""Metrics of two score vectors, written out from their definitions."""

import itertools

import numpy as np


def pearson(a, b):
    """Return Pearson's correlation."""
    a, b = a - a.mean(), b - b.mean()
    return (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum())


def ranks(a):
    """Return ranks from 1; equal values share the mean of their ranks."""
    return np.array([(a < value).sum() + ((a == value).sum() + 1) / 2 for value in a])


def tau_b(a, b):
    """Return Kendall's tau-b over all pairs of frames."""
    pairs = [
        (np.sign(a[i] - a[j]), np.sign(b[i] - b[j]))
        for i, j in itertools.combinations(range(len(a)), 2)
    ]
    ups, downs = sum(p * q > 0 for p, q in pairs), sum(p * q < 0 for p, q in pairs)
    return (ups - downs) / np.sqrt(sum(p != 0 for p, _ in pairs) * sum(q != 0 for _, q in pairs))


def by_hand(score_N, truth_N):
    """Return all metrics by the names of `Metrics`."""
    error_N = score_N - truth_N
    return {
        "n_samples": len(truth_N),
        "plcc": pearson(score_N, truth_N),
        "srocc": pearson(ranks(score_N), ranks(truth_N)),
        "krocc": tau_b(score_N, truth_N),
        "rmse": (error_N @ error_N / len(error_N)) ** 0.5,
        "max_abs_error": max(abs(error_N)),
        "bias": sum(error_N) / len(error_N),
    }
