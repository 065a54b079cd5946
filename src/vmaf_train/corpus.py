"""The corpus on disk: file-name grammar, raw video format, and the (ref, dis) pairs found in a folder.

Layout (Netflix Public): `ref/<source>_<fps>fps.yuv`, `dis/<source>_<quality>_<height>_<kbps>.yuv`, raw 8-bit
yuv420p, every distorted file already at its reference's size. `<quality>`, `<height>` and `<kbps>` are labels
for people; they are never read as data.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from pathlib import Path

from vmaf_train.errors import InputError

_SOURCE = r"(?P<source>[A-Za-z0-9][A-Za-z0-9_-]*)"
REF_NAME = re.compile(_SOURCE + r"_(?P<fps>[1-9][0-9]*(?:\.[0-9]+)?)fps\.yuv")
DIS_NAME = re.compile(_SOURCE + r"_(?P<quality>[0-9]+)_(?P<height>[0-9]+)_(?P<kbps>[0-9]+)\.yuv")
REF_GRAMMAR = "<source>_<fps>fps.yuv"
DIS_GRAMMAR = "<source>_<quality>_<height>_<kbps>.yuv"


@dataclass(frozen=True)
class YuvFormat:
    """Geometry of a raw video file: width and height in pixels, 8-bit 4:2:0 planar."""

    width: int = 1920
    height: int = 1080
    pix_fmt: str = "yuv420p"

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame: a full luma plane and two chroma planes of half size, rounded up."""
        chroma = ((self.width + 1) // 2) * ((self.height + 1) // 2)
        return self.width * self.height + 2 * chroma

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True)
class Pair:
    """One distorted clip and its reference, both `n_frames` frames of `format`."""

    source: str
    ref: Path
    dis: Path
    fps: float
    n_frames: int
    format: YuvFormat

    @property
    def clip(self) -> str:
        """Name of the clip: the distorted file's stem."""
        return self.dis.stem


@dataclass(frozen=True)
class Scan:
    """What a folder holds: usable pairs by name, and one line for every file that was left out."""

    pairs: tuple[Pair, ...]
    left_out: tuple[str, ...] = field(default=())


def parse_dims(text: str) -> YuvFormat:
    """Read `WxH` (pixels) into a YuvFormat.

    Raises:
        InputError: the text is not two positive whole numbers with an x between them.
    """
    match = re.fullmatch(r"([0-9]+)x([0-9]+)", text)
    if not match or not all(map(int, match.groups())):
        raise InputError(f"assume-dims {text!r} is not WIDTHxHEIGHT in pixels; write it like 1920x1080")
    return YuvFormat(int(match[1]), int(match[2]))


def scan(
    folder: Path,
    format: YuvFormat,
    sources: Iterable[str] = (),
    max_pairs: int = 0,
    strict: bool = False,
) -> Scan:
    """Find the pairs of a corpus folder and check every file's size against `format`.

    Args:
        folder: holds `ref/` and `dis/`.
        format: geometry of every file; sizes are checked against it, never guessed.
        sources: keep only these; empty keeps all.
        max_pairs: keep at most so many, taken from the sources in turn so that each stays represented; 0 keeps all.
        strict: a file that would be left out is an error instead.

    Raises:
        InputError: no such folder, an unknown source, a file of a wrong size, or no pair left.
    """
    for needed in (folder, folder / "ref", folder / "dis"):
        if not needed.is_dir():
            raise InputError(
                f"no corpus folder {needed}; a corpus holds ref/{REF_GRAMMAR} and dis/{DIS_GRAMMAR}: "
                "pass its path as corpus, or corpus=demo for the embedded one"
            )
    left_out: list[str] = []
    refs: dict[str, re.Match[str]] = {}
    for match in _grammatical(folder / "ref", REF_NAME, REF_GRAMMAR, left_out):
        if match["source"] in refs:
            raise InputError(
                f"{folder / 'ref' / match.string}: a second reference of source {match['source']} beside "
                f"{refs[match['source']].string}; keep one of them"
            )
        refs[match["source"]] = match
    matched = []
    for match in _grammatical(folder / "dis", DIS_NAME, DIS_GRAMMAR, left_out):
        if match["source"] in refs:
            matched.append((refs[match["source"]], match))
        else:
            left_out.append(f"dis/{match.string}: no reference ref/{match['source']}_<fps>fps.yuv")
    if strict and left_out:
        raise InputError(
            f"{folder}: {len(left_out)} file(s) not usable and strict is on: {'; '.join(left_out)}; "
            "rename or remove them, or run without strict"
        )
    wanted = set(sources)
    if unknown := wanted - {ref["source"] for ref, _ in matched}:
        raise InputError(
            f"{folder} has no pair of source {', '.join(sorted(unknown))}; "
            f"it has {', '.join(sorted({ref['source'] for ref, _ in matched})) or 'none'}"
        )
    pairs = first_in_turn(
        [_pair(folder, ref, dis, format) for ref, dis in matched if not wanted or ref["source"] in wanted], max_pairs
    )
    if not pairs:
        raise InputError(
            f"no pair found in {folder}: {'; '.join(left_out) or 'ref/ and dis/ hold no .yuv file'}; "
            f"names must read ref/{REF_GRAMMAR} and dis/{DIS_GRAMMAR}"
        )
    return Scan(pairs, tuple(left_out))


def dis_source(name: str) -> str:
    """Return the source in a distorted file's name that is known to follow the grammar."""
    match = DIS_NAME.fullmatch(name)
    assert match, name
    return match["source"]


def first_in_turn(pairs: Iterable[Pair], max_pairs: int) -> tuple[Pair, ...]:
    """Take up to `max_pairs` pairs (0 takes all), one of each source in turn; return them by source and clip."""
    by_source: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_source.setdefault(pair.source, []).append(pair)
    in_turn = [pair for pair in chain.from_iterable(zip_longest(*by_source.values())) if pair]
    return tuple(sorted(in_turn[: max_pairs or None], key=lambda pair: (pair.source, pair.clip)))


def _grammatical(folder: Path, grammar: re.Pattern[str], spelled: str, left_out: list[str]) -> list[re.Match[str]]:
    """Match the .yuv file names of `folder`, in order; note those outside the grammar in `left_out`."""
    matches = []
    for path in sorted(folder.glob("*.yuv")):
        if match := grammar.fullmatch(path.name):
            matches.append(match)
        else:
            left_out.append(f"{folder.name}/{path.name}: name is not {spelled}")
    return matches


def _pair(folder: Path, ref: re.Match[str], dis: re.Match[str], format: YuvFormat) -> Pair:
    """Build one pair after checking that both files hold the same whole number of frames."""
    ref_path, dis_path = folder / "ref" / ref.string, folder / "dis" / dis.string
    ref_frames, dis_frames = _count_frames(ref_path, format), _count_frames(dis_path, format)
    if ref_frames != dis_frames:
        raise InputError(
            f"{dis_path} holds {dis_frames} frames but its reference {ref_path} holds {ref_frames} "
            f"(at {format} {format.pix_fmt}); cut both to the same frames or remove the pair"
        )
    return Pair(ref["source"], ref_path, dis_path, float(ref["fps"]), ref_frames, format)


def _count_frames(path: Path, format: YuvFormat) -> int:
    size = path.stat().st_size
    frames, rest = divmod(size, format.frame_bytes)
    if rest or not frames:
        raise InputError(
            f"{path}: {size} bytes is not a whole number of {format} {format.pix_fmt} frames "
            f"({format.frame_bytes} bytes each); pass the true size with assume_dims=WxH, or replace the file"
        )
    return frames
