"""Teacher-labelled points: feature vectors that join the training rows, scored by the teacher without any pixel.

Mixtures lie between and around the training rows, where content is likely. The cover spans the whole box of values
that features can take, densest at its faces (an arcsine law, as of Chebyshev nodes), since that is where a smooth
fit goes wrong first.
"""

import numpy as np

from vmaf_train.features import HIGHEST

BEYOND = 0.1
JITTER = 0.1


def mixtures(
    x: np.ndarray, features: tuple[str, ...], n: int, draw: np.random.Generator
) -> np.ndarray:
    """Draw points on the lines through two training rows, up to a tenth beyond either, and jitter them.

    Args:
        x: float64 of shape (rows, features) or (rows, frames, features); only training rows may be among them.
        features: names of the last axis.
        n: how many.
        draw: source of randomness.

    Returns:
        float64 of the shape of `x` with `n` in place of rows, inside the feasible box.
    """
    pairs = draw.integers(len(x), size=(2, n))
    weight = draw.uniform(-BEYOND, 1 + BEYOND, (n, *[1] * (x.ndim - 1)))
    mixed = weight * x[pairs[0]] + (1 - weight) * x[pairs[1]]
    mixed += draw.normal(size=mixed.shape) * JITTER * x.std(tuple(range(x.ndim - 1)))
    inside: np.ndarray = np.clip(mixed, 0, [HIGHEST[name] for name in features])
    return inside


def cover(
    shape: tuple[int, ...], features: tuple[str, ...], draw: np.random.Generator
) -> np.ndarray:
    """Draw float64 points of shape (*shape, features) over the feasible box, densest at its faces."""
    share = (1 - np.cos(np.pi * draw.uniform(size=(*shape, len(features))))) / 2
    return share * [HIGHEST[name] for name in features]


def uniform(n: int, features: tuple[str, ...], draw: np.random.Generator) -> np.ndarray:
    """Draw float64 points of shape (n, features), each place of the feasible box as likely as any other."""
    return draw.uniform(size=(n, len(features))) * [HIGHEST[name] for name in features]
