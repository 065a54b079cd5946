"""The table of teachers: the VMAF models that students imitate."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vmaf_train.errors import InputError
from vmaf_train.features import ADM_DETAILS, CANONICAL
from vmaf_train.teacher.svr import Svr, packaged_model, read_svr


@dataclass(frozen=True, eq=False)
class Teacher:
    """A VMAF model. libvmaf runs it on videos, NumPy runs it on feature vectors.

    Attributes:
        name: name of the model in libvmaf, for the option `model=version=`.
        features: features that the model reads, in the column order of every matrix here.
        byproducts: further features in the log of the same pass; some builds do not log all.
        highest: the highest value of each feature that content can reach; the lowest is 0. These
            are the limits of the feature box.
        score_key: the key of the score in libvmaf's log.
        score_range: lowest and highest score, in score points.
    """

    name: str
    features: tuple[str, ...]
    byproducts: tuple[str, ...]
    highest: Mapping[str, float]
    score_key: str = "vmaf"
    score_range: tuple[float, float] = (0.0, 100.0)

    @cached_property
    def svr(self) -> Svr:
        """The model's SVR, read from the package data at first use.

        Raises:
            InputError: the model file is missing or cannot be read.
        """
        return read_svr(packaged_model(self.name))

    @property
    def logged(self) -> tuple[str, ...]:
        """Every feature that a pass can log: `features`, then `byproducts`."""
        return (*self.features, *self.byproducts)

    def score(self, x_NF: np.ndarray, features: Sequence[str], clip: bool = True) -> np.ndarray:
        """Score feature vectors without any pixel.

        Args:
            x_NF: float of shape (frames, features), raw libvmaf values.
            features: names of the columns, in any order.
            clip: limit scores to `score_range`, as libvmaf does. Without it the function is smooth.

        Returns:
            float64 of shape (frames,), in score points.
        """
        return self.svr.score(x_NF, features, clip=clip)

    def missing_from(self, features: Iterable[str]) -> tuple[str, ...]:
        """Return the teacher's features that are not among `features`."""
        given = set(features)
        return tuple(name for name in self.features if name not in given)

    def columns_for(self, features: Iterable[str]) -> tuple[str, ...]:
        """Return the columns of a table for students of `features`: the teacher's, then others."""
        return tuple(dict.fromkeys((*self.features, *features)))

    def highest_of(self, features: Iterable[str]) -> np.ndarray:
        """Return the upper corner of the feature box: float64 of shape (features,)."""
        return np.array([self.highest[name] for name in features])


# 1.05, not 1: an enhanced picture has higher features than its reference.
VMAF_V061 = Teacher(
    name="vmaf_v0.6.1",
    features=CANONICAL.features,
    byproducts=ADM_DETAILS,
    highest={**dict.fromkeys((*CANONICAL.features, *ADM_DETAILS), 1.05), "motion2": 40.0},
)
TEACHERS = {row.name: row for row in (VMAF_V061,)}
DEFAULT_TEACHER = VMAF_V061


def find_teacher(name: str) -> Teacher:
    """Return the teacher of this name.

    Raises:
        InputError: no such teacher.
    """
    if name not in TEACHERS:
        raise InputError(f"unknown teacher {name!r}; choose one of: {', '.join(TEACHERS)}")
    return TEACHERS[name]
