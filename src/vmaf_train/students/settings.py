"""Settings of a fit, as plain values; without torch, because every command imports this module."""

import sys
from dataclasses import dataclass

from vmaf_train.errors import InputError
from vmaf_train.features import CANONICAL

# Names of the trainers, which run the steps of a fit.
PLAIN, LIGHTNING = "plain", "lightning"
# What students learn: the teacher's frame scores, the opinion scores of clips, or both.
TEACHER, MOS, HYBRID = "teacher", "mos", "hybrid"
TARGETS = (TEACHER, MOS, HYBRID)
# A step of a network solves a system of as many equations as the batch has rows.
MOST_ROWS_PER_BATCH = 1024
MOST_POINTS = 1_000_000
# Names, least and greatest values of settings.
LIMITS = (
    ("batch_size", 1, MOST_ROWS_PER_BATCH),
    ("lr", 0, sys.float_info.max),
    ("teacher_points", 0, MOST_POINTS),
    ("mos_weight", 0, 1e6),
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings that all fits of a run share.

    Attributes:
        epochs: number of epochs. An epoch has as many batches as the table fills, but at most
            128; 0 keeps the initial weights.
        batch_size: rows per step; below 4, a batch holds no teacher's points.
        lr: longest Gauss-Newton step (norm over all weights), or Adam's highest learning rate; 0
            takes the solver's default.
        seed: seed for initial weights, batch order and the teacher's points.
        teacher_points: feature vectors labelled by the teacher that join the training rows.
        features: name of the feature set that the student reads.
        targets: what the student learns, one of TARGETS.
        mos_weight: for hybrid, weight of the clips' opinion scores in the loss; that of the
            teacher's frame scores is 1.

    Raises:
        InputError: `targets` is unknown, or a number is out of its limits.
    """

    epochs: int = 30
    batch_size: int = 64
    lr: float = 0.0
    seed: int = 0
    teacher_points: int = 8192
    features: str = CANONICAL.name
    targets: str = TEACHER
    mos_weight: float = 10.0

    def __post_init__(self) -> None:
        if self.targets not in TARGETS:
            raise InputError(
                f"unknown targets {self.targets!r}; choose one of: {', '.join(TARGETS)}"
            )
        for name, least, most in LIMITS:
            value = getattr(self, name)
            # False for NaN, too.
            if not least <= value <= most:
                raise InputError(f"{name} {value:g} is not from {least:g} to {most:g}; change it")

    @property
    def aim(self) -> "Aim":
        """What the students learn."""
        return Aim(self.targets, self.mos_weight)


@dataclass(frozen=True)
class Aim:
    """What students learn: see `Settings`."""

    targets: str = TEACHER
    mos_weight: float = Settings.mos_weight


TEACHER_AIM = Aim()


@dataclass(frozen=True)
class Job:
    """One student to fit; it shares all other settings with the students that are fitted with it.

    Attributes:
        hold_out: sources that the student must not see.
        seed: see `Settings`.
        teacher_points: see `Settings`.
    """

    hold_out: tuple[str, ...] = ()
    seed: int = 0
    teacher_points: int = 0
