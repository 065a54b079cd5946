"""The table of architectures, and the Student: a net with the standardisation around it.

A new architecture is a row of ARCHITECTURES, and a row of export.WRITERS if its net is new.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vmaf_train.errors import InputError
from vmaf_train.features import CANONICAL
from vmaf_train.students.gauss_newton import GaussNewton
from vmaf_train.students.nets import (
    WINDOW,
    Mlp,
    Net,
    Polynomial,
    SupportVectors,
    TemporalMlp,
    Transformer,
)
from vmaf_train.students.solvers import Adam, LeastSquares, NoTraining, Solver
from vmaf_train.teacher.teachers import DEFAULT_TEACHER, Teacher


@dataclass(frozen=True)
class Architecture:
    """A row of the table.

    Attributes:
        name: value of the option `arch`.
        parameters: number of trained parameters on the canonical feature set; checked when a
            student is built.
        solver: class of the solver that finds the parameters.
        net: makes the net from a number of features and the teacher; few nets use the teacher.
        window: number of frames that one score depends on; above 1, the rows of a call must be the
            frames of one clip, in order.
    """

    name: str
    parameters: int
    solver: type[Solver[Any]]
    net: Callable[[int, Teacher], Net]
    window: int = 1

    @property
    def trained(self) -> bool:
        """Whether there is a net to train; if not, the student is the teacher itself."""
        return self.solver.trained

    @property
    def takes_steps(self) -> bool:
        """Whether training moves the weights batch by batch."""
        return self.solver.takes_steps


ARCHITECTURES = {
    row.name: row
    for row in (
        Architecture("linear", 7, LeastSquares, lambda inputs, teacher: Polynomial(inputs, 1)),
        Architecture("quadratic", 28, LeastSquares, lambda inputs, teacher: Polynomial(inputs, 2)),
        Architecture("cubic", 84, LeastSquares, lambda inputs, teacher: Polynomial(inputs, 3)),
        Architecture("quartic", 210, LeastSquares, lambda inputs, teacher: Polynomial(inputs, 4)),
        Architecture("quintic", 462, LeastSquares, lambda inputs, teacher: Polynomial(inputs, 5)),
        Architecture("mlp_small", 257, GaussNewton, lambda inputs, teacher: Mlp(inputs, (16, 8))),
        Architecture(
            "mlp_medium", 2561, GaussNewton, lambda inputs, teacher: Mlp(inputs, (64, 32))
        ),
        Architecture(
            "mlp_bn", 1905, Adam, lambda inputs, teacher: Mlp(inputs, (32, 32, 16), normalised=True)
        ),
        Architecture(
            "cnn1d",
            641,
            GaussNewton,
            lambda inputs, teacher: TemporalMlp(inputs, (16, 8)),
            window=WINDOW,
        ),
        Architecture(
            "transformer", 673, Adam, lambda inputs, teacher: Transformer(inputs), window=WINDOW
        ),
        Architecture("teacher_svr", 0, NoTraining, SupportVectors),
    )
}


class Student(nn.Module):
    """Raw features in, score out: standardise, apply the net, undo the target's scale, clip.

    Attributes:
        architecture: its row of ARCHITECTURES.
        teacher: the teacher whose scores it imitates.
        features: names of the columns that it reads, in order.
        n_parameters: number of trained parameters.
        x_mean_F, x_std_F: float64 of shape (features,); mean and deviation of the training rows.
        y_mean, y_std: float64 scalars; mean and deviation of the training scores.
        net: the trained part.
    """

    x_mean_F: Tensor
    x_std_F: Tensor
    y_mean: Tensor
    y_std: Tensor

    def __init__(
        self, architecture: Architecture, features: Sequence[str], teacher: Teacher
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.teacher = teacher
        self.features = tuple(features)
        self.net = architecture.net(len(self.features), teacher)
        self.n_parameters = sum(weights.numel() for weights in self.net.parameters())
        if self.features == CANONICAL.features:
            assert self.n_parameters == architecture.parameters, (architecture, self.n_parameters)

        zeros_F = torch.zeros(len(self.features), dtype=torch.float64)
        self.register_buffer("x_mean_F", zeros_F)
        self.register_buffer("x_std_F", torch.ones_like(zeros_F))
        self.register_buffer("y_mean", torch.tensor(0.0, dtype=torch.float64))
        self.register_buffer("y_std", torch.tensor(1.0, dtype=torch.float64))

    def standardise_by(self, x_NF: Tensor, y_N: Tensor) -> None:
        """Set mean and deviation to those of training rows; a constant column gets deviation 1.

        The teacher's SVR reads raw values, so this changes nothing there.

        Args:
            x_NF: float64 of shape (rows, features), raw values.
            y_N: float64 of shape (rows,), scores.
        """
        if not self.architecture.trained:
            return
        self.x_mean_F.copy_(x_NF.mean(0))
        self.y_mean.copy_(y_N.mean())
        self.x_std_F.copy_(_deviation(x_NF))
        self.y_std.copy_(_deviation(y_N))

    def forward(self, x_NF: Tensor) -> Tensor:
        """Score raw feature rows.

        Args:
            x_NF: float of shape (frames, features); for a net that reads windows, the frames of one
                clip, in order.

        Returns:
            float32 of shape (frames,), within the teacher's `score_range`.
        """
        z = (self._corrected(x_NF.double()) - self.x_mean_F) / self.x_std_F
        if self.architecture.window > 1:
            z = windows(z, self.architecture.window)
        score_N: Tensor = self.net(z) * self.y_std + self.y_mean
        return score_N.clamp(*self.teacher.score_range).float()

    def _corrected(self, x_NF: Tensor) -> Tensor:
        """Return features as the teacher corrects them; see `Correction` in teacher/svr.py."""
        correction = self.teacher.correction_in(self.features)
        if correction is None:
            return x_NF
        chroma_N = x_NF[:, correction.chroma]
        stand_in_N = correction.parameter * (1 - x_NF[:, correction.adm3])
        corrected = x_NF.clone()
        corrected[:, correction.chroma] = torch.where(chroma_N == 0, stand_in_N, chroma_N)
        return corrected


def _deviation(values: Tensor) -> Tensor:
    """Return the standard deviation along the first axis, 1 where it is 0."""
    deviation = values.std(0, correction=0)
    return torch.where(deviation > 0, deviation, torch.ones_like(deviation))


def windows(z_TF: Tensor, window: int) -> Tensor:
    """Return the window around each frame of a clip, with zeros beyond its ends.

    Args:
        z_TF: standardised features, float64 of shape (frames, features).
        window: number of frames, odd.

    Returns:
        float64 of shape (frames, window, features).
    """
    reach = window // 2
    return nn.functional.pad(z_TF, (0, 0, reach, reach)).unfold(0, window, 1).mT


def find_architecture(
    name: str, features: Sequence[str], teacher: Teacher = DEFAULT_TEACHER
) -> Architecture:
    """Return the row of this name, for students that read these features.

    Raises:
        InputError: no such architecture, or it cannot read these features.
    """
    if name not in ARCHITECTURES:
        raise InputError(f"unknown arch {name!r}; choose one of: {', '.join(ARCHITECTURES)}")
    architecture = ARCHITECTURES[name]
    if not architecture.trained and tuple(features) != teacher.features:
        raise InputError(
            f"{name} is the teacher, which reads {len(teacher.features)} features, "
            f"not {len(features)}; pass features={CANONICAL.name}, or another arch"
        )
    return architecture


def check_learns(architecture: Architecture, targets: str) -> None:
    """Raise InputError if an architecture has nothing to learn opinion scores with."""
    if not architecture.trained:
        raise InputError(
            f"{architecture.name} is the teacher itself and learns no {targets}; pass another arch"
        )


def build(
    name: str, features: Sequence[str], seed: int, teacher: Teacher = DEFAULT_TEACHER
) -> Student:
    """Build a student with random initial weights; the same seed draws the same weights.

    Raises:
        InputError: there is no such architecture, or it cannot read these features.
    """
    architecture = find_architecture(name, features, teacher)
    torch.manual_seed(seed)
    return Student(architecture, features, teacher)
