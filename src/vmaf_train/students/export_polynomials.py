"""Writer of polynomials: few small matrices, no powers.

Symbols, for n features:
    u: (1, z_1, ..., z_n), with z the standardised features; u = lift x + shift for raw features x
    q: all products of two entries of u
    s: squares of half sums of two entries of u; they span q, q = back s
    H: matrix of weights of a polynomial that is a bilinear form, left' H right

Every monomial up to degree d is a product of exactly d entries of u, since u_0 = 1.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from vmaf_train.students.architectures import Student
from vmaf_train.students.graph import Graph
from vmaf_train.students.nets import Polynomial, monomials

# Entries of u that are multiplied, ascending.
Product = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Homogeneous:
    """A polynomial in u whose terms are all of the same degree.

    Attributes:
        n: number of entries of u.
        weight: the weight of each product.
        lift: float64 of shape (n, features).
        shift: float64 of shape (n,).
    """

    n: int
    weight: Mapping[Product, float]
    lift: np.ndarray
    shift: np.ndarray

    def affine(self, graph: Graph, matrix: np.ndarray) -> str:
        """Give the product `matrix` u, computed from raw features."""
        return graph.dense(graph.features, matrix @ self.lift, matrix @ self.shift)

    def products(self, degree: int) -> list[Product]:
        """Return all products of exactly `degree` entries of u."""
        return [_padded(monomial, degree) for monomial in monomials(self.n - 1, degree)]

    def halves(self, left: Sequence[Product], right: Sequence[Product]) -> np.ndarray:
        """Return H, float64 of shape (left, right), such that the polynomial is left' H right.

        If a product splits in several ways, they share its weight equally.
        """
        products = [[tuple(sorted(a + b)) for b in right] for a in left]
        ways = Counter(product for row in products for product in row)
        return np.array(
            [[self.weight[product] / ways[product] for product in row] for row in products]
        )


def write_polynomial(graph: Graph, student: Student, net: Polynomial) -> str:
    """Write a polynomial of degree 1 to 5; return the name of its unclipped scores."""
    return _WRITERS[net.degree](graph, _homogeneous(student, net))


def _homogeneous(student: Student, net: Polynomial) -> _Homogeneous:
    weights = net.weight.detach().numpy() * float(student.y_std)
    weights[0] += float(student.y_mean)
    mean_F, std_F = student.x_mean_F.numpy(), student.x_std_F.numpy()
    pairs = zip(net.monomials, weights, strict=True)
    return _Homogeneous(
        n=len(mean_F) + 1,
        weight={_padded(monomial, net.degree): weight for monomial, weight in pairs},
        # z = (x - mean) / std
        lift=np.vstack([np.zeros(len(mean_F)), np.diag(1 / std_F)]),
        shift=np.concatenate([[1.0], -mean_F / std_F]),
    )


def _padded(monomial: tuple[int, ...], degree: int) -> Product:
    """Return a monomial of features as a product of exactly `degree` entries of u."""
    return (0,) * (degree - len(monomial)) + tuple(feature + 1 for feature in monomial)


def _linear(graph: Graph, p: _Homogeneous) -> str:
    # p = w'z + w_0
    w = np.array([p.weight[(i,)] for i in range(p.n)])
    matrix = w[None, 1:] @ p.lift[1:]
    bias = w[1:] @ p.shift[1:] + w[0:1]
    return graph.vector(graph.dense(graph.features, matrix, bias))


def _quadratic(graph: Graph, p: _Homogeneous) -> str:
    # p = u'H u = sum_k lambda_k (v_k . u)^2, with eigenvalues lambda and eigenvectors v of H
    values, vectors = np.linalg.eigh(p.halves(p.products(1), p.products(1)))
    squares = _square(graph, p, vectors.T)
    return graph.vector(graph.dense(squares, values[None], np.zeros(1)))


def _cubic(graph: Graph, p: _Homogeneous) -> str:
    # p = q'H u = s'(back'H u)
    squares, back = _squares(graph, p)
    right = p.affine(graph, back.T @ p.halves(p.products(2), p.products(1)))
    return _dot(graph, squares, right)


def _quartic(graph: Graph, p: _Homogeneous) -> str:
    # p = q'H q = s'(back'H back s)
    squares, back = _squares(graph, p)
    matrix = back.T @ p.halves(p.products(2), p.products(2)) @ back
    return _dot(graph, squares, graph.add("MatMul", squares, matrix))


def _quintic(graph: Graph, p: _Homogeneous) -> str:
    # p = r'H q, with r all products of three: a product of two, times the last entry
    squares, back = _squares(graph, p)
    pairs, triples = p.products(2), p.products(3)
    pick = np.array([[float(pair == triple[:2]) for pair in pairs] for triple in triples])
    last = np.array([triple[2] for triple in triples])

    first_two = graph.add("MatMul", squares, (pick @ back).T)
    left = graph.add("Mul", first_two, graph.dense(graph.features, p.lift[last], p.shift[last]))
    right = graph.add("MatMul", squares, (p.halves(triples, pairs) @ back).T)
    return _dot(graph, left, right)


_WRITERS: dict[int, Callable[[Graph, _Homogeneous], str]] = {
    1: _linear,
    2: _quadratic,
    3: _cubic,
    4: _quartic,
    5: _quintic,
}


def _squares(graph: Graph, p: _Homogeneous) -> tuple[str, np.ndarray]:
    """Give the squares s, which span all products of two; return their name and `back`."""
    # s = ((u_i + u_j) / 2)^2; with i = j that is u_i^2
    sums = [(i, i) for i in range(p.n)] + list(combinations(range(p.n), 2))
    unit = np.eye(p.n)
    ends = np.array([(unit[i] + unit[j]) / 2 for i, j in sums])
    squares = _square(graph, p, ends)

    # (e . u)^2 = sum_i e_i^2 u_i^2 + sum_(i<j) 2 e_i e_j u_i u_j
    # In matrices: s = spread q, so q = spread^-1 s = back s
    spread = [[end[i] * end[j] * (1 if i == j else 2) for i, j in p.products(2)] for end in ends]
    return squares, np.linalg.inv(np.array(spread))


def _square(graph: Graph, p: _Homogeneous, matrix: np.ndarray) -> str:
    """Give (`matrix` u)^2, elementwise."""
    affine = p.affine(graph, matrix)
    return graph.add("Mul", affine, affine)


def _dot(graph: Graph, left: str, right: str) -> str:
    """Give the scalar product of each row: [N]."""
    product = graph.add("Mul", left, right)
    return graph.add("ReduceSum", product, np.array([1]), keepdims=0)
