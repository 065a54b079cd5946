"""Teacher's points: training rows that are drawn as feature vectors and labelled by the teacher.

Mixtures lie between and around the training rows, where content is likely. The cover fills the
feature box, which holds all values that features can take. It is densest at the faces of the box,
like Chebyshev nodes, because a smooth fit has its largest errors there.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

# How far a mixture can lie beyond either row, as a share of their distance.
BEYOND = 0.1
# Noise of a mixture, as a share of each feature's standard deviation.
JITTER = 0.1


@dataclass(frozen=True, eq=False)
class Box:
    """The feature box: all values that features can take; corners float64 of shape (features,)."""

    lowest_F: np.ndarray
    highest_F: np.ndarray

    def at(self, share: np.ndarray) -> np.ndarray:
        """Return the points at these shares of the way from the lower corner to the upper one."""
        points: np.ndarray = self.lowest_F + share * (self.highest_F - self.lowest_F)
        return points


def mixtures(x: np.ndarray, box: Box, n: int, draw: np.random.Generator) -> np.ndarray:
    """Draw points on the lines through two training rows, with a little noise.

    Args:
        x: float64 of shape (rows, features) or (rows, frames, features); training rows only.
        box: the feature box.
        n: number of points.
        draw: random generator.

    Returns:
        float64 of shape (n, features) or (n, frames, features), inside the feature box.
    """
    pairs = draw.integers(len(x), size=(2, n))
    weight = draw.uniform(-BEYOND, 1 + BEYOND, (n, *[1] * (x.ndim - 1)))
    mixed = weight * x[pairs[0]] + (1 - weight) * x[pairs[1]]
    mixed += draw.normal(size=mixed.shape) * JITTER * x.std(tuple(range(x.ndim - 1)))
    inside: np.ndarray = np.clip(mixed, box.lowest_F, box.highest_F)
    return inside


def cover(shape: tuple[int, ...], box: Box, draw: np.random.Generator) -> np.ndarray:
    """Draw float64 points of shape (*shape, features) over the feature box, more at its faces."""
    # With uniform u, (1 - cos(pi u)) / 2 has the arcsine distribution.
    return box.at((1 - np.cos(np.pi * draw.uniform(size=(*shape, len(box.highest_F))))) / 2)


def grid_of(n_features: int) -> np.ndarray:
    """Return corners, and middles of edges and faces of a box, as shares of the way through it.

    Returns:
        float64 of shape (3^features, features).
    """
    return np.array(list(product((0.0, 0.5, 1.0), repeat=n_features)))


def uniform(n: int, box: Box, draw: np.random.Generator) -> np.ndarray:
    """Draw float64 points of shape (n, features), uniform over the feature box."""
    return box.at(draw.uniform(size=(n, len(box.highest_F))))
