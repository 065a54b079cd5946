"""One ffmpeg/libvmaf pass: over the pairs of one source, or over any two videos.

A pass over pairs gives all features and the teacher's score of every frame. A pass over two videos
gives the features of one set, or the scores of one model file. ffmpeg runs as a child process in a
temporary folder, where libvmaf writes its JSON logs.
"""

import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vmaf_train.clips.video import Video
from vmaf_train.errors import ExtractionError, InputError
from vmaf_train.extraction.logs import (
    FrameScores,
    parse_features,
    parse_log,
    parse_scores,
    remarks_of,
)
from vmaf_train.extraction.schedule import Pass
from vmaf_train.features import FeatureSet
from vmaf_train.processes import Processes
from vmaf_train.teacher.teachers import DEFAULT_TEACHER, Teacher

# Name of ffmpeg's report, which counts the decoded frames, and its log level: 40 is "verbose".
REPORT, REPORT_LEVEL = "report.txt", 40
# Name of a model file in the folder of a pass.
MODEL = "model.json"
# What ffmpeg does not read as itself in a dictionary, in the options of a filter, and in a graph of
# filters. A path is in all three, and each takes one backslash away.
SPECIAL = (r"\':", r"\':", r"\'[],;")


class Ffmpeg:
    """An ffmpeg executable with libvmaf; several threads can use it at once.

    Attributes:
        path: path of the executable.
        teacher: the VMAF model that scores the pairs of a pass.
        libvmaf_version: version of libvmaf, from its log.

    Raises:
        InputError: the executable has no libvmaf, or not the teacher's model.
    """

    def __init__(self, path: Path, teacher: Teacher = DEFAULT_TEACHER) -> None:
        self.path = path
        self.teacher = teacher
        self._processes = Processes()
        still = ["-f", "lavfi", "-i", "color=gray:size=64x64:rate=1:duration=1"]
        try:
            (log,) = self._teacher_logs([*still, *still], clips=1, threads=0)
            self.libvmaf_version: str = json.loads(log)["version"]
        except (ExtractionError, OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} cannot score with libvmaf and {teacher.name}; set VMAF_FFMPEG to an "
                "ffmpeg built with libvmaf, or unset it to use the one of imageio-ffmpeg. "
                f"It said: {error}"
            ) from error

    @property
    def running(self) -> int:
        """Number of passes that run now."""
        return self._processes.running

    def extract(self, job: Pass) -> list[FrameScores]:
        """Score the pairs of one pass, which reads each file once, also the reference.

        Returns:
            The scores of each pair, in the order of `job.pairs`.

        Raises:
            ExtractionError: ffmpeg failed, or a log does not hold every frame; names the clips.
        """
        pairs = job.pairs
        inputs = [argument for pair in pairs for argument in pair.dis.arguments(pair.frames)]
        inputs += pairs[0].ref.arguments(pairs[0].frames)
        try:
            logs = self._teacher_logs(inputs, len(pairs), job.threads)
        except ExtractionError as error:
            raise ExtractionError(f"{', '.join(pair.clip for pair in pairs)}: {error}") from error
        return [
            parse_log(log, pair.clip, pair.n_frames, self.teacher)
            for log, pair in zip(logs, pairs, strict=True)
        ]

    def features(
        self, ref: Video, dis: Video, wanted: FeatureSet, threads: int
    ) -> tuple[np.ndarray, list[str]]:
        """Extract one feature set from two videos, without any score.

        Args:
            ref, dis: the two videos; frames are paired by number.
            wanted: the feature set.
            threads: number of libvmaf's threads; 0 works in the thread of ffmpeg's filter.

        Returns:
            Features, float64 of shape (frames of the shorter video, features); and remarks for
            the user: one video is longer, or has frames that ffmpeg could not decode.

        Raises:
            ExtractionError: ffmpeg failed, or its log is incomplete.
        """
        command = self._pair_command(ref, dis, f"model='':feature='{wanted.extraction}'", threads)
        with tempfile.TemporaryDirectory(prefix="vmaf-train-") as folder:
            env = {"FFREPORT": f"file={REPORT}:level={REPORT_LEVEL}"}
            (log,) = self._logs(command, 1, Path(folder), env)
            x_NF = parse_features(log, dis.path.name, wanted.features)

            path = Path(folder, REPORT)
            # There is no report if a wrapper around ffmpeg drops the environment.
            report = path.read_text(errors="replace") if path.is_file() else ""
            return x_NF, remarks_of(report, len(x_NF))

    def score(self, model: bytes, ref: Video, dis: Video, threads: int) -> np.ndarray:
        """Score two videos with a model in libvmaf's JSON format.

        Args:
            model: content of the model file.
            ref, dis: the two videos; frames are paired by number.
            threads: number of libvmaf's threads; 0 works in the thread of ffmpeg's filter.

        Returns:
            Scores, float64 of shape (frames of the shorter video,).

        Raises:
            ExtractionError: libvmaf refused the model, ffmpeg failed, or its log is incomplete.
        """
        command = self._pair_command(ref, dis, f"model=path={MODEL}", threads)
        with tempfile.TemporaryDirectory(prefix="vmaf-train-") as folder:
            Path(folder, MODEL).write_bytes(model)
            (log,) = self._logs(command, 1, Path(folder))
        return parse_scores(log, dis.path.name, self.teacher.score_key)

    def stop(self) -> None:
        """Kill every running pass and refuse new ones; used after an interrupt."""
        self._processes.stop()

    @property
    def _quiet(self) -> list[str]:
        return [str(self.path), "-nostdin", "-v", "error"]

    def _pair_command(self, ref: Video, dis: Video, wanted: str, threads: int) -> list[str]:
        """Return the command that runs libvmaf with the options `wanted` on two videos."""
        # Numbered timestamps pair frames by number: containers start at different times and round
        # differently.
        numbered = "".join(
            f"[{index}:v]settb=AVTB,setpts=N/25/TB[{name}];"
            for index, name in enumerate(("dis", "ref"))
        )
        options = _libvmaf_options(wanted, 0, threads)
        command = [*self._quiet, *dis.arguments(), *ref.arguments()]
        command += ["-filter_complex", f"{numbered}[dis][ref]libvmaf={options}[out]"]
        return [*command, "-map", "[out]", "-f", "null", "-"]

    def _teacher_logs(self, inputs: list[str], clips: int, threads: int) -> list[str]:
        """Score the first `clips` inputs against the reference, which is the input after them."""
        refs = [f"[ref{clip}]" for clip in range(clips)]
        graph = [f"[{clips}:v]split={clips}{''.join(refs)}"]
        outputs = []
        for clip, ref in enumerate(refs):
            options = _libvmaf_options(f"model=version={self.teacher.name}", clip, threads)
            graph.append(f"[{clip}:v]{ref}libvmaf={options}[out{clip}]")
            outputs += ["-map", f"[out{clip}]", "-f", "null", "-"]
        command = [*self._quiet, *inputs, "-filter_complex", ";".join(graph), *outputs]
        with tempfile.TemporaryDirectory(prefix="vmaf-train-") as folder:
            return self._logs(command, clips, Path(folder))

    def _logs(
        self, command: list[str], clips: int, folder: Path, env: Mapping[str, str] | None = None
    ) -> list[str]:
        """Run a command in a folder and return the logs `0.json`, `1.json`, ... that it wrote."""
        self._processes.run(command, folder, env=env)
        logs = [folder / f"{clip}.json" for clip in range(clips)]
        if not all(log.is_file() for log in logs):
            raise ExtractionError(f"ffmpeg wrote no libvmaf log. Command: {shlex.join(command)}")
        return [log.read_text() for log in logs]


def _libvmaf_options(wanted: str, clip: int, threads: int) -> str:
    """Return the options of ffmpeg's libvmaf filter that write `<clip>.json`."""
    # The log's name is relative to the working folder, so no path needs escaping. Without
    # shortest=1 the filter repeats the last frame of the shorter file.
    return f"{wanted}:log_path={clip}.json:log_fmt=json:n_threads={threads}:shortest=1"


def filter_with(model: Path) -> str:
    """Return ffmpeg's filter that scores with the model file at a path, as `-lavfi` takes it."""
    path = str(model)
    for special in SPECIAL:
        path = "".join(f"\\{letter}" if letter in special else letter for letter in path)
    return f"libvmaf=model=path={path}"


def find_ffmpeg(teacher: Teacher = DEFAULT_TEACHER) -> Ffmpeg:
    """Find the ffmpeg to use: $VMAF_FFMPEG, else the one that imageio-ffmpeg ships.

    Raises:
        InputError: there is none, or it cannot score with libvmaf.
    """
    wanted = os.environ.get("VMAF_FFMPEG")
    found = shutil.which(wanted) if wanted else _packaged_ffmpeg()
    if not found:
        looked = f"at {wanted}" if wanted else "in the package imageio-ffmpeg"
        raise InputError(
            f"no ffmpeg {looked}; set VMAF_FFMPEG to an ffmpeg "
            "built with libvmaf, or unset it and run: pip install imageio-ffmpeg"
        )
    return Ffmpeg(Path(found).absolute(), teacher)


def _packaged_ffmpeg() -> str | None:
    import imageio_ffmpeg  # not needed if VMAF_FFMPEG is set

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        return None
