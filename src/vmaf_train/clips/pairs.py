"""Pairs: a distorted clip and its reference; what a layout lists and what a scan of it gives."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, zip_longest
from typing import Final, Literal

from vmaf_train.clips.looking import Looks
from vmaf_train.clips.video import Video, YuvFormat
from vmaf_train.errors import InputError

# Frame i of dis shows frame i + offset of ref; "auto" looks for the offset.
Offset = int | Literal["auto"]
AUTO_OFFSET: Final = "auto"


@dataclass(frozen=True)
class Pair:
    """One distorted clip and its reference, both with the same number of frames.

    Attributes:
        source: name of the content, which is held out as a whole.
        ref, dis: the two videos; their frames are paired by number.
        n_frames: how many frames are used.
        format: geometry at which they are compared, that of the reference.
        name: name of the clip; empty is the distorted file's stem.
        mos: opinion score of the clip, in score points and higher for better quality; None if it
            has none.
    """

    source: str
    ref: Video
    dis: Video
    n_frames: int
    format: YuvFormat
    name: str = ""
    mos: float | None = None

    @property
    def clip(self) -> str:
        """Name of the clip."""
        return self.name or self.dis.path.stem

    @property
    def frames(self) -> tuple[int, int] | None:
        """The first frame of the distorted clip to use and the one to stop before; None is all."""
        return (self.dis.first, self.dis.first + self.n_frames) if self.dis.frames else None

    @property
    def offset(self) -> int:
        """Number of the reference's frame that the first frame of the distorted clip shows."""
        return self.ref.first - self.dis.first

    @property
    def pixels(self) -> int:
        """Pixels of the distorted clip, all frames together."""
        return self.n_frames * self.format.pixels

    def between(self, first: int, end: int, offset: int = 0) -> "Pair":
        """Return the pair of some frames: of dis from first to end, without end.

        Frame i of dis is paired with frame i + offset of ref.
        """
        ref = replace(self.ref, frames=(first + offset, end + offset))
        dis = replace(self.dis, frames=(first, end))
        return replace(self, ref=ref, dis=dis, n_frames=end - first)


@dataclass(frozen=True)
class Match:
    """A distorted file and its reference, whose numbers of frames are not compared yet.

    Attributes:
        source: name of the content.
        ref, dis: the two videos, with stamp, and with the number of their frames if not raw.
        format: geometry at which they are compared.
        name, mos: see `Pair`.
        frames: the frames to use; None is what the user asks for all clips.
        offset: see `Offset`; None is what the user asks for all clips.
    """

    source: str
    ref: Video
    dis: Video
    format: YuvFormat
    name: str = ""
    mos: float | None = None
    frames: tuple[int, int] | None = None
    offset: Offset | None = None


@dataclass(frozen=True)
class Reading:
    """How the files of a corpus are read.

    Attributes:
        format: geometry of raw files.
        size: `WxH` of raw files, if the user stated it; a list of pairs guesses none.
        looks: looks at files that are not raw.
        scale: whether a distorted picture of another size is scaled to that of its reference.
    """

    format: YuvFormat
    size: str = ""
    looks: Looks | None = None
    scale: bool = False


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


def parse_offset(text: str) -> Offset:
    """Read a whole number, or "auto".

    Raises:
        InputError: the text is neither.
    """
    if text == AUTO_OFFSET:
        return AUTO_OFFSET
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
        raise InputError(
            f"offset {text[:40]!r} is no whole number of frames; pass a number, or {AUTO_OFFSET}"
        )
    return int(text)


def parse_frames(text: str) -> tuple[int, int]:
    """Read `a:b` into the range of frames from a up to, but without, b.

    Raises:
        InputError: the text is not two whole numbers with a colon between them, the second greater.
    """
    match = re.fullmatch(r"([0-9]{1,9}):([0-9]{1,9})", text)
    if not match or int(match[1]) >= int(match[2]):
        raise InputError(f"frames {text[:40]!r} is no range FIRST:END; the first 48 are 0:48")
    return int(match[1]), int(match[2])
