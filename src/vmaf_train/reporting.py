"""Progress of a command: the pipeline calls the methods of a Reporter while it runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """State of a fit after an epoch.

    Attributes:
        number: number of the epoch, from 1.
        train_loss: mean squared error on standardised scores.
        val_rmse: RMSE on the validation rows, in score points.
    """

    number: int
    train_loss: float
    val_rmse: float


class Reporter:
    """Receives progress and shows nothing. Subclasses override methods to show it."""

    def say(self, line: str) -> None:
        """Receive one line of text."""

    @contextmanager
    def extraction(self, pairs: int, frames: int) -> Iterator[Callable[[int], None]]:
        """Follow an extraction; call the yielded function with each finished pair's frame count."""
        yield lambda frames: None

    @contextmanager
    def making(self, what: str, clips: int) -> Iterator[Callable[[str], None]]:
        """Follow the making of clips; call the yielded function with each made clip."""
        yield lambda clip: None

    @contextmanager
    def scoring(self, pairs: int) -> Iterator[Callable[[str], None]]:
        """Follow the scoring of pairs; call the yielded function with each scored dis."""
        yield lambda dis: None

    def epoch(self, epoch: Epoch, of: int) -> None:
        """Receive the state of a fit after an epoch; `of` is the number of epochs."""
