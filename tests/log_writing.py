"""Logs that the real ffmpeg writes."""

import subprocess
from pathlib import Path

from vmaf_train.clips.pairs import Pair
from vmaf_train.extraction.libvmaf import Ffmpeg

FORMS = ("json", "xml", "csv")


def write_log(ffmpeg: Ffmpeg, pair: Pair, path: Path, options: str = "") -> Path:
    """Write the log of a pass over a pair, in the form that the path's ending names."""
    log = f"log_path={path.name}:log_fmt={path.suffix[1:]}"
    videos = [*pair.dis.arguments(), *pair.ref.arguments()]
    graph = f"libvmaf={':'.join(filter(None, (log, options)))}"
    command = [ffmpeg.path, "-v", "error", *videos, "-lavfi", graph, "-f", "null", "-"]
    subprocess.run(command, check=True, cwd=path.parent)
    return path
