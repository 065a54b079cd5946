"""Progress of the pipeline, told to a Reporter while the work runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """State of a fit after an epoch.

    Attributes:
        number: of the epoch, from 1.
        train_loss: mean squared error on standardised scores.
        val_rmse: RMSE on the validation rows, in score points.
    """

    number: int
    train_loss: float
    val_rmse: float


class Reporter:
    """Takes progress; this one shows nothing. Subclasses override what they show."""

    def say(self, line: str) -> None:
        """Take one line of text."""

    @contextmanager
    def extraction(self, pairs: int, frames: int) -> Iterator[Callable[[int], None]]:
        """Follow an extraction; call the yielded function with the frames of each pair done."""
        yield lambda frames: None

    @contextmanager
    def making_demo(self, clips: int) -> Iterator[Callable[[str], None]]:
        """Follow the making of the demo corpus; call the yielded function with each clip's name."""
        yield lambda clip: None

    @contextmanager
    def scoring(self, pairs: int) -> Iterator[Callable[[str], None]]:
        """Follow the scoring of pairs; call the yielded function with the name of each dis."""
        yield lambda dis: None

    def epoch(self, epoch: Epoch, of: int) -> None:
        """Take the state of a fit after each of `of` epochs."""
