"""The table of corpus layouts, and the scan that gives the pairs of a corpus.

A new layout is one function that lists its files, and one row in LAYOUTS.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from vmaf_train.clips import netflix, pair_list
from vmaf_train.clips.looking import repair
from vmaf_train.clips.pairs import (
    AUTO_OFFSET,
    Listing,
    Match,
    Offset,
    Pair,
    Reading,
    Scan,
    first_in_turn,
)
from vmaf_train.clips.video import Video, YuvFormat, count_frames
from vmaf_train.errors import InputError
from vmaf_train.processes import cores

# Looks for the offset of dis, the second video, to ref.
FindOffset = Callable[[Video, Video], int]


@dataclass(frozen=True)
class Layout:
    """A way in which a corpus of pairs lies on disk.

    Attributes:
        name: for people.
        recognises: whether a path holds a corpus of this layout.
        find: lists what is at a path.
        hint: what a corpus of this layout looks like, for errors.
        by_row: whether a pair that cannot be compared is left out with a line; otherwise it is an
            error.
    """

    name: str
    recognises: Callable[[Path], bool]
    find: Callable[[Path, Reading], Listing]
    hint: str
    by_row: bool = False


# The first layout that recognises the path is taken. The last one recognises every path and says
# in its errors what a corpus looks like.
LAYOUTS = (
    Layout("list", pair_list.recognises, pair_list.find, pair_list.HINT, by_row=True),
    # Further layouts stand before this one.
    Layout("Netflix", recognises=lambda path: True, find=netflix.find, hint=netflix.HINT),
)


def find_layout(path: Path) -> Layout:
    """Return the layout of the corpus at a path."""
    return next(layout for layout in LAYOUTS if layout.recognises(path))


def scan(
    path: Path,
    reading: Reading | YuvFormat,
    *,
    sources: Iterable[str] = (),
    max_pairs: int = 0,
    strict: bool = False,
    frames: tuple[int, int] | None = None,
    offset: Offset = 0,
    find_offset: FindOffset | None = None,
) -> Scan:
    """Find the pairs of a corpus and check that the files of each can be compared.

    Of raw files, only the size is read. Other files are looked at; no frame is decoded.

    Args:
        path: of the corpus, in one of the LAYOUTS.
        reading: how its files are read, or the geometry of every raw file.
        sources: keep only these; empty keeps all.
        max_pairs: keep at most this many, sources in turn, so that few pairs still hold several
            sources; 0 keeps all.
        strict: a file that would be left out is an error instead.
        frames: use frames from the first number up to, but without, the second; None uses all.
        offset: of each pair that does not state one.
        find_offset: looks for offsets that are "auto".

    Raises:
        InputError: no such corpus, an unknown source, a file of a wrong size or with too few
            frames, or no pair left.
    """
    if isinstance(reading, YuvFormat):
        reading = Reading(reading)
    layout = find_layout(path)
    listing = layout.find(path, reading)
    left_out = list(listing.left_out)
    matches = _of_sources(path, listing, set(sources))
    pairs = []
    for found in _pairs(matches, frames, offset, find_offset):
        if isinstance(found, Pair):
            pairs.append(found)
        elif layout.by_row:
            left_out.append(str(found))
        else:
            raise found

    if strict and left_out:
        raise InputError(
            f"{path}: {len(left_out)} file(s) not usable and strict is on: "
            f"{'; '.join(left_out)}; rename or remove them, or run without strict"
        )
    if not pairs:
        raise InputError(f"no pair found in {path}: {'; '.join([*left_out, layout.hint])}")
    pairs.sort(key=lambda pair: (pair.source, pair.clip))
    kept = first_in_turn([pair.source for pair in pairs], max_pairs)
    return Scan(tuple(pairs[index] for index in kept), tuple(left_out))


def _of_sources(path: Path, listing: Listing, wanted: set[str]) -> list[Match]:
    """Return the matches of the wanted sources, of all for an empty set."""
    known = {match.source for match in listing.matches}
    if unknown := wanted - known:
        raise InputError(
            f"{path} has no pair of source {', '.join(sorted(unknown))}; "
            f"it has {', '.join(sorted(known)) or 'none'}"
        )
    return [match for match in listing.matches if not wanted or match.source in wanted]


def _pairs(
    matches: Iterable[Match],
    frames: tuple[int, int] | None,
    offset: Offset,
    find_offset: FindOffset | None,
) -> list[Pair | InputError]:
    """Return the pair of each match, or what is wrong with it."""

    def pair(match: Match) -> Pair | InputError:
        wanted = offset if match.offset is None else match.offset
        try:
            if wanted == AUTO_OFFSET:
                assert find_offset, "nothing looks for offsets"
                wanted = find_offset(match.ref, match.dis)
            return _pair(match, match.frames or frames, wanted)
        except InputError as error:
            return error

    # An offset that is looked for decodes both videos.
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(pair, matches))


def _pair(match: Match, frames: tuple[int, int] | None, offset: int) -> Pair:
    """Build a pair after checking that both files hold the same frames, and those asked for."""
    ref, dis = match.ref, match.dis
    held, held_by_dis = _count(ref), _count(dis)
    # The frames of dis that have a partner in ref.
    first, end = max(0, -offset), min(held_by_dis, held - offset)
    if held != held_by_dis and not offset and not (match.frames and match.frames[1] <= end):
        raise InputError(
            f"{dis.path} holds {held_by_dis} frames but its reference {ref.path} "
            f"holds {held}{_geometry(dis, match.format)}; cut both to the same frames"
            f"{_cutting(held_by_dis, held, dis, ref)} or remove the pair"
        )
    if first >= end:
        raise InputError(
            f"{dis.path} and {ref.path} have no frame in common at an offset of {offset} frames; "
            "pass the true offset"
        )
    if frames and (frames[1] > end or frames[0] < first):
        raise InputError(
            f"{dis.path} holds {end - first} frames, so frames {frames[0]}:{frames[1]} are not all "
            "there; ask for fewer, or name the sources that have them"
        )
    whole = Pair(match.source, ref, dis, end, match.format, match.name, match.mos)
    if not frames and not offset:
        return whole
    return whole.between(*(frames or (first, end)), offset)


def _count(video: Video) -> int:
    if video.held is not None:
        return video.held
    assert video.stamp and video.format, f"{video.path} is only a name"
    return count_frames(video.path, video.stamp.size, video.format, "assume_dims=WxH")


def _geometry(video: Video, format: YuvFormat) -> str:
    return f" (at {format} {format.pix_fmt})" if video.is_raw else ""


def _cutting(held_by_dis: int, held: int, dis: Video, ref: Video) -> str:
    """Return the command that cuts the longer of two videos that are not raw."""
    longer, frames = (dis, held) if held_by_dis > held else (ref, held_by_dis)
    if longer.is_raw:
        return ""
    return f" ({repair(longer.path, ['-frames:v', str(frames)])})"
