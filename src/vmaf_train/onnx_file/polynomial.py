"""A polynomial student as a sum of kernels, which libvmaf's support-vector models can hold.

A polynomial p of degree d is a sum of kernels (gamma u.v + 1)^d over as many points v as there are
monomials up to that degree, if the points determine such a polynomial. With p = sum_a c_a u^a and
m_a = d! / (a! (d - |a|)!), the weights w of the kernels solve

    sum_v w_v v^a = c_a / (m_a gamma^|a|)    for every monomial a.

The matrix is the transpose of the one that gives the values of p at the points from c. So the same
elimination gives c from the values and, transposed, w from c: that of Björck and Pereyra (1970),
one feature after the other. Its error is far below that of a general solver.

All arithmetic is elementwise, in float64: the same file gives the same bits on every machine, which
a matrix product of BLAS does not.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import onnx
from onnx import numpy_helper

from vmaf_train.errors import InputError
from vmaf_train.onnx_file.contract import CORRECTED, INPUT

# The degree of each polynomial arch.
DEGREES = {"linear": 1, "quadratic": 2, "cubic": 3, "quartic": 4, "quintic": 5}
# Coordinates of the points. Zero is first, so most coordinates are zero and need no text. With
# these and this gamma, the sum is within 1e-11 of the polynomial; with half of them, within 1e-10.
NODES = (0, 1, -1, 2, -2, 3)
GAMMA = 0.5


@dataclass(frozen=True, eq=False)
class Kernels:
    """A sum of kernels: sum_p weight_p (gamma u.point_p + 1)^degree, with u = slope x + shift.

    Attributes:
        degree: exponent of the kernel.
        slopes_F, shifts_F: float64 of shape (features,); they rescale raw features x to u.
        points_PF: float64 of shape (points, features).
        weights_P: float64 of shape (points,).
    """

    degree: int
    slopes_F: np.ndarray
    shifts_F: np.ndarray
    points_PF: np.ndarray
    weights_P: np.ndarray

    def score(self, x_NF: np.ndarray) -> np.ndarray:
        """Return the unclipped scores of raw features: float64 (frames, features) to (frames,)."""
        base_NP = GAMMA * product(x_NF * self.slopes_F + self.shifts_F, self.points_PF.T) + 1
        kernel_NP = base_NP.copy()
        for _ in range(self.degree - 1):
            kernel_NP *= base_NP
        return product(kernel_NP, self.weights_P[:, None])[:, 0]


def product(a_NK: np.ndarray, b_KM: np.ndarray) -> np.ndarray:
    """Return the matrix product in a fixed order of additions: float64 of shape (N, M)."""
    total_NM = np.zeros((len(a_NK), b_KM.shape[1]))
    for column_N, row_M in zip(a_NK.T, b_KM, strict=True):
        total_NM += column_N[:, None] * row_M
    return total_NM


# The operators of the polynomials' ONNX files, on float64 matrices.
_OPERATORS: Mapping[str, Callable[..., np.ndarray]] = {
    "Gemm": lambda given, matrix, bias: product(given, matrix.T) + bias,
    "MatMul": product,
    "Mul": np.multiply,
    "ReduceSum": lambda given, axes: product(given, np.ones((given.shape[1], 1)))[:, 0],
    "Squeeze": lambda given, axes: given[:, 0],
    "Clip": lambda given, low, high: given,
}


def unclipped(content: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """Return a polynomial's ONNX file as a function in float64, without the clip of the scores.

    The function maps features (rows, features) to scores (rows,). If the file corrects its
    features, the function takes corrected ones.

    Raises:
        InputError: the file has an operator that no polynomial needs.
    """
    graph = onnx.load_model_from_string(content).graph
    nodes = list(graph.node)
    correction = [number for number, node in enumerate(nodes) if node.output[0] == CORRECTED]
    nodes = nodes[correction[0] + 1 :] if correction else nodes
    foreign = sorted({node.op_type for node in nodes} - _OPERATORS.keys())
    if foreign:
        raise InputError(f"it has operators that no polynomial needs: {', '.join(foreign)}")
    weights = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in graph.initializer}

    def score(x_NF: np.ndarray) -> np.ndarray:
        values = {**weights, INPUT: x_NF, CORRECTED: x_NF}
        for node in nodes:
            given = [values[key] for key in node.input]
            values[node.output[0]] = _OPERATORS[node.op_type](*given)
        return values[graph.output[0].name]

    return score


def kernels_of(
    score: Callable[[np.ndarray], np.ndarray],
    degree: int,
    lowest_F: np.ndarray,
    highest_F: np.ndarray,
) -> Kernels:
    """Return a polynomial of raw features as a sum of kernels.

    Args:
        score: the polynomial, float64 (rows, features) to (rows,); it is called once.
        degree: its degree, 1 to 5.
        lowest_F, highest_F: float64 of shape (features,), corners of the feature box, which is
            rescaled to -1 ... 1.
    """
    steps_PF = _lattice(len(highest_F), degree)
    points_PF = np.array(NODES, dtype=np.float64)[steps_PF]
    # u = 2 (x - lowest) / (highest - lowest) - 1
    slopes_F = 2 / (highest_F - lowest_F)
    shifts_F = -1 - slopes_F * lowest_F

    values_P = score((points_PF - shifts_F) / slopes_F)
    elimination = list(_elimination(steps_PF, degree))
    for step in elimination:
        step.apply(values_P)
    # Now the values are the coefficients c.
    values_P /= [_factor(steps, degree) for steps in steps_PF.tolist()]
    for step in reversed(elimination):
        step.apply_transposed(values_P)
    return Kernels(degree, slopes_F, shifts_F, points_PF, values_P)


@dataclass(frozen=True, eq=False)
class _Step:
    """A step of the elimination: values[rows] = (values[rows] - factor values[sources]) / divisor.

    No row is a source of the same step.
    """

    rows: np.ndarray
    sources: np.ndarray
    factor: float
    divisor: float

    def apply(self, values_P: np.ndarray) -> None:
        values_P[self.rows] -= self.factor * values_P[self.sources]
        values_P[self.rows] /= self.divisor

    def apply_transposed(self, values_P: np.ndarray) -> None:
        values_P[self.rows] /= self.divisor
        values_P[self.sources] -= self.factor * values_P[self.rows]


def _lattice(n_features: int, degree: int) -> np.ndarray:
    """Return all vectors of whole numbers with a sum up to `degree`: int (points, features).

    They are the exponents of the monomials. They are also the points: each number is that of a
    node.
    """
    chosen = combinations_with_replacement(range(n_features + 1), degree)
    counts = (Counter(choice) for choice in chosen)
    return np.array([[count[1 + feature] for feature in range(n_features)] for count in counts])


def _elimination(steps_PF: np.ndarray, degree: int) -> Iterator[_Step]:
    """Yield the steps from the values at the lattice's points to coefficients of monomials."""
    position = {tuple(steps): row for row, steps in enumerate(steps_PF.tolist())}

    def step(feature: int, number: int, to: int, factor: float, divisor: float = 1) -> _Step:
        """Take the rows at node `number` of a feature; their sources are `to` nodes further."""
        rows = np.flatnonzero(steps_PF[:, feature] == number)
        sources = steps_PF[rows]
        sources[:, feature] += to
        found = np.array([position.get(tuple(steps), -1) for steps in sources.tolist()])
        return _Step(rows[found >= 0], found[found >= 0], factor, divisor)

    features = range(steps_PF.shape[1])
    # Divided differences give the coefficients of Newton's form.
    for feature in features:
        for level in range(1, degree + 1):
            for number in range(degree, level - 1, -1):
                yield step(feature, number, -1, 1, NODES[number] - NODES[number - level])
    # Newton's form is expanded into monomials.
    for feature in features:
        for level in range(degree - 1, -1, -1):
            for number in range(level, degree):
                yield step(feature, number, 1, NODES[level])


def _factor(exponents: list[int], degree: int) -> float:
    """Return m_a gamma^|a| of a monomial."""
    rest = degree - sum(exponents)
    ways = math.factorial(degree) // math.prod(map(math.factorial, [*exponents, rest]))
    return float(ways * GAMMA ** sum(exponents))
