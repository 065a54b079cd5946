"""Pairs: a distorted clip and its reference; what a layout lists and what a scan of it gives."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest

from vmaf_train.clips.video import Video, YuvFormat
from vmaf_train.errors import InputError


@dataclass(frozen=True)
class Pair:
    """One distorted clip and its reference, both with the same number of frames.

    Attributes:
        source: name of the content, which is held out as a whole.
        ref, dis: the two videos.
        n_frames: how many frames are used.
        format: geometry of both.
        frames: the first frame to use and the one to stop before; None is the whole clip.
        mos: opinion score of the clip, in score points and higher for better quality; None if it
            has none.
    """

    source: str
    ref: Video
    dis: Video
    n_frames: int
    format: YuvFormat
    frames: tuple[int, int] | None = None
    mos: float | None = None

    @property
    def clip(self) -> str:
        """Name of the clip: the distorted file's stem."""
        return self.dis.path.stem

    @property
    def pixels(self) -> int:
        """Pixels of the distorted clip, all frames together."""
        return self.n_frames * self.format.pixels


@dataclass(frozen=True)
class Match:
    """A distorted file and its reference, whose sizes are not checked yet.

    Attributes:
        source: name of the content.
        ref, dis: the two videos, with format and stamp.
    """

    source: str
    ref: Video
    dis: Video


@dataclass(frozen=True)
class Listing:
    """What a layout finds at a path: matches, and one line for every file that has none."""

    matches: tuple[Match, ...]
    left_out: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Scan:
    """What a corpus holds: its pairs by name, and one line for every file that was left out."""

    pairs: tuple[Pair, ...]
    left_out: tuple[str, ...] = field(default=())


def first_in_turn(sources: Sequence[str], max_pairs: int) -> list[int]:
    """Return the indices of up to `max_pairs` clips, one per source in turn; 0 takes all.

    Args:
        sources: the source of each clip.
        max_pairs: how many clips.
    """
    by_source: dict[str, list[int]] = {}
    for index, source in enumerate(sources):
        by_source.setdefault(source, []).append(index)
    rounds = chain.from_iterable(zip_longest(*by_source.values()))
    in_turn = [index for index in rounds if index is not None]
    return sorted(in_turn[: max_pairs or None])


def parse_frames(text: str) -> tuple[int, int]:
    """Read `a:b` into the range of frames from a up to, but without, b.

    Raises:
        InputError: the text is not two whole numbers with a colon between them, the second greater.
    """
    match = re.fullmatch(r"([0-9]+):([0-9]+)", text)
    if not match or int(match[1]) >= int(match[2]):
        raise InputError(f"frames {text!r} is no range FIRST:END; frames 0:48 are the first 48")
    return int(match[1]), int(match[2])
