"""Teacher's points: training rows that are drawn as feature vectors and labelled by the teacher.

Mixtures lie between and around the training rows, where content is likely. The cover fills the
feature box, which holds all values that features can take. It is densest at the faces of the box,
like Chebyshev nodes, because a smooth fit has its largest errors there.
"""

import numpy as np

# How far a mixture can lie beyond either row, as a share of their distance.
BEYOND = 0.1
# Noise of a mixture, as a share of each feature's standard deviation.
JITTER = 0.1


def mixtures(x: np.ndarray, highest_F: np.ndarray, n: int, draw: np.random.Generator) -> np.ndarray:
    """Draw points on the lines through two training rows, with a little noise.

    Args:
        x: float64 of shape (rows, features) or (rows, frames, features); training rows only.
        highest_F: float64 of shape (features,), the upper corner of the feature box.
        n: number of points.
        draw: random generator.

    Returns:
        float64 of shape (n, features) or (n, frames, features), inside the feature box.
    """
    pairs = draw.integers(len(x), size=(2, n))
    weight = draw.uniform(-BEYOND, 1 + BEYOND, (n, *[1] * (x.ndim - 1)))
    mixed = weight * x[pairs[0]] + (1 - weight) * x[pairs[1]]
    mixed += draw.normal(size=mixed.shape) * JITTER * x.std(tuple(range(x.ndim - 1)))
    inside: np.ndarray = np.clip(mixed, 0, highest_F)
    return inside


def cover(shape: tuple[int, ...], highest_F: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Draw float64 points of shape (*shape, features) over the feature box, more at its faces."""
    # With uniform u, (1 - cos(pi u)) / 2 has the arcsine distribution.
    share = (1 - np.cos(np.pi * draw.uniform(size=(*shape, len(highest_F))))) / 2
    points: np.ndarray = share * highest_F
    return points


def uniform(n: int, highest_F: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Draw float64 points of shape (n, features), uniform over the feature box."""
    points: np.ndarray = draw.uniform(size=(n, len(highest_F))) * highest_F
    return points
