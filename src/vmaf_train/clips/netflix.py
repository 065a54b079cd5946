"""The Netflix layout: file names state source and rung; a scan matches them to pairs.

`ref/<source>_<fps>fps.yuv`, `dis/<source>_<quality>_<height>_<kbps>.yuv`, raw 8-bit yuv420p; a
distorted file has the picture size of its reference. `<quality>`, `<height>` and `<kbps>` are
labels for people and are never read as data.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vmaf_train.clips.pairs import Pair, Scan, first_in_turn
from vmaf_train.clips.video import FileStamp, Video, YuvFormat, count_frames
from vmaf_train.errors import InputError

_SOURCE = r"(?P<source>[A-Za-z0-9][A-Za-z0-9_-]*)"
REF_NAME = re.compile(_SOURCE + r"_(?P<fps>[1-9][0-9]*(?:\.[0-9]+)?)fps\.yuv")
DIS_NAME = re.compile(_SOURCE + r"_(?P<quality>[0-9]+)_(?P<height>[0-9]+)_(?P<kbps>[0-9]+)\.yuv")
REF_GRAMMAR = "<source>_<fps>fps.yuv"
DIS_GRAMMAR = "<source>_<quality>_<height>_<kbps>.yuv"


@dataclass(frozen=True)
class _Named:
    """A file whose name follows the grammar."""

    parts: re.Match[str]
    stamp: FileStamp

    @property
    def source(self) -> str:
        return self.parts["source"]


def scan(
    folder: Path,
    format: YuvFormat,
    *,
    sources: Iterable[str] = (),
    max_pairs: int = 0,
    strict: bool = False,
    frames: tuple[int, int] | None = None,
) -> Scan:
    """Find the pairs of a corpus folder and check the size of every file; no file is opened.

    Args:
        folder: holds `ref/` and `dis/`.
        format: geometry of every file; file sizes must fit it.
        sources: keep only these; empty keeps all.
        max_pairs: keep at most this many, one per source in turn, so that few pairs still cover
            several sources; 0 keeps all.
        strict: raise an error for a file that is otherwise left out.
        frames: the first frame to use and the one to stop before; None uses all.

    Raises:
        InputError: a folder is missing, a source is unknown, a file has a wrong size or too few
            frames, a source has two references, strict is on and a file is not usable, or no pair
            is left.
    """
    _check_folders(folder)
    left_out: list[str] = []
    matched = _match(folder, left_out)
    if strict and left_out:
        raise InputError(
            f"{folder}: {len(left_out)} file(s) not usable and strict is on: "
            f"{'; '.join(left_out)}; rename or remove them, or run without strict"
        )

    wanted, known = set(sources), {ref.source for ref, _ in matched}
    if unknown := wanted - known:
        raise InputError(
            f"{folder} has no pair of source {', '.join(sorted(unknown))}; "
            f"it has {', '.join(sorted(known)) or 'none'}"
        )
    pairs = [
        _pair(folder, ref, dis, format, frames)
        for ref, dis in matched
        if not wanted or ref.source in wanted
    ]
    if not pairs:
        raise InputError(
            f"no pair found in {folder}: "
            f"{'; '.join(left_out) or 'ref/ and dis/ hold no .yuv file'}; "
            f"names must read ref/{REF_GRAMMAR} and dis/{DIS_GRAMMAR}"
        )

    pairs.sort(key=lambda pair: (pair.source, pair.clip))
    kept = first_in_turn([pair.source for pair in pairs], max_pairs)
    return Scan(tuple(pairs[index] for index in kept), tuple(left_out))


def dis_source(name: str) -> str:
    """Return the source in the name of a distorted file; the name must follow the grammar."""
    match = DIS_NAME.fullmatch(name)
    assert match, name
    return match["source"]


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
            # One stat per file: its size is checked, and size and time identify it in the cache.
            stat = file.stat()
            named.append(_Named(match, FileStamp(file.name, stat.st_size, stat.st_mtime_ns)))
        else:
            left_out.append(f"{folder.name}/{file.name}: name is not {spelled}")
    return named


def _pair(
    folder: Path, ref: _Named, dis: _Named, format: YuvFormat, frames: tuple[int, int] | None
) -> Pair:
    """Build a pair; check that both files hold equally many frames, and those in `frames`."""
    fps = float(ref.parts["fps"])
    ref_video = Video(folder / "ref" / ref.stamp.name, format, fps, ref.stamp)
    dis_video = Video(folder / "dis" / dis.stamp.name, format, fps, dis.stamp)

    in_ref = count_frames(ref_video.path, ref.stamp.size, format, "assume_dims=WxH")
    in_dis = count_frames(dis_video.path, dis.stamp.size, format, "assume_dims=WxH")
    if in_ref != in_dis:
        raise InputError(
            f"{dis_video.path} holds {in_dis} frames but its reference {ref_video.path} "
            f"holds {in_ref} (at {format} {format.pix_fmt}); "
            "cut both to the same frames or remove the pair"
        )
    if frames and frames[1] > in_dis:
        raise InputError(
            f"{dis_video.path} holds {in_dis} frames, so frames {frames[0]}:{frames[1]} are not "
            "all there; ask for fewer, or name the sources that have them"
        )
    n_frames = frames[1] - frames[0] if frames else in_dis
    return Pair(ref.source, ref_video, dis_video, n_frames, format, frames)
