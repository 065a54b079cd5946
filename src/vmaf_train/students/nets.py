"""The nets: from standardised features to standardised scores.

A net takes float64 of shape (..., rows, features), or (..., rows, window, features) if it reads
windows, and returns float64 of shape (..., rows). A leading axis can be jobs that are trained
together: nets multiply with `@` only, so weights stacked along that axis work too.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations_with_replacement, pairwise, zip_longest
from typing import cast

import torch
from torch import Tensor, nn

from vmaf_train.teacher.teachers import Teacher

# Frames that a temporal net reads for one score: the frame itself and two on either side.
WINDOW = 5


class Net(nn.Module):
    """Base of all nets.

    Attributes:
        settles: whether it keeps statistics of the training rows; `settle` sets them after each
            epoch.
    """

    settles = False

    def settle(self, z: Tensor) -> None:
        """Set the statistics to those of standardised rows; most nets have none.

        Args:
            z: float64 of shape (rows, features).
        """


class Dense(nn.Module):
    """A dense layer, y = x W' + b, initialised as `torch.nn.Linear`.

    Attributes:
        weight: W, float64 of shape (outputs, inputs).
        bias: b, float64 of shape (1, outputs), or None.
    """

    def __init__(self, inputs: int, outputs: int, *, biased: bool = True) -> None:
        super().__init__()
        # U(-k, k) with k = 1 / sqrt(inputs)
        bound = inputs**-0.5
        weight = torch.empty(outputs, inputs, dtype=torch.float64)
        bias = torch.empty(1, outputs, dtype=torch.float64)
        self.weight = nn.Parameter(weight.uniform_(-bound, bound))
        self.bias = nn.Parameter(bias.uniform_(-bound, bound)) if biased else None

    def forward(self, x: Tensor) -> Tensor:
        y = x @ self.weight.mT
        return y if self.bias is None else y + self.bias


class BatchNorm(nn.Module):
    """Batch normalisation of columns: by the batch's statistics in training, else by settled ones.

    Source: Ioffe and Szegedy, Batch Normalization, 2015.

    Attributes:
        scale, shift: parameters, float64 of shape (1, width).
        mean, deviation: settled statistics, float64 of shape (1, width).
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        zeros = torch.zeros(1, width, dtype=torch.float64)
        ones = torch.ones(1, width, dtype=torch.float64)
        self.scale = nn.Parameter(ones.clone())
        self.shift = nn.Parameter(zeros.clone())
        self.register_buffer("mean", zeros)
        self.register_buffer("deviation", ones)

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of each column, both of shape (..., 1, width)."""
        mean = x.mean(-2, keepdim=True)
        variance = x.var(-2, correction=0, keepdim=True)
        # 1e-5 as in torch.nn.BatchNorm1d.
        return mean, (variance + 1e-5).sqrt()

    def forward(self, x: Tensor) -> Tensor:
        mean, deviation = self.statistics(x) if self.training else (self.mean, self.deviation)
        return (x - mean) / deviation * self.scale + self.shift


class Mlp(Net):
    """Dense layers with Tanh between them and, if asked for, batch normalisation before each Tanh.

    Args:
        inputs: number of features.
        hidden: widths of the hidden layers.
        normalised: whether hidden layers have batch normalisation.
    """

    def __init__(self, inputs: int, hidden: Sequence[int], *, normalised: bool = False) -> None:
        super().__init__()
        self.settles = normalised
        widths = (inputs, *hidden, 1)
        # Batch normalisation subtracts the mean, so a bias before it has no effect.
        biased = [not normalised] * len(hidden) + [True]
        self.dense = nn.ModuleList(
            Dense(i, o, biased=b) for (i, o), b in zip(pairwise(widths), biased, strict=True)
        )
        self.norms = nn.ModuleList(BatchNorm(width) for width in hidden if normalised)

    @property
    def layers(self) -> list[tuple[Dense, BatchNorm | None]]:
        """Each dense layer and the normalisation after it."""
        dense = cast(Iterable[Dense], self.dense)
        norms = cast(Iterable[BatchNorm], self.norms)
        return list(zip_longest(dense, norms))

    def forward(self, x: Tensor) -> Tensor:
        *hidden, (last, _) = self.layers
        for layer, norm in hidden:
            x = torch.tanh(norm(layer(x)) if norm else layer(x))
        y: Tensor = last(x).squeeze(-1)
        return y

    def settle(self, z: Tensor) -> None:
        """Set the statistics of every batch normalisation to those of these rows."""
        for layer, norm in self.layers:
            if norm is None:
                break
            given = layer(z)
            mean, deviation = norm.statistics(given)
            norm.mean.copy_(mean)
            norm.deviation.copy_(deviation)
            z = torch.tanh(norm(given))


class TemporalMlp(Mlp):
    """An Mlp that reads a window of frames as one long row; in ONNX, a convolution over time."""

    def __init__(self, inputs: int, hidden: Sequence[int], *, window: int = WINDOW) -> None:
        super().__init__(inputs * window, hidden)
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(-2))


class Polynomial(Net):
    """A weighted sum of all monomials of the features up to a degree; its weights start at zero.

    Attributes:
        degree: highest degree of a monomial.
        monomials: the feature numbers of each monomial, ascending; see the function `monomials`.
        weight: float64 of shape (monomials,).
    """

    def __init__(self, inputs: int, degree: int) -> None:
        super().__init__()
        self.degree = degree
        self.monomials = monomials(inputs, degree)
        self.weight = nn.Parameter(torch.zeros(len(self.monomials), dtype=torch.float64))

    def expand(self, x: Tensor) -> Tensor:
        """Return every monomial of each row: float64 of shape (..., rows, monomials)."""
        columns: dict[tuple[int, ...], Tensor] = {(): torch.ones_like(x[..., 0])}
        for monomial in self.monomials[1:]:
            # A monomial is one of a degree less, times its last feature.
            columns[monomial] = columns[monomial[:-1]] * x[..., monomial[-1]]
        return torch.stack(list(columns.values()), -1)

    def forward(self, x: Tensor) -> Tensor:
        return self.expand(x) @ self.weight


def monomials(inputs: int, degree: int) -> tuple[tuple[int, ...], ...]:
    """Return all products of features up to a degree, each as ascending feature numbers.

    The first, (), is the constant 1; (0, 0, 2) is the first feature squared times the third.
    """
    return tuple(
        product
        for total in range(degree + 1)
        for product in combinations_with_replacement(range(inputs), total)
    )


class Transformer(Net):
    """One attention block whose query is the middle frame of a window.

    Relu, divided by the window's length, stands in place of softmax, and there is no layer norm:
    the contract's operators allow neither softmax nor layer norm.

    Source: Vaswani et al., Attention Is All You Need, 2017; Wortsman et al., Replacing softmax with
    ReLU in Vision Transformers, 2023.

    Args:
        inputs: number of features.
        width: width of the embedding; the feed-forward layer is twice as wide.
        window: number of frames.
    """

    def __init__(self, inputs: int, width: int = 8, window: int = WINDOW) -> None:
        super().__init__()
        self.embed = Dense(inputs, width)
        position = torch.empty(window, width, dtype=torch.float64)
        self.position = nn.Parameter(position.normal_(0, 0.1))
        self.query = Dense(width, width)
        self.key = Dense(width, width)
        self.value = Dense(width, width)
        self.mix = Dense(width, width)
        self.widen = Dense(width, 2 * width)
        self.narrow = Dense(2 * width, width)
        self.out = Dense(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        rows_and_window = x.shape[-3:-1]
        window = x.shape[-2]

        def per_frame(layer: Dense, frames: Tensor) -> Tensor:
            """Apply a layer to each frame of (..., rows, window, inputs).

            Rows and window become one axis, so that weights stacked by job fit the axis before it.
            """
            y: Tensor = layer(frames.flatten(-3, -2)).unflatten(-2, rows_and_window)
            return y

        frames = per_frame(self.embed, x) + self.position.unsqueeze(-3)
        middle = frames[..., window // 2, :]
        key, value = per_frame(self.key, frames), per_frame(self.value, frames)

        # attention = relu(query . key) / window, of shape (..., rows, window, 1)
        product = (self.query(middle).unsqueeze(-2) * key).sum(-1, keepdim=True)
        attention = torch.relu(product) / window

        # Residual connections around attention and feed-forward.
        hidden = middle + self.mix((attention * value).sum(-2))
        hidden = hidden + self.narrow(torch.tanh(self.widen(hidden)))
        y: Tensor = self.out(hidden).squeeze(-1)
        return y


class SupportVectors(Net):
    """The teacher's SVR: it reads raw features, gives unclipped scores, and needs no training.

    Args:
        inputs: number of features; they must be all of the teacher's, in its order.
        teacher: the teacher.
    """

    def __init__(self, inputs: int, teacher: Teacher) -> None:
        super().__init__()
        assert inputs == len(teacher.features), (inputs, teacher)
        self.teacher = teacher

    def forward(self, x: Tensor) -> Tensor:
        score_N = self.teacher.score(x.numpy(), self.teacher.features, clip=False)
        return torch.from_numpy(score_N)
