"""The students, whole. An architecture is a row of ARCHITECTURES; a Student is its net with its standardisation.

A net maps standardised features, float64 of shape (..., rows, features) or (..., rows, frames, features) for the
temporal ones, to standardised scores of shape (..., rows). Leading axes are models that are trained together: nets
multiply with `@` only, so that weights stacked along them fit as well.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, pairwise, zip_longest
from typing import Literal, cast

import torch
from torch import Tensor, nn

from vmaf_train.errors import InputError
from vmaf_train.features import CANONICAL, SCORE_MAX, SCORE_MIN
from vmaf_train.teacher.svr import load_teacher

WINDOW = 5


class Dense(nn.Module):
    """A dense layer: `weight` (outputs, inputs) and `bias` (1, outputs), drawn as torch's own Linear draws them."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(
            torch.empty(outputs, inputs, dtype=torch.float64).uniform_(-bound, bound)
        )
        self.bias = (
            nn.Parameter(torch.empty(1, outputs, dtype=torch.float64).uniform_(-bound, bound))
            if bias
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        y = x @ self.weight.mT
        return y if self.bias is None else y + self.bias


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe and Szegedy, 2015); outside training by `mean` and `deviation` of all rows."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, width, dtype=torch.float64))
        self.shift = nn.Parameter(torch.zeros(1, width, dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(1, width, dtype=torch.float64))
        self.register_buffer("deviation", torch.ones(1, width, dtype=torch.float64))

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of each column over the rows."""
        return x.mean(-2, keepdim=True), (x.var(-2, correction=0, keepdim=True) + 1e-5).sqrt()

    def forward(self, x: Tensor) -> Tensor:
        mean, deviation = self.statistics(x) if self.training else (self.mean, self.deviation)
        return (x - mean) / deviation * self.scale + self.shift


class Mlp(nn.Module):
    """Dense layers with Tanh between them; a window of frames is read as one long row."""

    def __init__(
        self, inputs: int, hidden: Sequence[int], window: int = 1, normalised: bool = False
    ) -> None:
        super().__init__()
        widths = (inputs * window, *hidden, 1)
        self.window = window
        # A normalised layer's own bias would be taken away again.
        biased = [not normalised] * len(hidden) + [True]
        self.dense = nn.ModuleList(
            Dense(i, o, bias) for (i, o), bias in zip(pairwise(widths), biased, strict=True)
        )
        self.norms = nn.ModuleList(BatchNorm(width) for width in hidden if normalised)

    @property
    def layers(self) -> list[tuple[Dense, BatchNorm | None]]:
        """Each dense layer and the normalisation after it."""
        return list(
            zip_longest(cast(Iterable[Dense], self.dense), cast(Iterable[BatchNorm], self.norms))
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.window > 1:
            x = x.flatten(-2)
        *hidden, (last, _) = self.layers
        for layer, norm in hidden:
            x = torch.tanh(norm(layer(x)) if norm else layer(x))
        return cast(Tensor, last(x).squeeze(-1))

    def settle(self, x: Tensor) -> None:
        """Set every batch normalisation's statistics to those of these rows."""
        for layer, norm in self.layers:
            if norm is None:
                break
            x = layer(x)
            for buffer, value in zip((norm.mean, norm.deviation), norm.statistics(x), strict=True):
                buffer.copy_(value)
            x = torch.tanh(norm(x))


class Polynomial(nn.Module):
    """All monomials of the features up to a degree, weighted; solved for, so its weights start at zero."""

    def __init__(self, inputs: int, degree: int) -> None:
        super().__init__()
        self.degree = degree
        self.monomials = monomials(inputs, degree)
        self.weight = nn.Parameter(torch.zeros(len(self.monomials), dtype=torch.float64))

    def expand(self, x: Tensor) -> Tensor:
        """Return every monomial of each row: float64 of shape (rows, monomials)."""
        place = {monomial: index for index, monomial in enumerate(self.monomials)}
        columns = [torch.ones_like(x[..., 0])]
        for monomial in self.monomials[1:]:
            columns.append(columns[place[monomial[:-1]]] * x[..., monomial[-1]])
        return torch.stack(columns, -1)

    def forward(self, x: Tensor) -> Tensor:
        return self.expand(x) @ self.weight


class Transformer(nn.Module):
    """One attention block whose query is the middle frame of a window, with Relu in place of softmax.

    Source: Vaswani et al., 2017; Relu over the sequence's length as in Wortsman et al., Replacing softmax with ReLU
    in Vision Transformers, 2023. No layer norm: neither it nor softmax can be written with the contract's operators.
    """

    def __init__(self, inputs: int, width: int = 8, window: int = WINDOW) -> None:
        super().__init__()
        self.embed = Dense(inputs, width)
        self.position = nn.Parameter(
            torch.empty(window, width, dtype=torch.float64).normal_(0, 0.1)
        )
        self.query, self.key, self.value = (Dense(width, width) for _ in range(3))
        self.mix = Dense(width, width)
        self.widen, self.narrow = Dense(width, 2 * width), Dense(2 * width, width)
        self.out = Dense(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        window = x.shape[-2]
        frames = self.embed(x.flatten(-3, -2)).unflatten(
            -2, x.shape[-3:-1]
        ) + self.position.unsqueeze(-3)
        middle, flat = frames[..., window // 2, :], frames.flatten(-3, -2)
        key, value = (layer(flat).unflatten(-2, x.shape[-3:-1]) for layer in (self.key, self.value))
        attention = (
            torch.relu((self.query(middle).unsqueeze(-2) * key).sum(-1, keepdim=True)) / window
        )
        hidden = middle + self.mix((attention * value).sum(-2))
        hidden = hidden + self.narrow(torch.tanh(self.widen(hidden)))
        return cast(Tensor, self.out(hidden).squeeze(-1))


class SupportVectors(nn.Module):
    """The teacher's own SVR on raw features, in their order here; there is nothing to train."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.teacher = load_teacher()

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.teacher.score(x.numpy(), CANONICAL.features, clip=False))


@dataclass(frozen=True)
class Architecture:
    """A row of the table.

    Attributes:
        name: what `arch` selects.
        parameters: numbers that are fitted, on the canonical feature set; held against the net when it is built.
        solver: how training finds them.
        net: makes the net for a number of features.
        window: frames that one score is made from; above 1 the rows of a call must be one clip's frames, in order.
    """

    name: str
    parameters: int
    solver: Literal["least_squares", "gauss_newton", "adam", "none"]
    net: Callable[[int], nn.Module]
    window: int = 1


ARCHITECTURES = {
    row.name: row
    for row in (
        Architecture("linear", 7, "least_squares", lambda inputs: Polynomial(inputs, 1)),
        Architecture("quadratic", 28, "least_squares", lambda inputs: Polynomial(inputs, 2)),
        Architecture("cubic", 84, "least_squares", lambda inputs: Polynomial(inputs, 3)),
        Architecture("quartic", 210, "least_squares", lambda inputs: Polynomial(inputs, 4)),
        Architecture("quintic", 462, "least_squares", lambda inputs: Polynomial(inputs, 5)),
        Architecture("mlp_small", 257, "gauss_newton", lambda inputs: Mlp(inputs, (16, 8))),
        Architecture("mlp_medium", 2561, "gauss_newton", lambda inputs: Mlp(inputs, (64, 32))),
        Architecture(
            "mlp_bn", 1905, "adam", lambda inputs: Mlp(inputs, (32, 32, 16), normalised=True)
        ),
        Architecture(
            "cnn1d", 641, "gauss_newton", lambda inputs: Mlp(inputs, (16, 8), WINDOW), WINDOW
        ),
        Architecture("transformer", 673, "adam", Transformer, WINDOW),
        Architecture("teacher_svr", 0, "none", SupportVectors),
    )
}


class Student(nn.Module):
    """Raw features in, score out: standardise, net, undo the target's standardisation, clip.

    Attributes:
        features: names of the columns it reads, in order.
        x_mean_F, x_std_F, y_mean, y_std: float64 buffers; the training rows' mean and deviation.
        net: the trainable part, float64, from standardised features to a standardised score.
    """

    x_mean_F: Tensor
    x_std_F: Tensor
    y_mean: Tensor
    y_std: Tensor

    def __init__(self, architecture: Architecture, features: Sequence[str]) -> None:
        super().__init__()
        self.architecture, self.features = architecture, tuple(features)
        n_features = len(self.features)
        self.net = architecture.net(n_features)
        self.n_parameters = sum(weights.numel() for weights in self.net.parameters())
        if self.features == CANONICAL.features:
            assert self.n_parameters == architecture.parameters, (architecture, self.n_parameters)
        for name, value in (("x_mean_F", 0.0), ("x_std_F", 1.0)):
            self.register_buffer(name, torch.full((n_features,), value, dtype=torch.float64))
        for name, value in (("y_mean", 0.0), ("y_std", 1.0)):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64))

    def standardise_by(self, x_NF: Tensor, y_N: Tensor) -> None:
        """Take mean and deviation from these float64 rows; a constant column keeps deviation 1."""
        if self.architecture.solver == "none":
            return
        self.x_mean_F.copy_(x_NF.mean(0))
        self.y_mean.copy_(y_N.mean())
        for buffer, rows in ((self.x_std_F, x_NF), (self.y_std, y_N)):
            deviation = rows.std(0, correction=0)
            buffer.copy_(torch.where(deviation > 0, deviation, torch.ones_like(deviation)))

    def forward(self, x_NF: Tensor) -> Tensor:
        """Score raw feature rows, of one clip in order where the net reads windows.

        Args:
            x_NF: float of shape (frames, features).

        Returns:
            float32 of shape (frames,), 0 to 100.
        """
        z = (x_NF.double() - self.x_mean_F) / self.x_std_F
        if self.architecture.window > 1:
            z = windows(z, self.architecture.window)
        return (
            cast(Tensor, self.net(z) * self.y_std + self.y_mean).clamp(SCORE_MIN, SCORE_MAX).float()
        )


def monomials(inputs: int, degree: int) -> tuple[tuple[int, ...], ...]:
    """Return every product of features up to a degree as ascending feature numbers; the first, (), is 1."""
    return tuple(
        product
        for total in range(degree + 1)
        for product in combinations_with_replacement(range(inputs), total)
    )


def windows(z_TF: Tensor, window: int) -> Tensor:
    """Return the window around each frame, zeros beyond the ends: (frames, features) to (frames, window, features)."""
    reach = window // 2
    return nn.functional.pad(z_TF, (0, 0, reach, reach)).unfold(0, window, 1).mT


def find_architecture(name: str, features: Sequence[str] = CANONICAL.features) -> Architecture:
    """Return the row of this name, for students of these features.

    Raises:
        InputError: no such architecture, or one that cannot read these.
    """
    if name not in ARCHITECTURES:
        raise InputError(f"unknown arch {name!r}; choose one of: {', '.join(ARCHITECTURES)}")
    if ARCHITECTURES[name].solver == "none" and tuple(features) != CANONICAL.features:
        raise InputError(
            f"{name} is the teacher, which reads {len(CANONICAL.features)} features, not {len(features)}; "
            f"pass features={CANONICAL.name}, or another arch"
        )
    return ARCHITECTURES[name]


def build(name: str, features: Sequence[str], seed: int) -> Student:
    """Build a student with freshly drawn weights; the same seed draws the same ones."""
    architecture = find_architecture(name, features)
    torch.manual_seed(seed)
    return Student(architecture, features)
