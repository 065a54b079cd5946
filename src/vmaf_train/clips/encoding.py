"""Clips and encodes of reference videos: which files there are to make, and the making of one.

A clip is a part of a video without a cut. Its reference is stored without loss, unless the clip is
the whole video. Its encodes stay compressed, at their own size.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from vmaf_train.clips.encoders import ENCODERS, Rung, encode_arguments, scale_filter
from vmaf_train.clips.looking import Look, look
from vmaf_train.errors import ExtractionError
from vmaf_train.files import whole_file
from vmaf_train.processes import Processes

Item = TypeVar("Item")
LOSSLESS = ("-c:v", "ffv1", "-level", "3", "-g", "1")
# A new scene begins where ffmpeg's scene score, 0 to 1, is above this.
SCENE = 0.3


@dataclass(frozen=True)
class Clip:
    """A part of a reference video.

    Attributes:
        source: name of the content.
        name: of the clip; that of the source for a whole video.
        video: path of the reference video.
        seen: the look at it.
        frames: the first frame and the one to stop before; None is the whole video.
    """

    source: str
    name: str
    video: Path
    seen: Look
    frames: tuple[int, int] | None = None

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self.frames[1] - self.frames[0] if self.frames else self.seen.frames

    @property
    def ref(self) -> str:
        """Path of its reference below the corpus; for a whole video, the path of the video."""
        return f"ref/{self.name}.mkv" if self.frames else str(self.video.absolute())


@dataclass(frozen=True)
class Making:
    """A file to make with one ffmpeg command.

    Attributes:
        folder: of the corpus.
        name: path of the file below it.
        arguments: ffmpeg's arguments, without the file.
        n_frames: number of frames that the file must hold.
        made_of: digest of all that decides its content.
    """

    folder: Path
    name: str
    arguments: tuple[str, ...]
    n_frames: int
    made_of: str

    def run(self, ffmpeg: Path, processes: Processes) -> None:
        """Make the file; until it is whole, it has a temporary name.

        Raises:
            ExtractionError: ffmpeg failed, or the file holds another number of frames.
            OSError: the folder cannot be written.
        """
        path = self.folder / self.name
        with whole_file(path) as temporary:
            form = ["-f", "matroska", f"file:{temporary}"]
            quiet = [str(ffmpeg), "-nostdin", "-v", "error", "-y"]
            processes.run([*quiet, *self.arguments, *form])
            held = look(temporary, ffmpeg).frames
            if held != self.n_frames:
                raise ExtractionError(
                    f"{path} would hold {held} frames instead of {self.n_frames}; check its "
                    "reference, or leave this encoder out"
                )


def cut_clip(clip: Clip, folder: Path, made_by: str) -> Making:
    """Return the making of a clip's lossless reference."""
    assert clip.frames, f"{clip.name} is a whole video"
    first, end = clip.frames
    trim = f"trim=start_frame={first}:end_frame={end},setpts=PTS-STARTPTS"
    arguments = ["-i", f"file:{clip.video.absolute()}", "-map", "0:v:0", "-vf", trim, *LOSSLESS]
    arguments += ["-fps_mode", "passthrough"]
    return _making(folder, clip.ref, arguments, clip, made_by)


def encode_clip(clip: Clip, encoder: str, rung: Rung, folder: Path, made_by: str) -> Making:
    """Return the making of one encode of a clip, whose reference is there."""
    seen = clip.seen
    height = rung.height_of(seen.height)
    width = seen.width
    scaled = []
    if height != seen.height:
        width = max(2, 2 * round(seen.width * height / seen.height / 2))
        scaled = ["-vf", scale_filter(width, height)]
    coder = encode_arguments(ENCODERS[encoder], rung)
    arguments = ["-i", f"file:{folder.absolute() / clip.ref}", "-map", "0:v:0", *scaled, *coder]
    arguments += ["-fps_mode", "passthrough"]
    name = f"dis/{clip.name}_{encoder}_{height}p_{rung.rate}.mkv"
    return _making(folder, name, arguments, clip, made_by)


def _making(folder: Path, name: str, arguments: Sequence[str], clip: Clip, made_by: str) -> Making:
    stat = clip.video.stat()
    content = [made_by, clip.video.name, stat.st_size, stat.st_mtime_ns, clip.frames, *arguments]
    made_of = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
    return Making(folder, name, tuple(arguments), clip.n_frames, made_of)


def scene_starts(video: Path, ffmpeg: Path, processes: Processes) -> list[int]:
    """Return the numbers of the frames at which scenes of a video start, from 0.

    Raises:
        ExtractionError: ffmpeg failed.
    """
    # Numbered timestamps, so that a frame's time is its number.
    filters = rf"settb=1/25,setpts=N,scale=320:-2,select=gt(scene\,{SCENE}),metadata=print:file=-"
    command = [str(ffmpeg), "-nostdin", "-v", "error", "-i", f"file:{video.absolute()}"]
    said = processes.run([*command, "-map", "0:v:0", "-vf", filters, "-f", "null", "-"])
    lines = said.decode(errors="replace").splitlines()
    cuts = [int(line.split("pts:")[1].split()[0]) for line in lines if line.startswith("frame:")]
    return sorted({0, *cuts})


def clips_of(
    source: str,
    video: Path,
    seen: Look,
    starts: Sequence[int],
    frames_per_clip: int,
    most: int,
) -> list[Clip]:
    """Return clips of equal length, one at the start of each scene that is long enough.

    Args:
        source: name of the content.
        video: path of the reference video.
        seen: the look at it.
        starts: numbers of the frames at which scenes start.
        frames_per_clip: number of frames of a clip; 0 takes the whole video.
        most: how many clips, spread evenly over the video; 0 takes all.
    """
    if not frames_per_clip:
        return [Clip(source, source, video, seen)]
    ends = [*starts[1:], seen.frames]
    long_enough = [
        start for start, end in zip(starts, ends, strict=True) if end - start >= frames_per_clip
    ]
    kept = long_enough
    if 0 < most < len(long_enough):
        kept = [long_enough[round((i + 0.5) * len(long_enough) / most - 0.5)] for i in range(most)]
    return [
        Clip(source, f"{source}_{start:06}", video, seen, (start, start + frames_per_clip))
        for start in kept
    ]


def in_parallel(
    work: Callable[[Item], None], items: Iterable[Item], jobs: int, processes: Processes
) -> None:
    """Do some work for each item in threads; after an error or an interrupt, stop all of it.

    Args:
        work: runs commands in `processes`.
        items: the items.
        jobs: how many at once.
        processes: are stopped after an error.
    """
    with ThreadPoolExecutor(jobs) as pool:
        try:
            # list() waits for all calls and raises the first error.
            list(pool.map(work, items))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            processes.stop()
            raise
