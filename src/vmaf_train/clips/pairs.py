"""A pair, which is a distorted clip and its reference; and the result of a scan for pairs."""

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
        source: name of the content; all pairs of a source are held out together.
        ref, dis: the two videos.
        n_frames: number of frames that are used.
        format: geometry of both videos.
        frames: the first frame to use and the one to stop before; None is the whole clip.
    """

    source: str
    ref: Video
    dis: Video
    n_frames: int
    format: YuvFormat
    frames: tuple[int, int] | None = None

    @property
    def clip(self) -> str:
        """Name of the clip: the distorted file's stem."""
        return self.dis.path.stem

    @property
    def pixels(self) -> int:
        """Luma pixels of the distorted clip, over all frames that are used."""
        return self.n_frames * self.format.pixels


@dataclass(frozen=True)
class Scan:
    """Result of a scan: the pairs, sorted by name, and one line per file that was left out."""

    pairs: tuple[Pair, ...]
    left_out: tuple[str, ...] = field(default=())


def first_in_turn(sources: Sequence[str], max_pairs: int) -> list[int]:
    """Return the indices of up to `max_pairs` clips, one per source in turn; 0 takes all.

    Args:
        sources: the source of each clip.
        max_pairs: highest number of indices.
    """
    by_source: dict[str, list[int]] = {}
    for index, source in enumerate(sources):
        by_source.setdefault(source, []).append(index)
    # The first clip of each source, then the second of each, and so on; None where none is left.
    rounds = chain.from_iterable(zip_longest(*by_source.values()))
    in_turn = [index for index in rounds if index is not None]
    return sorted(in_turn[: max_pairs or None])


def parse_frames(text: str) -> tuple[int, int]:
    """Read `a:b` as the frames from a to b - 1.

    Raises:
        InputError: the text is not two whole numbers with a colon between them, the second greater.
    """
    match = re.fullmatch(r"([0-9]+):([0-9]+)", text)
    if not match or int(match[1]) >= int(match[2]):
        raise InputError(f"frames {text!r} is no range FIRST:END; write 0:48 for the first 48")
    return int(match[1]), int(match[2])
