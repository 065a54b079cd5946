"""The Netflix layout: file names that state source and rung, and the files that a folder holds.

`ref/<source>_<fps>fps.yuv`, `dis/<source>_<quality>_<height>_<kbps>.yuv`, raw 8-bit yuv420p; every
distorted file has its reference's size. `<quality>`, `<height>` and `<kbps>` are labels for people
and are never read as data.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from vmaf_train.clips.pairs import Listing, Match, Reading
from vmaf_train.clips.video import FileStamp, Video, YuvFormat
from vmaf_train.errors import InputError

SOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_SOURCE = rf"(?P<source>{SOURCE.pattern})"
REF_NAME = re.compile(_SOURCE + r"_(?P<fps>[1-9][0-9]*(?:\.[0-9]+)?)fps\.yuv")
DIS_NAME = re.compile(_SOURCE + r"_(?P<quality>[0-9]+)_(?P<height>[0-9]+)_(?P<kbps>[0-9]+)\.yuv")
REF_GRAMMAR = "<source>_<fps>fps.yuv"
DIS_GRAMMAR = "<source>_<quality>_<height>_<kbps>.yuv"
HINT = f"names must read ref/{REF_GRAMMAR} and dis/{DIS_GRAMMAR}"


@dataclass(frozen=True)
class _Named:
    """A file whose name follows the grammar."""

    parts: re.Match[str]
    stamp: FileStamp

    @property
    def source(self) -> str:
        return self.parts["source"]


def find(folder: Path, reading: Reading) -> Listing:
    """List a folder that holds `ref/` and `dis/`; the identity of each file is taken on the way.

    Args:
        folder: of the corpus.
        reading: states the geometry of every file.

    Raises:
        InputError: no such folder, or two references of one source.
    """
    _check_folders(folder)
    format = reading.format
    left_out: list[str] = []
    matches = [
        Match(
            source=ref.source,
            ref=_video(folder / "ref", ref, ref, format),
            dis=_video(folder / "dis", dis, ref, format),
            format=format,
        )
        for ref, dis in _match(folder, left_out)
    ]
    return Listing(tuple(matches), tuple(left_out))


def dis_source(name: str) -> str:
    """Return the source in a distorted file's name that is known to follow the grammar."""
    match = DIS_NAME.fullmatch(name)
    assert match, name
    return match["source"]


def source_of_clip(clip: str) -> str | None:
    """Return the source in a clip's name, a dis without its ending; None outside the grammar."""
    match = DIS_NAME.fullmatch(f"{clip}.yuv")
    return match["source"] if match else None


def _check_folders(folder: Path) -> None:
    for needed in (folder, folder / "ref", folder / "dis"):
        if not needed.is_dir():
            raise InputError(
                f"no corpus folder {needed}; a corpus holds ref/{REF_GRAMMAR} and "
                f"dis/{DIS_GRAMMAR}: pass its path as corpus, or corpus=demo for the embedded one"
            )


def _match(folder: Path, left_out: list[str]) -> list[tuple[_Named, _Named]]:
    """Return (ref, dis) for every distorted file with a reference; list others in `left_out`."""
    refs: dict[str, _Named] = {}
    for ref in _grammatical(folder / "ref", REF_NAME, REF_GRAMMAR, left_out):
        if ref.source in refs:
            raise InputError(
                f"{folder / 'ref' / ref.stamp.name}: a second reference of source {ref.source} "
                f"next to {refs[ref.source].stamp.name}; keep one of the two"
            )
        refs[ref.source] = ref

    matched = []
    for dis in _grammatical(folder / "dis", DIS_NAME, DIS_GRAMMAR, left_out):
        if dis.source in refs:
            matched.append((refs[dis.source], dis))
        else:
            left_out.append(f"dis/{dis.stamp.name}: no reference ref/{dis.source}_<fps>fps.yuv")
    return matched


def _grammatical(
    folder: Path, grammar: re.Pattern[str], spelled: str, left_out: list[str]
) -> list[_Named]:
    """Return the .yuv files of a folder whose names follow the grammar, in order of name."""
    named = []
    with os.scandir(folder) as entries:
        files = sorted(
            (entry for entry in entries if entry.name.endswith(".yuv")),
            key=lambda entry: entry.name,
        )
    for file in files:
        if match := grammar.fullmatch(file.name):
            # The only look at the file: its size is checked and its identity known by this.
            stat = file.stat()
            named.append(_Named(match, FileStamp(file.name, stat.st_size, stat.st_mtime_ns)))
        else:
            left_out.append(f"{folder.name}/{file.name}: name is not {spelled}")
    return named


def _video(folder: Path, named: _Named, ref: _Named, format: YuvFormat) -> Video:
    """Return a file as a video; only the name of its reference states the frame rate."""
    return Video(folder / named.stamp.name, format, float(ref.parts["fps"]), named.stamp)
