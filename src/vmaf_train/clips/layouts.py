"""The table of corpus layouts, and the scan that gives the pairs of a corpus.

A new layout is one function that lists its files, and one row in LAYOUTS.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from vmaf_train.clips import netflix
from vmaf_train.clips.pairs import Listing, Match, Pair, Scan, first_in_turn
from vmaf_train.clips.video import Video, YuvFormat, count_frames
from vmaf_train.errors import InputError


@dataclass(frozen=True)
class Layout:
    """A way in which a corpus of pairs lies on disk.

    Attributes:
        name: for people.
        recognises: whether a path holds a corpus of this layout.
        find: lists what is at a path, files of the given geometry; it opens none of them.
        hint: what a corpus of this layout looks like, for errors.
    """

    name: str
    recognises: Callable[[Path], bool]
    find: Callable[[Path, YuvFormat], Listing]
    hint: str


# The first layout that recognises the path is taken. The last one recognises every path and says
# in its errors what a corpus looks like.
LAYOUTS = (
    # Further layouts stand before this one.
    Layout("Netflix", recognises=lambda path: True, find=netflix.find, hint=netflix.HINT),
)


def find_layout(path: Path) -> Layout:
    """Return the layout of the corpus at a path."""
    return next(layout for layout in LAYOUTS if layout.recognises(path))


def scan(
    path: Path,
    format: YuvFormat,
    *,
    sources: Iterable[str] = (),
    max_pairs: int = 0,
    strict: bool = False,
    frames: tuple[int, int] | None = None,
) -> Scan:
    """Find the pairs of a corpus and check the size of every file; no file is opened.

    Args:
        path: of the corpus, in one of the LAYOUTS.
        format: geometry of every file; sizes are checked against it, never guessed.
        sources: keep only these; empty keeps all.
        max_pairs: keep at most this many, sources in turn, so that few pairs still hold several
            sources; 0 keeps all.
        strict: a file that would be left out is an error instead.
        frames: use frames from the first number up to, but without, the second; None uses all.

    Raises:
        InputError: no such corpus, an unknown source, a file of a wrong size or with too few
            frames, or no pair left.
    """
    layout = find_layout(path)
    listing = layout.find(path, format)
    if strict and listing.left_out:
        raise InputError(
            f"{path}: {len(listing.left_out)} file(s) not usable and strict is on: "
            f"{'; '.join(listing.left_out)}; rename or remove them, or run without strict"
        )

    matches = _of_sources(path, listing, set(sources))
    if not matches:
        raise InputError(f"no pair found in {path}: {'; '.join([*listing.left_out, layout.hint])}")

    pairs = [_pair(match, format, frames) for match in matches]
    pairs.sort(key=lambda pair: (pair.source, pair.clip))
    kept = first_in_turn([pair.source for pair in pairs], max_pairs)
    return Scan(tuple(pairs[index] for index in kept), listing.left_out)


def _of_sources(path: Path, listing: Listing, wanted: set[str]) -> list[Match]:
    """Return the matches of the wanted sources, of all for an empty set."""
    known = {match.source for match in listing.matches}
    if unknown := wanted - known:
        raise InputError(
            f"{path} has no pair of source {', '.join(sorted(unknown))}; "
            f"it has {', '.join(sorted(known)) or 'none'}"
        )
    return [match for match in listing.matches if not wanted or match.source in wanted]


def _pair(match: Match, format: YuvFormat, frames: tuple[int, int] | None) -> Pair:
    """Build a pair after checking that both files hold the same frames, and those asked for."""
    held, held_by_dis = (_count(video, format) for video in (match.ref, match.dis))
    if held != held_by_dis:
        raise InputError(
            f"{match.dis.path} holds {held_by_dis} frames but its reference {match.ref.path} "
            f"holds {held} (at {format} {format.pix_fmt}); "
            "cut both to the same frames or remove the pair"
        )
    if frames and frames[1] > held:
        raise InputError(
            f"{match.dis.path} holds {held} frames, so frames {frames[0]}:{frames[1]} are not all "
            "there; ask for fewer, or name the sources that have them"
        )
    n_frames = frames[1] - frames[0] if frames else held
    return Pair(match.source, match.ref, match.dis, n_frames, format, frames)


def _count(video: Video, format: YuvFormat) -> int:
    assert video.stamp, f"{video.path} is only a name"
    return count_frames(video.path, video.stamp.size, format, "assume_dims=WxH")
