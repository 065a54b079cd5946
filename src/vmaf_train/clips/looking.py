"""A look at a video before a pass: what its file states, without decoding a frame.

ffmpeg prints the streams of a file, and lists its packets; both take milliseconds. A look is kept
in a folder, and is valid as long as the file keeps its size and modification time.
"""

import hashlib
import logging
import re
import shlex
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from pydantic import ValidationError

from vmaf_train.clips.video import PIX_FMTS, FileStamp, YuvFormat, stamp_of
from vmaf_train.contracts import Contract
from vmaf_train.errors import InputError
from vmaf_train.files import read_whole, write_whole

log = logging.getLogger(__name__)
# ffmpeg's line for a video stream, such as
# `Stream #0:0(und): Video: h264 (High), yuv420p(tv, bt709, progressive), 320x180 [SAR 1:1], 24 fps`
STREAM = re.compile(r"Stream #0:.*?: Video: (?P<line>.*)")
# What ffmpeg makes of a text file.
TEXT = ("ansi", "bintext", "xbin", "idf")
PICTURE = re.compile(
    r", (?P<pix_fmt>[a-z0-9]+)(?:\((?P<details>(?:[^()]|\([^()]*\))*)\))?,"
    r" (?P<width>\d+)x(?P<height>\d+)"
)
FPS = re.compile(r" (?P<fps>\d+(?:\.\d+)?k?) fps")
ROTATION = re.compile(r"rotation of (?P<degrees>-?\d+(?:\.\d+)?) degrees")
TIME_BASE = re.compile(r"^#tb 0: (\d+/\d+)", re.MULTILINE)
INTERLACED = re.compile(r"\b(?:top|bottom) (?:coded )?first")
# Name of full range, where luma runs from 0 to 255; the other one is "tv", from 16 to 235.
FULL_RANGE = "pc"
# A distance between two frames of a constant rate is within these multiples of the usual one.
SHORTEST, LONGEST = 0.5, 1.5


class Look(Contract):
    """What a file states about its video.

    Attributes:
        width, height: of the picture, in pixels.
        pix_fmt: pixel format, as ffmpeg names it.
        frames: number of frames that the file holds.
        fps: frames per second; None if the file does not state it.
        full_range: whether luma runs from 0 to 255, and not from 16 to 235 (of 8 bits).
        rotation: degrees by which a player turns the picture.
        interlaced: whether a frame holds two fields.
        constant_rate: whether all frames are shown for the same time.
    """

    width: int
    height: int
    pix_fmt: str
    frames: int
    fps: float | None
    full_range: bool
    rotation: float
    interlaced: bool
    constant_rate: bool

    @property
    def format(self) -> YuvFormat:
        """Geometry of its frames; the pixel format must be one of PIX_FMTS."""
        return YuvFormat(self.width, self.height, self.pix_fmt)


class _Kept(Contract):
    """A look as it is kept, with the stamp of the file that it was taken of."""

    stamp: FileStamp
    look: Look


@dataclass(frozen=True)
class Looks:
    """Takes looks at videos, several at once, and keeps them.

    Attributes:
        ffmpeg: path of the executable.
        folder: where looks are kept; None keeps none.
        jobs: how many looks are taken at once.
    """

    ffmpeg: Path
    folder: Path | None = None
    jobs: int = 2

    def at(self, paths: Sequence[Path]) -> dict[Path, Look | InputError]:
        """Return the look at each file, or what is wrong with the file."""
        distinct = list(dict.fromkeys(paths))
        with ThreadPoolExecutor(self.jobs) as pool:
            return dict(zip(distinct, pool.map(self._at, distinct), strict=True))

    def _at(self, path: Path) -> Look | InputError:
        try:
            stamp = stamp_of(path)
            kept = self._place_of(path)
            found = _read(kept, stamp) if kept else None
            if found is None:
                found = look(path, self.ffmpeg)
                if kept:
                    _write(kept, _Kept(stamp=stamp, look=found))
            return found
        except InputError as error:
            return error

    def _place_of(self, path: Path) -> Path | None:
        name = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:32]
        return self.folder / f"{name}.json" if self.folder else None


def _write(place: Path, kept: _Kept) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, kept.model_dump_json().encode())
    except OSError as error:
        # The next command only has to look again.
        log.info("cannot keep %s: %s", place, error)


def _read(kept: Path, stamp: FileStamp) -> Look | None:
    """Return a kept look if it is of this version of the file."""
    try:
        found = _Kept.model_validate_json(read_whole(kept))
    except (OSError, InputError, ValidationError):
        return None
    return found.look if found.stamp == stamp else None


def look(path: Path, ffmpeg: Path) -> Look:
    """Look at a file that is not raw.

    Raises:
        InputError: there is no such file, or ffmpeg finds no video or no frame in it.
    """
    if not path.is_file():
        raise InputError(f"no file {path}; check its path")
    packets = ["-map", "0:v:0", "-c", "copy", "-f", "framecrc", "-"]
    command = [str(ffmpeg), "-nostdin", "-hide_banner", "-i", f"file:{path.absolute()}", *packets]
    done = subprocess.run(command, capture_output=True, check=False)
    said, listed = (text.decode(errors="replace") for text in (done.stderr, done.stdout))
    line = STREAM.search(said)
    picture = PICTURE.search(line["line"]) if line else None
    times = _times(listed)
    if not line or line["line"].startswith(TEXT) or not picture or not times:
        last = " | ".join(said.strip().splitlines()[-2:])
        raise InputError(
            f"{path} holds no video that ffmpeg reads ({last}); remove it, or make it again"
        )
    details = picture["details"] or ""
    pix_fmt = picture["pix_fmt"]
    fps = FPS.search(line["line"])
    rotation = ROTATION.search(said)
    return Look(
        width=int(picture["width"]),
        height=int(picture["height"]),
        # ffmpeg's names yuvj420p, ... mean full range.
        pix_fmt=pix_fmt.replace("yuvj", "yuv"),
        frames=len(times),
        fps=float(fps["fps"].replace("k", "e3")) if fps else None,
        full_range=pix_fmt.startswith("yuvj") or FULL_RANGE in re.split(r"\W+", details),
        rotation=float(rotation["degrees"]) if rotation else 0.0,
        interlaced=bool(INTERLACED.search(details)),
        constant_rate=_constant(times, _ticks_per_second(listed)),
    )


def _times(listed: str) -> list[int | None]:
    """Return the presentation time of each packet, in ticks; None where it has none."""
    rows = (line.split(",") for line in listed.splitlines() if not line.startswith("#"))
    return [_time(row[2]) for row in rows if len(row) > 2]


def _time(text: str) -> int | None:
    return int(text) if re.fullmatch(r" *-?\d{1,18}", text) else None


def _ticks_per_second(listed: str) -> Fraction:
    base = TIME_BASE.search(listed)
    return 1 / Fraction(base[1]) if base else Fraction(1000)


def _constant(times: Sequence[int | None], ticks_per_second: Fraction) -> bool:
    """Tell whether frames follow each other at one distance, up to the rounding of a tick."""
    known = sorted(time for time in times if time is not None)
    gaps = [after - before for before, after in pairwise(known)]
    # Without times, as in a bare stream of an encoder, nothing says that the rate varies.
    if len(known) < len(times) or not gaps:
        return True
    usual = statistics.median(gaps)
    # Time bases are rounded, in Matroska to a millisecond.
    slack = max(1, float(ticks_per_second) / 1000)
    return all(SHORTEST * usual - slack <= gap <= LONGEST * usual + slack for gap in gaps)


def unusable(path: Path, seen: Look, ffmpeg: str = "ffmpeg") -> str | None:
    """Return why a video cannot be compared frame by frame, with the command that repairs it.

    Args:
        path: of the file.
        seen: the look at it.
        ffmpeg: the executable, for the command.

    Returns:
        One line, or None if nothing is wrong.
    """
    for wrong, filters in _faults(seen):
        return f"{path} {wrong}; repair it: {repair(path, filters, ffmpeg)}"
    return None


def repair(path: Path, arguments: Sequence[str], ffmpeg: str = "ffmpeg", mark: str = "") -> str:
    """Return the command that writes a repaired copy of a video, without further loss.

    Args:
        path: of the video.
        arguments: ffmpeg's arguments that repair it.
        ffmpeg: the executable.
        mark: is added to the name of the copy.
    """
    copy = path.with_name(f"{path.stem}{mark or '_repaired'}.mkv")
    return shlex.join([ffmpeg, "-i", str(path), *arguments, "-c:v", "ffv1", "-an", str(copy)])


def _faults(seen: Look) -> Iterator[tuple[str, list[str]]]:
    """Yield what is wrong with a video, and ffmpeg's arguments that repair it."""
    if seen.pix_fmt not in PIX_FMTS:
        yield (
            f"has the pixel format {seen.pix_fmt}, which libvmaf does not read",
            ["-pix_fmt", _nearest(seen.pix_fmt)],
        )
    if seen.rotation:
        yield f"is shown rotated by {seen.rotation:g} degrees", []
    if seen.interlaced:
        yield "is interlaced", ["-vf", "bwdif=mode=send_frame"]
    if not seen.constant_rate:
        rate = f"{seen.fps:g}" if seen.fps else "25"
        yield "has a variable frame rate", ["-fps_mode", "cfr", "-r", rate]


def _nearest(pix_fmt: str) -> str:
    """Return the readable pixel format that keeps most of another one."""
    depths = {"10": "10le", "12": "12le", "14": "16le", "16": "16le"}
    deep = re.search(r"p(1[0-6])", pix_fmt)
    planes = "yuv444p" if re.search(r"444|rgb|gbr|bgr", pix_fmt) else "yuv420p"
    if "422" in pix_fmt:
        planes = "yuv422p"
    return planes + (depths.get(deep[1], "") if deep else "")
