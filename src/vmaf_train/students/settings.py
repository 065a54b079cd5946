"""How students are fitted, in plain values; free of torch, since every command starts with it."""

from dataclasses import dataclass

from vmaf_train.features import CANONICAL

# Names of the trainers: who runs the steps of a fit.
PLAIN, LIGHTNING = "plain", "lightning"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all fits of a run share.

    Attributes:
        epochs: passes over the table, counted in batches, of at most 512 each; 0 keeps the
            initial weights.
        batch_size: rows per step; below four, the teacher's points get none.
        lr: longest Gauss-Newton step (norm over all weights), or Adam's highest rate; 0 takes the
            solver's default.
        seed: for initial weights, batch order and the teacher's points.
        teacher_points: feature vectors labelled by the teacher that join the training rows.
        features: name of the feature set that the student reads.
    """

    epochs: int = 30
    batch_size: int = 64
    lr: float = 0.0
    seed: int = 0
    teacher_points: int = 8192
    features: str = CANONICAL.name


@dataclass(frozen=True)
class Job:
    """One student to fit: what sets it apart from those fitted beside it.

    Attributes:
        hold_out: sources that it must not see.
        seed: as in `Settings`.
        teacher_points: as in `Settings`.
    """

    hold_out: tuple[str, ...] = ()
    seed: int = 0
    teacher_points: int = 0
