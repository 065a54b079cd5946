"""One ffmpeg/libvmaf pass over a pair, or over pairs of one source: features and the teacher's score of every frame.

The pass runs `ffmpeg` as a child process; its JSON log is read by a pure function that refuses gaps, nulls and
short logs rather than handing out a table that looks whole.
"""

import json
import math
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vmaf_train.clips.layout import Pair
from vmaf_train.errors import ExtractionError, InputError
from vmaf_train.extraction.schedule import Pass
from vmaf_train.features import ADM_DETAILS, CANONICAL, TEACHER, TEACHER_KEY, FeatureSet, log_keys
from vmaf_train.processes import Processes

# What is asked of libvmaf beside the teacher; part of a cache entry's identity.
FEATURE_OPTIONS = "default"
AGAIN = "run the command again; if it stays, check the clip and the ffmpeg in VMAF_FFMPEG"
# What ffmpeg says at its end of the frames it decoded, to a report beside the log: 40 is its level "verbose".
REPORT = "report.txt"
DECODED = re.compile(
    r"Input stream #([01]):[0-9]+ \(video\):.* ([0-9]+) frames decoded(?:; ([0-9]+) decode errors)?"
)


@dataclass(frozen=True, eq=False)
class FrameScores:
    """Features and teacher scores of one clip, frame by frame.

    Attributes:
        features: column names of `x_NF`: the canonical set, then what else this libvmaf computes on the way.
        x_NF: float64 of shape (frames, features), raw libvmaf values as logged.
        y_N: float64 of shape (frames,), the teacher's frame scores, 0 to 100.
    """

    features: tuple[str, ...]
    x_NF: np.ndarray
    y_N: np.ndarray


class Ffmpeg:
    """An ffmpeg executable that can score with libvmaf, from several threads at once.

    Attributes:
        path: the executable.
        libvmaf_version: as libvmaf itself states it in its log.

    Raises:
        InputError: the executable has no libvmaf, or not the teacher's model.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._processes = Processes()
        still = ["-f", "lavfi", "-i", "color=gray:size=64x64:rate=1:duration=1"]
        try:
            self.libvmaf_version: str = json.loads(
                self._logs([*still, *still], clips=1, threads=0)[0]
            )["version"]
        except (ExtractionError, OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} cannot score with libvmaf and {TEACHER}; set VMAF_FFMPEG to an ffmpeg built with libvmaf, "
                f"or unset it to use the one of imageio-ffmpeg. It said: {error}"
            ) from error

    def extract(self, job: Pass) -> list[FrameScores]:
        """Score the pairs of one pass, which reads each file once, the reference too.

        Raises:
            ExtractionError: ffmpeg failed, or a log does not hold every frame; names the clips.
        """
        inputs = []
        for pair, path in [
            *((pair, pair.dis) for pair in job.pairs),
            (job.pairs[0], job.pairs[0].ref),
        ]:
            inputs += ["-f", "rawvideo", "-pix_fmt", pair.format.pix_fmt, "-s", str(pair.format)]
            inputs += ["-r", f"{pair.fps:g}", "-i", _address(path, pair)]
        try:
            logs = self._logs(inputs, len(job.pairs), job.threads)
        except ExtractionError as error:
            raise ExtractionError(
                f"{', '.join(pair.clip for pair in job.pairs)}: {error}"
            ) from error
        return [
            parse_log(log, pair.clip, pair.n_frames)
            for log, pair in zip(logs, job.pairs, strict=True)
        ]

    def features(
        self, ref: Sequence[str], dis: Sequence[str], wanted: FeatureSet, clip: str, threads: int
    ) -> tuple[np.ndarray, list[str]]:
        """Extract one feature set and nothing else from any two inputs that ffmpeg reads, frame by frame.

        Args:
            ref, dis: what ffmpeg is told of each input, `-i` and address at the end.
            wanted: the feature set.
            clip: named in every error.
            threads: inside libvmaf.

        Returns:
            float64 of shape (frames of the shorter input, features), and what people should know: that one input
            goes on after the other's end, or could not be decoded whole.

        Raises:
            ExtractionError: ffmpeg failed, or its log is not whole.
        """
        # Frames are paired by number: containers start at different times, and no two agree on the last digit.
        paired = "".join(
            f"[{i}:v]settb=AVTB,setpts=N/25/TB[{name}];" for i, name in enumerate(("dis", "ref"))
        )
        options = f"model='':feature='{wanted.extraction}':log_path=0.json:log_fmt=json:n_threads={threads}:shortest=1"
        command = [str(self.path), "-nostdin", "-v", "error", *dis, *ref]
        command += [
            "-filter_complex",
            f"{paired}[dis][ref]libvmaf={options}[out]",
            "-map",
            "[out]",
            "-f",
            "null",
            "-",
        ]
        with tempfile.TemporaryDirectory(prefix="vmaf-train-") as folder:
            (log,) = self._read_logs(
                command, 1, Path(folder), {"FFREPORT": f"file={REPORT}:level=40"}
            )
            x_NF = parse_features(log, clip, wanted.features)
            report = Path(folder, REPORT)
            # A wrapper around ffmpeg may keep the environment from it.
            return x_NF, remarks_of(
                report.read_text(errors="replace") if report.is_file() else "", len(x_NF)
            )

    def stop(self) -> None:
        """End every running pass and refuse new ones; for an interrupt."""
        self._processes.stop()

    def _logs(self, inputs: list[str], clips: int, threads: int) -> list[str]:
        """Run libvmaf over the first `clips` inputs against the one that follows; return its JSON logs."""
        refs = [f"[ref{clip}]" for clip in range(clips)]
        graph = [f"[{clips}:v]split={clips}{''.join(refs)}"]
        command = [str(self.path), "-nostdin", "-v", "error", *inputs]
        outputs = []
        for clip, ref in enumerate(refs):
            # A log's name is relative to the working folder, so that no path has to be escaped for the filter. By
            # itself the filter repeats the last frame of a file that was cut since it was scanned.
            options = f"model=version={TEACHER}:log_path={clip}.json:log_fmt=json:n_threads={threads}:shortest=1"
            graph.append(f"[{clip}:v]{ref}libvmaf={options}[out{clip}]")
            outputs += ["-map", f"[out{clip}]", "-f", "null", "-"]
        with tempfile.TemporaryDirectory(prefix="vmaf-train-") as folder:
            return self._read_logs(
                [*command, "-filter_complex", ";".join(graph), *outputs], clips, Path(folder)
            )

    def _read_logs(
        self, command: list[str], clips: int, folder: Path, env: Mapping[str, str] | None = None
    ) -> list[str]:
        self._processes.run(command, folder, env=env)
        logs = [folder / f"{clip}.json" for clip in range(clips)]
        if not all(log.is_file() for log in logs):
            raise ExtractionError(f"ffmpeg wrote no libvmaf log. Command: {shlex.join(command)}")
        return [log.read_text() for log in logs]


def _address(path: Path, pair: Pair) -> str:
    """Return what ffmpeg opens: the file, or the bytes of the frames that are asked for."""
    file = f"file:{path.absolute()}"
    if pair.frames is None:
        return file
    start, end = (frame * pair.format.frame_bytes for frame in pair.frames)
    return f"subfile,,start,{start},end,{end},,:{file}"


def find_ffmpeg() -> Ffmpeg:
    """Find the ffmpeg to use: $VMAF_FFMPEG, else the one that imageio-ffmpeg ships.

    Raises:
        InputError: there is none, or it cannot score with libvmaf.
    """
    wanted = os.environ.get("VMAF_FFMPEG")
    if wanted:
        found = shutil.which(wanted)
    else:
        import imageio_ffmpeg

        try:
            found = imageio_ffmpeg.get_ffmpeg_exe()
        except RuntimeError:
            found = None
    if not found:
        raise InputError(
            f"no ffmpeg at {wanted or 'the place of imageio-ffmpeg'}; "
            "set VMAF_FFMPEG to an ffmpeg built with libvmaf, or unset it and run: pip install imageio-ffmpeg"
        )
    return Ffmpeg(Path(found).absolute())


def parse_log(text: str, clip: str, n_frames: int) -> FrameScores:
    """Read the teacher's libvmaf JSON log into frame scores; the decimals in the log are kept exactly.

    A detail of ADM that an older build does not log at all is no column.

    Args:
        text: the log, as written with `log_fmt=json`.
        clip: named in every error.
        n_frames: how many frames the files hold; the log must hold frames 0 to n_frames - 1, each once, in order.

    Raises:
        ExtractionError: not JSON, a frame missing or out of order, a value missing, null or not finite.
    """
    metrics = _frames_of(text, clip)
    if len(metrics) != n_frames:
        raise ExtractionError(
            f"{clip}: libvmaf's log holds {len(metrics)} frames, the files hold {n_frames}; {AGAIN}"
        )
    features = (
        *CANONICAL.features,
        *(name for name in ADM_DETAILS if set(log_keys(name)) & metrics[0].keys()),
    )
    table = _table_of(metrics, clip, [*map(log_keys, features), (TEACHER_KEY,)])
    return FrameScores(features, table[:, :-1], table[:, -1])


def remarks_of(report: str, frames: int) -> list[str]:
    """Read from ffmpeg's report on a distorted video and its reference what makes a score of `frames` frames doubtful.

    A report without the numbers, as older builds write it, says nothing.
    """
    remarks = []
    for number, decoded, errors in DECODED.findall(report):
        name = ("the distorted video", "the reference")[int(number)]
        if int(decoded) > frames:
            remarks.append(
                f"{name} goes on after the {frames} frames that both have; only these are scored"
            )
        if int(errors or 0):
            remarks.append(
                f"{name} has {errors} frames that ffmpeg could not decode; frames after the first of them may be "
                "compared with the wrong ones"
            )
    return remarks


def parse_features(text: str, clip: str, features: Sequence[str]) -> np.ndarray:
    """Read these features from a libvmaf JSON log: float64 of shape (frames, features), one frame at least.

    Raises:
        ExtractionError: not JSON, a frame missing or out of order, a value missing, null or not finite.
    """
    return _table_of(_frames_of(text, clip), clip, [log_keys(name) for name in features])


def _frames_of(text: str, clip: str) -> list[dict[str, object]]:
    try:
        frames = json.loads(text)["frames"]
        metrics = [dict(frame["metrics"]) for frame in frames]
        numbers = [frame["frameNum"] for frame in frames]
    except (ValueError, KeyError, TypeError) as error:
        raise ExtractionError(
            f"{clip}: libvmaf's log cannot be read ({error!r}); {AGAIN}"
        ) from error
    for position, number in enumerate(numbers):
        if number != position:
            raise ExtractionError(
                f"{clip}: libvmaf's log has frame {number} where frame {position} belongs; {AGAIN}"
            )
    if not metrics:
        raise ExtractionError(f"{clip}: libvmaf's log holds no frame; {AGAIN}")
    return metrics


def _table_of(
    metrics: Sequence[Mapping[str, object]], clip: str, columns: Sequence[Sequence[str]]
) -> np.ndarray:
    """Return the value of each column's first key that is there: float64 of shape (frames, columns)."""
    table = np.empty((len(metrics), len(columns)))
    for frame, logged in enumerate(metrics):
        for column, keys in enumerate(columns):
            value = next((logged[key] for key in keys if key in logged), None)
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise ExtractionError(f"{clip}: frame {frame} has {value!r} for {keys[0]}; {AGAIN}")
            table[frame, column] = value
    return table
