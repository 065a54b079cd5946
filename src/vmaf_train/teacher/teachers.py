"""The table of teachers: which VMAF model students imitate, and what they may ask of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vmaf_train.errors import InputError
from vmaf_train.features import ADM_DETAILS, CANONICAL
from vmaf_train.teacher.svr import Svr, packaged_model, read_svr


@dataclass(frozen=True, eq=False)
class Teacher:
    """A VMAF model that libvmaf runs and that NumPy can run on features alone.

    Attributes:
        name: of the model built into libvmaf (its option `model=version=`).
        features: what the model reads, in the column order of every matrix here.
        byproducts: what libvmaf logs in the same pass beside `features`, where the build does.
        highest: the highest value of each feature that content can reach; the lowest is 0.
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
        """The model itself, read from the package data at first use.

        Raises:
            InputError: the model file is missing or cannot be read.
        """
        return read_svr(packaged_model(self.name))

    @property
    def logged(self) -> tuple[str, ...]:
        """Every feature that a pass may log: `features`, then `byproducts`."""
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
        """Return which of the teacher's features are not among these."""
        given = set(features)
        return tuple(name for name in self.features if name not in given)

    def columns_for(self, features: Iterable[str]) -> tuple[str, ...]:
        """Return the columns that a table for such students needs: the teacher's, then others."""
        return tuple(dict.fromkeys((*self.features, *features)))

    def highest_of(self, features: Iterable[str]) -> np.ndarray:
        """Return the upper corner of the feature box: float64 of shape (features,)."""
        return np.array([self.highest[name] for name in features])


# 1.05, not 1: an enhanced picture scores higher than its reference.
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
