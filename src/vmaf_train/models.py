"""The students, whole. An architecture is a row of ARCHITECTURES; a Student is one with its standardisation."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from vmaf_train.errors import InputError
from vmaf_train.features import CANONICAL, SCORE_MAX, SCORE_MIN


@dataclass(frozen=True)
class Architecture:
    """A stack of dense layers with Tanh between them; no hidden layer makes it affine.

    Attributes:
        name: what `arch` selects.
        hidden: widths of the hidden layers.
        parameters: trainable numbers on the canonical feature set; held against the model when it is built.
    """

    name: str
    hidden: tuple[int, ...]
    parameters: int


ARCHITECTURES = {
    row.name: row
    for row in (
        Architecture("linear", (), 7),
        Architecture("mlp_small", (16, 8), 257),
        Architecture("mlp_medium", (64, 32), 2561),
    )
}


class Student(nn.Module):
    """Raw features in, score out: standardise, dense layers, undo the target's standardisation, clip.

    Attributes:
        x_mean_F, x_std_F, y_mean, y_std: float64 buffers; the training rows' mean and deviation.
        layers: the trainable part, float32, from standardised features to a standardised score.
    """

    x_mean_F: Tensor
    x_std_F: Tensor
    y_mean: Tensor
    y_std: Tensor

    def __init__(self, architecture: Architecture, n_features: int) -> None:
        super().__init__()
        self.architecture = architecture
        widths = (n_features, *architecture.hidden, 1)
        stack: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            stack += [nn.Linear(inputs, outputs), nn.Tanh()]
        self.layers = nn.Sequential(*stack[:-1])
        self.n_parameters = sum(weights.numel() for weights in self.layers.parameters())
        if n_features == len(CANONICAL.features):
            assert self.n_parameters == architecture.parameters, (architecture, self.n_parameters)
        for name, value in (("x_mean_F", 0.0), ("x_std_F", 1.0)):
            self.register_buffer(name, torch.full((n_features,), value, dtype=torch.float64))
        for name, value in (("y_mean", 0.0), ("y_std", 1.0)):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64))

    def standardise_by(self, x_NF: Tensor, y_N: Tensor) -> None:
        """Take mean and deviation from these float64 rows; a constant column keeps deviation 1."""
        self.x_mean_F.copy_(x_NF.mean(0))
        self.y_mean.copy_(y_N.mean())
        for buffer, rows in ((self.x_std_F, x_NF), (self.y_std, y_N)):
            deviation = rows.std(0, correction=0)
            buffer.copy_(torch.where(deviation > 0, deviation, torch.ones_like(deviation)))

    def standardised(self, x_NF: Tensor) -> Tensor:
        """Return float32 of shape (frames, features), mean 0 and deviation 1 on the training rows."""
        return ((x_NF.double() - self.x_mean_F) / self.x_std_F).float()

    def forward(self, x_NF: Tensor) -> Tensor:
        """Score raw feature rows: float of shape (frames, features) to float32 of shape (frames,), 0 to 100."""
        z_N: Tensor = self.layers(self.standardised(x_NF)).squeeze(-1)
        return (z_N.double() * self.y_std + self.y_mean).clamp(SCORE_MIN, SCORE_MAX).float()


def find_architecture(name: str) -> Architecture:
    """Return the row of this name.

    Raises:
        InputError: no such architecture.
    """
    if name not in ARCHITECTURES:
        raise InputError(f"unknown arch {name!r}; choose one of: {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def build(name: str, features: Sequence[str], seed: int) -> Student:
    """Build a student with freshly drawn weights; the same seed draws the same ones."""
    architecture = find_architecture(name)
    torch.manual_seed(seed)
    return Student(architecture, len(features))
