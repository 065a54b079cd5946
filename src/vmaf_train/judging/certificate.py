"""How wrong a student can be anywhere in the feature box: the worst found, and a proven bound.

The search climbs from random points, from the corners and from the edges of the box. What it finds
is a lower bound on the worst error.

The proof is for polynomials. On the box, a feature is u in [-1, 1]. The teacher is a sum of
products of one-dimensional Gaussians, and each is replaced by its truncated Chebyshev series:

    T(u) = c + scale sum_s w_s prod_f exp(-gamma (a_f u_f + b_f - v_sf)^2)

The difference d of teacher and student is then a polynomial plus a remainder. With |T_k| <= 1, the
sum of the absolute coefficients of d bounds it on a box; terms of one feature alone are bounded by
their exact range. The box with the largest bound is halved until bound and worst found are close.
Scores are clipped. Where the teacher is at least t beyond the limit, a difference of at most e
leaves at most e - t of it. All is computed in float64, whose own rounding is not bounded.

Source: Trefethen, Approximation Theory and Approximation Practice, 2013, theorems 8.1 and 8.2 (the
remainder, from the maximum on a Bernstein ellipse).
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.polynomial import chebyshev
from scipy.optimize import minimize

from vmaf_train.teacher.points import Box, grid_of
from vmaf_train.teacher.teachers import Teacher

# Maps features, float64 (rows, features), to numbers in score points, (rows,).
Scorer = Callable[[np.ndarray], np.ndarray]

# Part of a score point that truncating the teacher may cost.
REMAINDER = 1e-4
# Degrees that are tried for the series, and the logarithms of the ellipse's sum of semi-axes.
DEGREES, ELLIPSES = range(2, 40), np.linspace(0.1, 6, 200)
# The bound is close enough if it is at most this factor of the worst found; the most boxes.
CLOSE, MOST_BOXES = 1.05, 16_000
# What each halving may leave out of the series of the difference and of the teacher, per feature.
LEFT_OUT, LEFT_OUT_OF_TEACHER = 1e-6, 1e-2
# Number of points from which the search climbs: the worst that are known.
CLIMBS = 12


@dataclass(frozen=True)
class Certificate:
    """A proven bound on the error over the box, and how many boxes it took.

    Attributes:
        bound: no point of the box has a larger error, in score points.
        remainder: the part of the bound that is due to truncating the teacher.
        boxes: number of boxes at the end.
    """

    bound: float
    remainder: float
    boxes: int


def worst_found(error: Scorer, box: Box, sampled_NF: np.ndarray, sampled_N: np.ndarray) -> float:
    """Return the largest error that a search finds, in score points.

    Args:
        error: maps feature vectors to the absolute errors of their scores.
        box: the box to search.
        sampled_NF: float64 of shape (points, features), points of the box to start from.
        sampled_N: float64 of shape (points,), the errors there.
    """
    ends_NF = box.at(grid_of(len(box.lowest_F)))
    starts_NF = np.concatenate([sampled_NF, ends_NF])
    error_N = np.concatenate([sampled_N, error(ends_NF)])
    span_F = box.highest_F - box.lowest_F
    found = float(error_N.max())
    for start in starts_NF[np.argsort(error_N)[-CLIMBS:]]:
        climbed = minimize(
            lambda share_F: -float(error(box.at(share_F[None]))[0]),
            (start - box.lowest_F) / span_F,
            method="L-BFGS-B",
            # Scores can be float32, so that a smaller step shows only rounding.
            options={"eps": 1e-3},
            bounds=[(0.0, 1.0)] * len(span_F),
        )
        found = max(found, -float(climbed.fun))
    return found


def prove(
    student: Scorer, degree: int, teacher: Teacher, features: Sequence[str], found: float
) -> Certificate:
    """Bound the error of a polynomial student over the feature box.

    Args:
        student: the polynomial, of corrected features; it gives unclipped scores.
        degree: its degree.
        teacher: the teacher; it must read exactly these features.
        features: names of the features, in the student's order.
        found: worst error that a search found.
    """
    box = teacher.box_of(features)
    series, remainder = _teacher_series(teacher, features, box)
    difference = _minus(series, _student_series(student, degree, box))
    limits = _Limits(*teacher.score_range, remainder)
    heap = [_Part.of(_Series(series), _Series(difference), limits)]
    while heap[0].bound > CLOSE * found and len(heap) < MOST_BOXES:
        for half in heapq.heappop(heap).halves(limits):
            heapq.heappush(heap, half)
    # No error is larger than the range of scores, and none that was found is wrong.
    bound = min(max(heap[0].bound, found), limits.highest - limits.lowest)
    return Certificate(bound, remainder, len(heap))


@dataclass(frozen=True)
class _Limits:
    """Lowest and highest score, and how far a series can be from the teacher."""

    lowest: float
    highest: float
    remainder: float


@dataclass(frozen=True)
class _Series:
    """A Chebyshev series on a part of the box, one axis per feature.

    Attributes:
        terms: its coefficients.
        slack: how much the terms that were left out add up to, at most.
    """

    terms: np.ndarray
    slack: float = 0.0

    @property
    def bounds(self) -> tuple[float, float]:
        """Least and greatest value, at most and at least.

        The sum of absolute coefficients, but the exact range of terms of one feature alone.
        """
        constant = float(self.terms[(0,) * self.terms.ndim])
        mixed = float(np.abs(self.terms).sum()) - abs(constant) + self.slack
        lowest = highest = constant
        for axis in range(self.terms.ndim):
            line = tuple(slice(None) if each == axis else 0 for each in range(self.terms.ndim))
            alone = self.terms[line].copy()
            alone[0] = 0.0
            mixed -= float(np.abs(alone).sum())
            low, high = _range_of(alone)
            lowest, highest = lowest + low, highest + high
        return lowest - mixed, highest + mixed

    def on(self, axis: int, part: tuple[float, float], tolerance: float) -> "_Series":
        """Return the series on a part of [-1, 1] of one feature, without its smallest terms.

        Args:
            axis: the feature.
            part: start and end of the part.
            tolerance: what the terms that are left out may add up to, per feature.
        """
        moved = np.moveaxis(self.terms, axis, -1) @ _restriction(self.terms.shape[axis], *part)
        terms, slack = np.moveaxis(moved, -1, axis), self.slack
        for each in range(terms.ndim):
            others = tuple(other for other in range(terms.ndim) if other != each)
            tail = np.abs(terms).sum(others)[::-1].cumsum()
            dropped = min(int(np.searchsorted(tail, tolerance)), len(tail) - 1)
            if dropped:
                terms = terms.take(range(len(tail) - dropped), axis=each)
                slack += float(tail[dropped - 1])
        return _Series(np.ascontiguousarray(terms), slack)


@dataclass(order=True)
class _Part:
    """A part of the box, sorted by bound, the largest first.

    Attributes:
        rank: the bound, negative.
        teacher, difference: both series on the part.
    """

    rank: float
    teacher: _Series = field(compare=False)
    difference: _Series = field(compare=False)

    @property
    def bound(self) -> float:
        return -self.rank

    @classmethod
    def of(cls, teacher: _Series, difference: _Series, limits: _Limits) -> "_Part":
        """Bound the difference of clipped scores on a part."""
        low, high = difference.bounds
        error = max(-low, high) + limits.remainder
        low, high = teacher.bounds
        beyond = max(low - limits.highest, limits.lowest - high, 0.0) - limits.remainder
        return cls(-max(error - max(beyond, 0.0), 0.0), teacher, difference)

    def halves(self, limits: _Limits) -> list["_Part"]:
        """Return both halves of the part, along the feature that makes its bound large."""
        axis = _widest(self.difference.terms)
        return [
            _Part.of(
                self.teacher.on(axis, half, LEFT_OUT_OF_TEACHER),
                self.difference.on(axis, half, LEFT_OUT),
                limits,
            )
            for half in ((-1.0, 0.0), (0.0, 1.0))
        ]


def _widest(series: np.ndarray) -> int:
    """Return the feature along which the coefficients vary most, each weighted by its degree."""
    absolute = np.abs(series)
    weights = []
    for axis, size in enumerate(absolute.shape):
        others = tuple(each for each in range(absolute.ndim) if each != axis)
        weights.append(float(absolute.sum(others) @ np.arange(size)))
    return int(np.argmax(weights))


def _range_of(coefficients: np.ndarray) -> tuple[float, float]:
    """Return the least and the greatest value of a Chebyshev series on [-1, 1]."""
    points = [-1.0, 1.0]
    trimmed = chebyshev.chebtrim(coefficients)
    if len(trimmed) > 2:
        roots = chebyshev.chebroots(chebyshev.chebder(trimmed))
        # A double root can come out slightly complex.
        points += np.clip(roots.real, -1, 1).tolist()
    values = chebyshev.chebval(np.array(points), coefficients)
    return float(values.min()), float(values.max())


@lru_cache(maxsize=256)
def _restriction(size: int, start: float, end: float) -> np.ndarray:
    """Return the matrix that gives the coefficients of a series on a part of [-1, 1].

    T_k(middle + half v) = sum_j matrix[k, j] T_j(v)
    """
    nodes = chebyshev.chebpts1(size)
    points = (start + end) / 2 + (end - start) / 2 * nodes
    # Values at the nodes of each T_k, then the coefficients that interpolate them exactly.
    matrix: np.ndarray = np.linalg.solve(
        chebyshev.chebvander(nodes, size - 1), chebyshev.chebvander(points, size - 1)
    ).T
    return matrix


def _interpolated(values: np.ndarray) -> np.ndarray:
    """Return the coefficients of the polynomial with these values at the grid of nodes."""
    for axis, size in enumerate(values.shape):
        vander = chebyshev.chebvander(chebyshev.chebpts1(size), size - 1)
        solved = np.linalg.solve(vander, np.moveaxis(values, axis, 0).reshape(size, -1))
        rest = [length for each, length in enumerate(values.shape) if each != axis]
        values = np.moveaxis(solved.reshape(size, *rest), 0, axis)
    return values


def _student_series(student: Scorer, degree: int, box: Box) -> np.ndarray:
    """Return a polynomial of this degree as a series on the box."""
    n_features = len(box.lowest_F)
    nodes = chebyshev.chebpts1(degree + 1)
    grid_NF = np.stack(np.meshgrid(*[nodes] * n_features, indexing="ij"), -1).reshape(
        -1, n_features
    )
    return _interpolated(student(box.at((grid_NF + 1) / 2)).reshape((degree + 1,) * n_features))


def _teacher_series(
    teacher: Teacher, features: Sequence[str], box: Box
) -> tuple[np.ndarray, float]:
    """Return the teacher as a series on the box, and a bound on what it leaves out."""
    svr = teacher.svr
    order = [svr.features.index(name) for name in features]
    slope_F, intercept_F = svr.slopes[1:][order], svr.intercepts[1:][order]
    # z = a u + b on the box.
    a_F = slope_F * (box.highest_F - box.lowest_F) / 2
    b_F = slope_F * (box.highest_F + box.lowest_F) / 2 + intercept_F
    scale = np.abs(svr.weights_S).sum() / abs(svr.slopes[0])

    lines, left_out = [], []
    for column, (a, b) in enumerate(zip(a_F, b_F, strict=True)):
        degree, error = _degree_for(svr.gamma * a * a, REMAINDER / scale / len(a_F))
        nodes = chebyshev.chebpts1(4 * degree + 16)
        z_SN = a * nodes + b - svr.support_SF[:, order[column], None]
        values_NS = np.exp(-svr.gamma * z_SN**2).T
        vander = chebyshev.chebvander(nodes, len(nodes) - 1)
        lines.append(np.linalg.solve(vander, values_NS)[: degree + 1])
        left_out.append(error)

    # Each factor is at most 1, and at most 1 + error when it is truncated.
    remainder = float(scale * (np.prod(1 + np.array(left_out)) - 1))
    series = _outer(lines, svr.weights_S)
    series[(0,) * series.ndim] -= svr.rho + svr.intercepts[0]
    series /= svr.slopes[0]
    return _transformed(series, remainder, svr.transform)


def _degree_for(exponent: float, wanted: float) -> tuple[int, float]:
    """Return the least degree of the series of exp(-gamma (a u + b)^2), and what it leaves out.

    On the ellipse with sum of semi-axes r, the function is at most exp(exponent y^2), with the
    minor semi-axis y = (r - 1/r) / 2. So coefficient k is at most 2 exp(exponent y^2) r^-k, and the
    rest of the series from degree n on at most 2 exp(exponent y^2) r^-n / (r - 1).

    Args:
        exponent: gamma a^2.
        wanted: most that may be left out.
    """
    r = np.exp(ELLIPSES)
    largest = np.exp(np.minimum(exponent * ((r - 1 / r) / 2) ** 2, 600))
    for degree in DEGREES:
        error = float((2 * largest * r ** -float(degree) / (r - 1)).min())
        if error <= wanted:
            break
    return degree, error


def _outer(lines: Sequence[np.ndarray], weights_S: np.ndarray) -> np.ndarray:
    """Return sum_s w_s prod_f lines[f][k_f, s], one axis per feature."""
    half = len(lines) // 2

    def product_of(part: Sequence[np.ndarray]) -> np.ndarray:
        total = np.ones((1, len(weights_S)))
        for line in part:
            total = (total[:, None] * line[None]).reshape(-1, len(weights_S))
        return total

    flat = (product_of(lines[:half]) * weights_S) @ product_of(lines[half:]).T
    series: np.ndarray = flat.reshape([len(line) for line in lines])
    return series


def _transformed(
    series: np.ndarray, remainder: float, transform: tuple[float, ...]
) -> tuple[np.ndarray, float]:
    """Return the series of a model's polynomial of the score, and its remainder."""
    if not transform:
        return series, remainder
    degree = len(np.trim_zeros(transform, "b")) - 1
    shape = [degree * (size - 1) + 1 for size in series.shape]
    values = series
    for axis, size in enumerate(shape):
        vander = chebyshev.chebvander(chebyshev.chebpts1(size), values.shape[axis] - 1)
        values = np.moveaxis(np.moveaxis(values, axis, -1) @ vander.T, -1, axis)
    bent = _interpolated(np.polynomial.polynomial.polyval(values, transform))
    # |p(s + e) - p(s)| <= |e| max |p'|, with |s| at most the sum of the absolute coefficients.
    most = float(np.abs(series).sum()) + remainder
    slope = sum(power * abs(c) * most ** (power - 1) for power, c in enumerate(transform) if power)
    return bent, remainder * slope


def _minus(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the difference of two series, whose axes may differ in length."""
    shape = np.maximum(a.shape, b.shape)
    total = np.zeros(shape)
    total[tuple(slice(size) for size in a.shape)] += a
    total[tuple(slice(size) for size in b.shape)] -= b
    return total
