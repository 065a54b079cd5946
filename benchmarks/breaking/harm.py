"""What the faults share: how harm is counted, a small corpus, and processes to end."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from common import draw_clip

from vmaf_train.clips.video import YuvFormat
from vmaf_train.errors import VmafTrainError
from vmaf_train.extraction.libvmaf import find_ffmpeg

SIZE = YuvFormat(160, 90)
SOURCES, FRAMES = ("Alpha", "Beta", "Gamma"), 48
# Seconds within which anything must end.
LIMIT = 120
# Exit codes of a command that told what was wrong, or was interrupted.
TOLD = (0, 1, 2, 3, 130)


@dataclass
class Harm:
    """What faults of one kind did."""

    injected: int = 0
    lost: int = 0
    hung: int = 0
    tracebacks: int = 0
    left: int = 0

    @property
    def any(self) -> bool:
        return bool(self.lost or self.hung or self.tracebacks or self.left)

    def told(self, work: Callable[..., object], *given: object) -> object:
        """Do work that may tell the user what is wrong; count what else comes out."""
        self.injected += 1
        try:
            return work(*given)
        except VmafTrainError as error:
            return error
        except Exception as error:
            self.tracebacks += 1
            print(f"  {type(error).__name__}: {str(error)[:200]!r}", file=sys.stderr)
            return error


@dataclass(frozen=True)
class Ended:
    """How a command ended; a code of None means that it hung."""

    code: int | None
    out: str
    err: str


def run(command: list[str], into: Harm | None = None, /, **environment: str) -> Ended:
    """Run a command; count a hang, a traceback, and an end by a signal."""
    process = in_group(command, **environment)
    return finish(process, into)


def finish(process: subprocess.Popen[bytes], into: Harm | None = None) -> Ended:
    """Wait for a process of `in_group`, and count what it did."""
    try:
        out, err = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if into:
            into.hung += 1
        return Ended(None, "", "")
    ended = Ended(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))
    # Before Python has started, a signal ends the process as it ends any.
    by_signal = (-signal.SIGTERM, -signal.SIGINT, -signal.SIGKILL)
    if into and ("Traceback" in ended.err or ended.code not in (*TOLD, *by_signal)):
        into.tracebacks += 1
        print(f"  code {ended.code}: {ended.err[-300:]!r}", file=sys.stderr)
    return ended


def write_corpus(folder: Path) -> Path:
    """Write a small corpus in the Netflix layout."""
    ffmpeg = find_ffmpeg()
    for number, source in enumerate(SOURCES):
        hue = f"hue=h={40 * number}"
        draw_clip(
            ffmpeg, folder / "ref" / f"{source}_25fps.yuv", SIZE, frames=FRAMES, filters=[hue]
        )
        for rung in (1, 2, 3):
            dis = folder / "dis" / f"{source}_{rung}0_90_{rung}00.yuv"
            filters = [hue, f"gblur=sigma={rung}"]
            draw_clip(ffmpeg, dis, SIZE, frames=FRAMES, filters=filters)
    return folder


def in_group(
    command: list[str], cwd: Path | None = None, /, **environment: str
) -> subprocess.Popen[bytes]:
    """Start a command as the leader of its own group."""
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def children_of(marker: str) -> int:
    """Return the number of processes whose command line or folder names a marker."""
    found = 0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().decode(errors="replace")
            found += marker in words and path.name != str(os.getpid())
        except OSError:
            continue
    return found


def entries(cache: Path) -> dict[str, bytes]:
    """Return the content of all files of a cache, by path."""
    return {
        path.relative_to(cache).as_posix(): path.read_bytes()
        for path in cache.rglob("*")
        if path.is_file()
    }


def numbers_in(cache: Path) -> dict[str, object]:
    """Return the features and scores of all entries of a cache, by path."""
    found: dict[str, object] = {}
    for name, content in entries(cache).items():
        if name.endswith(".json") and not name.startswith("_"):
            entry = json.loads(content)
            found[name] = (entry["features"], entry["scores"])
    return found
