"""A video that ffmpeg opens.

A raw file (.yuv) states neither its size nor its pixel format. The user states both; the number of
bytes in the file must fit them.
"""

import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from vmaf_train.errors import ExtractionError, InputError

RAW_SUFFIX = ".yuv"
# Whether a distorted picture of another size is scaled to that of its reference, and how, by
# ffmpeg's name.
NO_SCALE, SCALE_TO_REF = "none", "ref"
SCALES = (NO_SCALE, SCALE_TO_REF)
SCALER = "bicubic"
# Raw pixel formats by ffmpeg's name: luma samples per chroma sample across, luma samples per chroma
# sample down, and bytes per sample.
PIX_FMTS = {
    f"{planes}{depth}": (*luma, sample)
    for planes, luma in (("yuv420p", (2, 2)), ("yuv422p", (2, 1)), ("yuv444p", (1, 1)))
    for depth, sample in (("", 1), ("10le", 2), ("12le", 2), ("16le", 2))
}


def raw_arguments(pix_fmt: str, size: str = "", fps: float | None = None) -> list[str]:
    """Return ffmpeg's arguments that describe raw video, as an input or as an output.

    Args:
        pix_fmt: pixel format, as ffmpeg names it.
        size: `WxH` in pixels; an input needs it.
        fps: frames per second of an input; None leaves ffmpeg's default.
    """
    arguments = ["-f", "rawvideo", "-pix_fmt", pix_fmt]
    if size:
        arguments += ["-s", size]
    if fps is not None:
        arguments += ["-r", f"{fps:g}"]
    return arguments


@dataclass(frozen=True)
class YuvFormat:
    """Geometry of a raw file: width and height in pixels, and a pixel format of `PIX_FMTS`."""

    width: int = 1920
    height: int = 1080
    pix_fmt: str = "yuv420p"

    @property
    def pixels(self) -> int:
        """Pixels per frame."""
        return self.width * self.height

    @property
    def frame_bytes(self) -> int:
        """Bytes per frame: a luma plane and two chroma planes, whose sides are rounded up."""
        across, down, sample = PIX_FMTS[self.pix_fmt]
        chroma = math.ceil(self.width / across) * math.ceil(self.height / down)
        return sample * (self.pixels + 2 * chroma)

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True)
class FileStamp:
    """Identifies one version of a file.

    Attributes:
        name: of the file.
        size: in bytes.
        mtime_ns: modification time, in nanoseconds.
        blake2b: hash of its content as hex digits; empty if it was not asked for.
    """

    name: str
    size: int
    mtime_ns: int
    blake2b: str = ""

    def is_of(self, other: "FileStamp") -> bool:
        """Tell whether both are of one content: by the hash, if this one has one."""
        if self.blake2b:
            return self.blake2b == other.blake2b
        return replace(self, blake2b=other.blake2b) == other


@dataclass(frozen=True)
class Video:
    """Frames of a video file that ffmpeg opens.

    Attributes:
        path: path of the file.
        format: geometry of a raw file; None if the file states it.
        fps: frames per second of a raw file; None if the file states it or it does not matter.
        stamp: stamp of the file when its folder was scanned; None if it was not scanned.
        frames: the first frame to use and the one to stop before, None for the end of the file;
            None uses all frames.
        scaled_to: width and height in pixels to which the picture is scaled; None leaves its size.
        held: number of frames that the file holds; None if no look said it.
    """

    path: Path
    format: YuvFormat | None = None
    fps: float | None = None
    stamp: FileStamp | None = None
    frames: tuple[int, int | None] | None = None
    scaled_to: tuple[int, int] | None = None
    held: int | None = None

    @property
    def first(self) -> int:
        """Number of the first frame to use."""
        return self.frames[0] if self.frames else 0

    @property
    def is_raw(self) -> bool:
        """Whether the file is raw, so that it states neither size nor pixel format."""
        return self.format is not None

    def arguments(self) -> list[str]:
        """Return ffmpeg's arguments that open the video, `-i` and the address last."""
        options = []
        if self.format:
            options = raw_arguments(self.format.pix_fmt, str(self.format), self.fps)

        address = f"file:{self.path.absolute()}"
        if self.frames and self.format:
            # ffmpeg's subfile protocol reads the bytes from start to end; 0 is the file's end.
            start, end = (frame * self.format.frame_bytes for frame in (self.first, self._end))
            address = f"subfile,,start,{start},end,{end},,:{address}"
        return [*options, "-i", address]

    @property
    def filters(self) -> list[str]:
        """ffmpeg's filters that leave the frames to use, and scale them."""
        filters = []
        if self.frames and not self.format:
            end = f":end_frame={self._end}" if self._end else ""
            filters.append(f"trim=start_frame={self.first}{end}")
        if self.scaled_to:
            width, height = self.scaled_to
            filters.append(f"scale={width}:{height}:flags={SCALER}")
        return filters

    @property
    def _end(self) -> int:
        return (self.frames[1] if self.frames else None) or 0


def stamp_of(path: Path) -> FileStamp:
    """Return the stamp of a file.

    Raises:
        InputError: there is no such file.
    """
    try:
        stat = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a zero byte
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"no file {str(path)[:200]} ({reason}); check its path") from error
    return FileStamp(path.name, stat.st_size, stat.st_mtime_ns)


@contextmanager
def unchanged(videos: Sequence[Video]) -> Iterator[None]:
    """Check that no file changed since its folder was scanned, nor while the body reads it.

    The status time tells also of a file whose modification time was set back.

    Raises:
        ExtractionError: a file changed, or was removed.
    """
    before = {video.path: _state_of(video.path) for video in videos}
    yield
    for video in videos:
        state, stamp = _state_of(video.path), video.stamp
        if state is None:
            raise ExtractionError(f"{video.path} was removed; run again when it is there")
        size, mtime_ns, *_ = state
        scanned = stamp is None or (stamp.size, stamp.mtime_ns) == (size, mtime_ns)
        if not scanned or state != before[video.path]:
            raise ExtractionError(
                f"{video.path} changed while it was read; run again when it is complete"
            )


def _state_of(path: Path) -> tuple[int, int, int, int] | None:
    """Return size, modification time, status time and number of a file; None if it is not there."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def with_content(video: Video) -> Video:
    """Return a scanned video with the BLAKE2 hash of its content in its stamp (RFC 7693).

    Raises:
        InputError: the file cannot be read.
    """
    assert video.stamp, f"{video.path} was not scanned"
    try:
        with video.path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32))
    except OSError as error:
        raise InputError(f"cannot read {video.path}: {error.strerror}") from error
    return replace(video, stamp=replace(video.stamp, blake2b=digest.hexdigest()))


def check_scale(scale: str) -> str:
    """Return the name if it is one of SCALES.

    Raises:
        InputError: it is not.
    """
    if scale not in SCALES:
        raise InputError(f"scale {scale!r} is unknown; choose one of: {', '.join(SCALES)}")
    return scale


def check_pix_fmt(pix_fmt: str, path: Path | str) -> None:
    """Raise InputError unless a pixel format is one of PIX_FMTS; `path` names its file."""
    if pix_fmt not in PIX_FMTS:
        raise InputError(
            f"pixel format {pix_fmt!r} of {path} is none of {', '.join(PIX_FMTS)}; "
            "convert the file to one of these"
        )


def parse_dims(text: str) -> YuvFormat:
    """Read `WxH` (pixels) into a YuvFormat.

    Raises:
        InputError: the text is not two positive whole numbers with an x between them.
    """
    match = re.fullmatch(r"([0-9]{1,6})x([0-9]{1,6})", text)
    if not match or not all(map(int, match.groups())):
        raise InputError(
            f"size {text[:40]!r} is not WIDTHxHEIGHT in pixels; write it like 1920x1080"
        )
    return YuvFormat(int(match[1]), int(match[2]))


def open_video(path: Path, size: str, pix_fmt: str) -> Video:
    """Return the video at a path; a raw one gets the size and pixel format that the user stated.

    Args:
        path: path of the file.
        size: `WxH` in pixels; ignored if the file is not raw.
        pix_fmt: pixel format, as ffmpeg names it; ignored if the file is not raw.

    Raises:
        InputError: there is no such file, or it is raw and the size or the pixel format is
            missing, unknown or does not fit its number of bytes.
    """
    try:
        found = path.is_file()
    except (OSError, ValueError) as error:  # the path is none: too long, or with a zero byte
        raise InputError(f"{str(path)[:200]} is no path ({error}); pass another") from error
    if not found:
        raise InputError(f"no file {path}; pass the paths of two videos, reference first")
    if path.suffix != RAW_SUFFIX:
        return Video(path)
    if not size:
        raise InputError(
            f"{path} is raw and does not state its size; pass --size WxH (and --pix-fmt)"
        )
    check_pix_fmt(pix_fmt, path)
    dims = parse_dims(size)
    format = YuvFormat(dims.width, dims.height, pix_fmt)
    count_frames(path, path.stat().st_size, format, "--size and --pix-fmt")
    return Video(path, format)


def count_frames(path: Path, size: int, format: YuvFormat, option: str) -> int:
    """Return the number of frames that a raw file holds.

    Args:
        path: path of the file, for the error.
        size: size of the file, in bytes.
        format: geometry of its frames.
        option: option that states another geometry, for the error.

    Raises:
        InputError: the file holds no frame, or not a whole number of frames.
    """
    frames, rest = divmod(size, format.frame_bytes)
    if rest or not frames:
        raise InputError(
            f"{path}: {size} bytes is not a whole number of {format} {format.pix_fmt} frames "
            f"({format.frame_bytes} bytes each); pass the true size with {option}, "
            "or replace the file"
        )
    return frames
