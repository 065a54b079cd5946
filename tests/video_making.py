"""Small videos that ffmpeg makes for tests."""

import shlex
from pathlib import Path

from vmaf_train.extraction.libvmaf import Ffmpeg
from vmaf_train.processes import Processes

SIZE, FRAMES = "64x48", 12


def draw(
    ffmpeg: Ffmpeg,
    path: Path,
    *,
    options: str = "-c:v ffv1 -pix_fmt yuv420p",
    size: str = SIZE,
    rate: str = "25",
    frames: int = FRAMES,
) -> Path:
    """Write a moving picture with noise.

    Args:
        ffmpeg: draws it.
        path: of the file; its ending names the container.
        options: ffmpeg's arguments that encode it.
        size: width and height, as ffmpeg reads them.
        rate: frames per second.
        frames: number of frames.
    """
    graph = f"testsrc2=size={size}:rate={rate},noise=alls=12:all_seed=3"
    drawn = ["-f", "lavfi", "-i", graph, "-frames:v", str(frames), *shlex.split(options)]
    run(ffmpeg, *drawn, str(path))
    return path


def encode(ffmpeg: Ffmpeg, video: Path, path: Path, options: str) -> Path:
    """Encode a video with ffmpeg's arguments."""
    run(ffmpeg, "-i", str(video), *shlex.split(options), str(path))
    return path


def run(ffmpeg: Ffmpeg, *arguments: str) -> None:
    """Run ffmpeg."""
    Processes().run([str(ffmpeg.path), "-nostdin", "-v", "error", "-y", *arguments])
