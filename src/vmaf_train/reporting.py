"""What the pipeline tells while it works, for whoever wants to show it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmaf_train.students.training import Epoch


class Reporter:
    """Takes what happens; this one keeps quiet."""

    def say(self, line: str) -> None:
        """Take one line for people."""

    @contextmanager
    def extraction(self, pairs: int, frames: int) -> Iterator[Callable[[int], None]]:
        """Follow an extraction; yields what is called with the frames of each pair done."""
        yield lambda frames: None

    @contextmanager
    def making_demo(self, clips: int) -> Iterator[Callable[[str], None]]:
        """Follow the making of the demo corpus; yields what is called with each clip's name."""
        yield lambda clip: None

    @contextmanager
    def scoring(self, pairs: int) -> Iterator[Callable[[str], None]]:
        """Follow the scoring of pairs; yields what is called with each distorted video's name."""
        yield lambda dis: None

    def epoch(self, epoch: "Epoch", of: int) -> None:
        """Take the state of a fit after each epoch."""
