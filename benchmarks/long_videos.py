"""Long videos for benchmarks: montages of a corpus's references, each encoded in twelve ways.

A montage joins scenes with hard cuts. A scene is a part of one reference, played forward and back
until it lasts long enough, sometimes mirrored, slowed down to half or frozen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from common import run_ffmpeg

from vmaf_train.clips.pairs import Pair
from vmaf_train.clips.video import Video, YuvFormat
from vmaf_train.extraction.libvmaf import Ffmpeg

# Encoders, rate controls and GOP shapes: ffmpeg's options of each encode.
ENCODES = {
    "x264 crf 23": "-c:v libx264 -crf 23",
    "x264 crf 33 veryfast": "-c:v libx264 -crf 33 -preset veryfast",
    "x264 capped": "-c:v libx264 -b:v 150k -maxrate 220k -bufsize 300k",
    "x264 starved": "-c:v libx264 -b:v 60k",
    "x264 gop 12": "-c:v libx264 -crf 30 -g 12 -bf 0",
    "x264 qp": "-c:v libx264 -qp 32 -g 60 -x264-params ipratio=2.5:pbratio=2.5",
    "x264 half size": "-vf scale=iw/2:-2 -c:v libx264 -crf 26",
    "x265": "-c:v libx265 -crf 32 -preset fast -x265-params log-level=error",
    "SVT-AV1": "-c:v libsvtav1 -crf 48 -preset 9",
    "VP9": "-c:v libvpx-vp9 -crf 45 -b:v 0 -deadline realtime -cpu-used 7",
    "MPEG-2": "-c:v mpeg2video -b:v 350k -g 15 -bf 2",
    "MPEG-4": "-c:v mpeg4 -qscale:v 14",
}
# Frames per scene.
SCENES = (24, 40, 48, 80, 96)
# Shares of the scenes that are mirrored, slowed down and frozen.
MIRRORED, SLOWED, FROZEN = 0.5, 0.15, 0.1


@dataclass(frozen=True)
class LongVideo:
    """A montage and one encode of it, by name."""

    name: str
    encode: str
    ref: Video
    dis: Video


def references(pairs: Sequence[Pair]) -> list[Path]:
    """Return the paths of the references of some pairs, each once; all have one geometry."""
    return sorted({pair.ref.path for pair in pairs})


def make_long_videos(
    ffmpeg: Ffmpeg,
    refs: Sequence[Path],
    format: YuvFormat,
    folder: Path,
    *,
    montages: int,
    frames: int,
    seed: int = 0,
) -> Iterator[LongVideo]:
    """Make montages of references, and encode each in every way; yield them one by one.

    Args:
        ffmpeg: encodes.
        refs: raw files, 8-bit yuv420p.
        format: geometry of the references.
        folder: where files are written; encodes that are there are kept.
        montages: number of montages.
        frames: frames of the first montage; each further one is a tenth longer.
        seed: of the scenes.
    """
    draw = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    # Not read into memory: a 1080p reference can be larger.
    sources = [
        np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, format.frame_bytes) for path in refs
    ]
    for number in range(montages):
        length = frames + number * frames // 10
        name = f"montage{number}_{length}"
        ref = Video(folder / f"{name}.yuv", format, fps=25.0)
        with ref.path.open("wb") as file:
            for frame in islice(_montage(sources, format, draw), length):
                file.write(frame.tobytes())
        for encode, options in ENCODES.items():
            out = folder / f"{name}_{encode.replace(' ', '_')}.mkv"
            if not out.is_file():
                run_ffmpeg(ffmpeg, *ref.arguments(), *options.split(), "-an", "-y", str(out))
            yield LongVideo(name, encode, ref, _at_size(ffmpeg, out, format, encode))


def _montage(
    sources: Sequence[np.ndarray], format: YuvFormat, draw: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield the frames of an endless montage: uint8 of shape (bytes,)."""
    while True:
        source = sources[int(draw.integers(len(sources)))]
        length = int(draw.choice(SCENES))
        first = int(draw.integers(max(1, len(source) - length)))
        part = np.arange(first, len(source))
        there_and_back = np.concatenate([part, part[-2:0:-1]])
        order = np.arange(length)
        if draw.random() < SLOWED:
            order = order // 2
        if draw.random() < FROZEN:
            order = np.zeros_like(order)
        mirrored = draw.random() < MIRRORED
        for frame in there_and_back[order % len(there_and_back)]:
            yield _mirrored(source[frame], format) if mirrored else source[frame]


def _mirrored(frame: np.ndarray, format: YuvFormat) -> np.ndarray:
    """Mirror a frame, left to right."""
    luma, chroma = format.pixels, format.pixels // 4
    planes = np.split(frame, [luma, luma + chroma])
    widths = (format.width, format.width // 2, format.width // 2)
    turned = [
        plane.reshape(-1, width)[:, ::-1].ravel()
        for plane, width in zip(planes, widths, strict=True)
    ]
    return np.concatenate(turned)


def _at_size(ffmpeg: Ffmpeg, path: Path, format: YuvFormat, encode: str) -> Video:
    """Return an encode as a video of the reference's size: at half size, it is scaled back."""
    if "half" not in encode:
        return Video(path)
    scaled = path.with_suffix(".scaled.mkv")
    if not scaled.is_file():
        size = f"scale={format.width}:{format.height}:flags=bicubic"
        lossless = ("-c:v", "libx264", "-qp", "0", "-preset", "ultrafast")
        run_ffmpeg(ffmpeg, "-i", str(path), "-vf", size, *lossless, "-y", str(scaled))
    return Video(scaled)
