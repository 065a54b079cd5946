"""The corpus on disk: file-name grammar, raw video format, and the (ref, dis) pairs found in a folder.

Layout (Netflix Public): `ref/<source>_<fps>fps.yuv`, `dis/<source>_<quality>_<height>_<kbps>.yuv`, raw 8-bit
yuv420p, every distorted file already at its reference's size. `<quality>`, `<height>` and `<kbps>` are labels
for people; they are never read as data.
"""

import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from pathlib import Path

from vmaf_train.errors import InputError

_SOURCE = r"(?P<source>[A-Za-z0-9][A-Za-z0-9_-]*)"
REF_NAME = re.compile(_SOURCE + r"_(?P<fps>[1-9][0-9]*(?:\.[0-9]+)?)fps\.yuv")
DIS_NAME = re.compile(_SOURCE + r"_(?P<quality>[0-9]+)_(?P<height>[0-9]+)_(?P<kbps>[0-9]+)\.yuv")
REF_GRAMMAR = "<source>_<fps>fps.yuv"
DIS_GRAMMAR = "<source>_<quality>_<height>_<kbps>.yuv"
# Raw pixel formats by ffmpeg's names: luma samples to one of chroma, across and down, and bytes a sample.
PIX_FMTS = {
    f"{planes}{depth}": (*luma, sample)
    for planes, luma in (("yuv420p", (2, 2)), ("yuv422p", (2, 1)), ("yuv444p", (1, 1)))
    for depth, sample in (("", 1), ("10le", 2), ("12le", 2), ("16le", 2))
}


@dataclass(frozen=True)
class YuvFormat:
    """Geometry of a raw video file: width and height in pixels, and a pixel format of `PIX_FMTS`."""

    width: int = 1920
    height: int = 1080
    pix_fmt: str = "yuv420p"

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame: a full luma plane and two chroma planes, whose size is rounded up."""
        across, down, sample = PIX_FMTS[self.pix_fmt]
        chroma = math.ceil(self.width / across) * math.ceil(self.height / down)
        return sample * (self.width * self.height + 2 * chroma)

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True)
class FileStamp:
    """What tells one version of a file from another: name, size in bytes, modification time in ns."""

    name: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Pair:
    """One distorted clip and its reference, both `n_frames` frames of `format`.

    Attributes:
        stamps: of ref and dis as the folder was scanned; None for pairs that are only named.
        frames: the range of frames to use, `n_frames` of them; None is the whole clip.
    """

    source: str
    ref: Path
    dis: Path
    fps: float
    n_frames: int
    format: YuvFormat
    stamps: tuple[FileStamp, FileStamp] | None = None
    frames: tuple[int, int] | None = None

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
        raise InputError(f"size {text!r} is not WIDTHxHEIGHT in pixels; write it like 1920x1080")
    return YuvFormat(int(match[1]), int(match[2]))


def parse_frames(text: str) -> tuple[int, int]:
    """Read `a:b` into the range of frames from a on, up to but without b.

    Raises:
        InputError: the text is not two whole numbers, the second the greater one, with a colon between them.
    """
    match = re.fullmatch(r"([0-9]+):([0-9]+)", text)
    if not match or int(match[1]) >= int(match[2]):
        raise InputError(f"frames {text!r} is no range FIRST:END; frames 0:48 are the first 48")
    return int(match[1]), int(match[2])


def scan(
    folder: Path,
    format: YuvFormat,
    sources: Iterable[str] = (),
    max_pairs: int = 0,
    strict: bool = False,
    frames: tuple[int, int] | None = None,
) -> Scan:
    """Find the pairs of a corpus folder and check every file's size against `format`; no file is opened.

    Args:
        folder: holds `ref/` and `dis/`.
        format: geometry of every file; sizes are checked against it, never guessed.
        sources: keep only these; empty keeps all.
        max_pairs: keep at most so many, taken from the sources in turn so that each stays represented; 0 keeps all.
        strict: a file that would be left out is an error instead.
        frames: use frames from the first number on, up to but without the second; None uses all.

    Raises:
        InputError: no such folder, an unknown source, a file of a wrong size or with too few frames, or no pair left.
    """
    for needed in (folder, folder / "ref", folder / "dis"):
        if not needed.is_dir():
            raise InputError(
                f"no corpus folder {needed}; a corpus holds ref/{REF_GRAMMAR} and dis/{DIS_GRAMMAR}: "
                "pass its path as corpus, or corpus=demo for the embedded one"
            )
    left_out: list[str] = []
    refs: dict[str, tuple[re.Match[str], FileStamp]] = {}
    for match, stamp in _grammatical(folder / "ref", REF_NAME, REF_GRAMMAR, left_out):
        if match["source"] in refs:
            raise InputError(
                f"{folder / 'ref' / stamp.name}: a second reference of source {match['source']} beside "
                f"{refs[match['source']][1].name}; keep one of them"
            )
        refs[match["source"]] = match, stamp
    matched = []
    for match, stamp in _grammatical(folder / "dis", DIS_NAME, DIS_GRAMMAR, left_out):
        if match["source"] in refs:
            matched.append((*refs[match["source"]], stamp))
        else:
            left_out.append(f"dis/{stamp.name}: no reference ref/{match['source']}_<fps>fps.yuv")
    if strict and left_out:
        raise InputError(
            f"{folder}: {len(left_out)} file(s) not usable and strict is on: {'; '.join(left_out)}; "
            "rename or remove them, or run without strict"
        )
    wanted = set(sources)
    known = {ref["source"] for ref, _, _ in matched}
    if unknown := wanted - known:
        raise InputError(
            f"{folder} has no pair of source {', '.join(sorted(unknown))}; it has {', '.join(sorted(known)) or 'none'}"
        )
    pairs = [
        _pair(folder, *each, format, frames)
        for each in matched
        if not wanted or each[0]["source"] in wanted
    ]
    pairs.sort(key=lambda pair: (pair.source, pair.clip))
    if not pairs:
        raise InputError(
            f"no pair found in {folder}: {'; '.join(left_out) or 'ref/ and dis/ hold no .yuv file'}; "
            f"names must read ref/{REF_GRAMMAR} and dis/{DIS_GRAMMAR}"
        )
    kept = first_in_turn([pair.source for pair in pairs], max_pairs)
    return Scan(tuple(pairs[index] for index in kept), tuple(left_out))


def dis_source(name: str) -> str:
    """Return the source in a distorted file's name that is known to follow the grammar."""
    match = DIS_NAME.fullmatch(name)
    assert match, name
    return match["source"]


def first_in_turn(sources: Sequence[str], max_pairs: int) -> list[int]:
    """Take up to `max_pairs` of the clips with these sources (0 takes all), one of each source in turn, by index."""
    by_source: dict[str, list[int]] = {}
    for index, source in enumerate(sources):
        by_source.setdefault(source, []).append(index)
    in_turn = [
        index
        for index in chain.from_iterable(zip_longest(*by_source.values()))
        if index is not None
    ]
    return sorted(in_turn[: max_pairs or None])


def _grammatical(
    folder: Path, grammar: re.Pattern[str], spelled: str, left_out: list[str]
) -> list[tuple[re.Match[str], FileStamp]]:
    """Match the .yuv file names of `folder`, in order; note those outside the grammar in `left_out`."""
    matches = []
    with os.scandir(folder) as entries:
        files = sorted(
            (entry for entry in entries if entry.name.endswith(".yuv")),
            key=lambda entry: entry.name,
        )
    for file in files:
        if match := grammar.fullmatch(file.name):
            # The one look at a file; sizes and identities come from it.
            stat = file.stat()
            matches.append((match, FileStamp(file.name, stat.st_size, stat.st_mtime_ns)))
        else:
            left_out.append(f"{folder.name}/{file.name}: name is not {spelled}")
    return matches


def _pair(
    folder: Path,
    name: re.Match[str],
    ref: FileStamp,
    dis: FileStamp,
    format: YuvFormat,
    frames: tuple[int, int] | None,
) -> Pair:
    """Build one pair after checking that both files hold the same whole number of frames, and those asked for."""
    ref_path, dis_path = folder / "ref" / ref.name, folder / "dis" / dis.name
    held, held_by_dis = (
        count_frames(path, stamp.size, format, "assume_dims=WxH")
        for path, stamp in ((ref_path, ref), (dis_path, dis))
    )
    if held != held_by_dis:
        raise InputError(
            f"{dis_path} holds {held_by_dis} frames but its reference {ref_path} holds {held} "
            f"(at {format} {format.pix_fmt}); cut both to the same frames or remove the pair"
        )
    if frames and frames[1] > held:
        raise InputError(
            f"{dis_path} holds {held} frames, so frames {frames[0]}:{frames[1]} are not all there; "
            "ask for fewer, or name the sources that have them"
        )
    n_frames = frames[1] - frames[0] if frames else held
    return Pair(
        name["source"], ref_path, dis_path, float(name["fps"]), n_frames, format, (ref, dis), frames
    )


def count_frames(path: Path, size: int, format: YuvFormat, option: str) -> int:
    """Return how many frames a raw file of `size` bytes holds; `option` is how people state another format.

    Raises:
        InputError: it is no whole number, or none.
    """
    frames, rest = divmod(size, format.frame_bytes)
    if rest or not frames:
        raise InputError(
            f"{path}: {size} bytes is not a whole number of {format} {format.pix_fmt} frames "
            f"({format.frame_bytes} bytes each); pass the true size with {option}, or replace the file"
        )
    return frames
