"""One ffmpeg/libvmaf pass: over the pairs of one source, or over any two videos.

A pass over pairs gives all features and the teacher's score of every frame. A pass over two videos
gives the features of one set, or the scores of one model file. ffmpeg runs as a child process in a
temporary folder, where libvmaf writes its JSON logs.
"""

import json
import os
import shlex
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vmaf_train.clips.pairs import Pair
from vmaf_train.clips.video import Video, YuvFormat, unchanged
from vmaf_train.errors import ExtractionError, InputError
from vmaf_train.extraction.alignment import offset_in, remark
from vmaf_train.extraction.graphs import (
    SMALL_DIS,
    SMALL_REF,
    Branch,
    branch_arguments,
    extracting,
    small_arguments,
    teacher_arguments,
)
from vmaf_train.extraction.logs import (
    FrameScores,
    check_decoded,
    parse_features,
    parse_log,
    parse_scores,
    remarks_of,
)
from vmaf_train.extraction.schedule import Pass
from vmaf_train.features import FeatureSet, least_sides
from vmaf_train.files import read_whole, remove_abandoned, temporary_folder
from vmaf_train.processes import Processes
from vmaf_train.teacher.teachers import DEFAULT_TEACHER, Teacher, find_teacher

# Name of ffmpeg's report, which counts the decoded frames, and its log level: 40 is "verbose".
REPORT, REPORT_LEVEL = "report.txt", 40
REPORTING = {"FFREPORT": f"file={REPORT}:level={REPORT_LEVEL}"}
# Name of the score of a single model in libvmaf's log.
SCORE_KEY = "vmaf"
# Name of a model file in the folder of a pass.
MODEL = "model.json"
# Name of the model file of each teacher that libvmaf does not know.
MODELS = "model{}.json"
# Time limit of a pass: seconds for its start, and per million pixels that a teacher scores. A 1080p
# frame takes about 0.05 s of one core, so this is some forty times as much.
START_SECONDS, SECONDS_PER_MEGAPIXEL = 60.0, 1.0
# The most bytes of a log and of a report that are read. A frame takes about 2 KB of a log.
MOST_LOG_BYTES, MOST_REPORT_BYTES = 1 << 31, 64 << 20
# Least width and height of the picture on which an ffmpeg is tried.
GRAY_SIDE = 64
# What ffmpeg does not read as itself in a dictionary, in the options of a filter, and in a graph of
# filters. A path is in all three, and each takes one backslash away.
SPECIAL = (r"\':", r"\':", r"\'[],;")


class Ffmpeg:
    """An ffmpeg executable with libvmaf; several threads can use it at once.

    Attributes:
        path: path of the executable.
        teachers: the VMAF models that it was found to have.
        libvmaf_version: version of libvmaf, from its log.

    Raises:
        InputError: the executable has no libvmaf, or not the model of a teacher.
    """

    def __init__(self, path: Path, teachers: Sequence[Teacher] = (DEFAULT_TEACHER,)) -> None:
        self.path = path
        self.teachers = tuple(teachers)
        self._processes = Processes()
        try:
            with temporary_folder() as folder:
                side = max(GRAY_SIDE, *(max(least_sides(each.features)) for each in teachers))
                still = _gray(folder / "gray.raw", side)
                ((log, _),) = self._teacher_logs(teachers, [still], still, threads=0)
            self.libvmaf_version: str = json.loads(log)["version"]
        except (ExtractionError, OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} cannot score with libvmaf and {named(teachers)}; set VMAF_FFMPEG to an "
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
            ExtractionError: ffmpeg failed, a log does not hold every frame, or a file changed;
                names the clips.
        """
        pairs, teachers = job.pairs, [find_teacher(name) for name in job.teachers]
        clips, ref = [pair.dis for pair in pairs], pairs[0].ref
        limit = time_limit(pairs, len(teachers))
        try:
            with unchanged((*clips, ref)):
                logs = self._teacher_logs(teachers, clips, ref, job.threads, seconds=limit)
        except ExtractionError as error:
            raise ExtractionError(f"{', '.join(pair.clip for pair in pairs)}: {error}") from error
        return [
            replace(parse_log(log, pair.clip, pair.n_frames, teachers), offset=late)
            for (log, late), pair in zip(logs, pairs, strict=True)
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
        (log,), remarks = self.branches(ref, dis, [Branch(extracting(wanted.extraction))], threads)
        return parse_features(log, dis.path.name, wanted.features), remarks

    def branches(
        self,
        ref: Video,
        dis: Video,
        branches: Sequence[Branch],
        threads: int,
        files: Mapping[str, bytes] | None = None,
    ) -> tuple[list[str], list[str]]:
        """Extract features of two videos in several branches; both are decoded once.

        Args:
            ref, dis: the two videos; frames are paired by number.
            branches: what to extract, from which frames.
            threads: number of libvmaf's threads per branch; 0 works in the thread of the filter.
            files: content of files for the folder that ffmpeg runs in, by name.

        Returns:
            The log of each branch, empty where its filters left no frame; and what the pass says
            against comparing the videos frame by frame.

        Raises:
            ExtractionError: ffmpeg failed, or it wrote no log of every frame.
        """
        graph = branch_arguments(branches, threads, dis.filters, ref.filters)
        command = [*self._quiet, *dis.arguments(), *ref.arguments(), *graph]
        with temporary_folder() as folder:
            for name, content in (files or {}).items():
                (folder / name).write_bytes(content)
            wanted = [number for number, branch in enumerate(branches) if not branch.chooses]
            logs = _logs(self._processes, command, len(branches), folder, wanted)
            late = remark(offset_in(folder, SMALL_REF, SMALL_DIS.format(0)))
            remarks = remarks_of(_report_in(folder), whole=not (ref.frames or dis.frames))
            return logs, [late, *remarks] if late else remarks

    def find_offset(self, ref: Video, dis: Video) -> int:
        """Look for the offset of a distorted video: frame i shows frame i + offset of ref.

        Raises:
            ExtractionError: ffmpeg failed.
        """
        command = [*self._quiet, *small_arguments(ref, dis)]
        with temporary_folder() as folder:
            self._processes.run(command, folder)
            return offset_in(folder, SMALL_REF, SMALL_DIS.format(0))

    def stop(self) -> None:
        """Kill every running pass and refuse new ones; used after an interrupt."""
        self._processes.stop()

    @property
    def _quiet(self) -> list[str]:
        return [str(self.path), "-nostdin", "-v", "level+error"]

    def _teacher_logs(
        self,
        teachers: Sequence[Teacher],
        clips: Sequence[Video],
        ref: Video,
        threads: int,
        seconds: float = START_SECONDS,
    ) -> list[tuple[str, int]]:
        """Score clips with teachers against their reference; return log and offset of each."""
        with temporary_folder() as folder:
            models = _models_of(teachers, folder)
            command = [*self._quiet, *teacher_arguments(models, clips, ref, threads)]
            logs = _logs(self._processes, command, len(clips), folder, range(len(clips)), seconds)
            check_decoded(_report_in(folder), [video.path for video in (*clips, ref)])
            return [
                (log, offset_in(folder, SMALL_REF, SMALL_DIS.format(number)))
                for number, log in enumerate(logs)
            ]


def _models_of(teachers: Sequence[Teacher], folder: Path) -> list[str]:
    """Return how libvmaf is given each teacher; write those that it does not know to a folder."""
    for index, teacher in enumerate(teachers):
        if teacher.file:
            (folder / MODELS.format(index)).write_bytes(teacher.file.read_bytes())
    return [
        f"path={MODELS.format(index)}" if teacher.file else f"version={teacher.name}"
        for index, teacher in enumerate(teachers)
    ]


def _logs(
    processes: Processes,
    command: list[str],
    count: int,
    folder: Path,
    needed: Iterable[int],
    seconds: float | None = None,
) -> list[str]:
    """Run a command in a folder; return the logs `0.json`, `1.json`, ... that it wrote there.

    libvmaf writes no log of no frame. Such a log is empty; if it is `needed`, that is an error.
    """
    processes.run(command, folder, env=REPORTING, seconds=seconds)
    paths = [folder / f"{number}.json" for number in range(count)]
    if not all(paths[number].is_file() for number in needed):
        raise ExtractionError(f"ffmpeg wrote no libvmaf log. Command: {shlex.join(command)}")
    # Bytes that are no text make a log that does not parse, which is an error of its pair.
    return [_log_at(path) if path.is_file() else "" for path in paths]


def _log_at(path: Path) -> str:
    try:
        return read_whole(path, MOST_LOG_BYTES).decode(errors="replace")
    except InputError as error:
        # It is a fault of this pass, not of what the user gave.
        raise ExtractionError(f"libvmaf's log cannot be read: {error}") from error


def time_limit(pairs: Sequence[Pair], teachers: int) -> float:
    """Return the seconds after which a pass over some pairs is stopped.

    Args:
        pairs: the pairs.
        teachers: how many teachers score them.
    """
    megapixels = sum(pair.n_frames * pair.format.pixels for pair in pairs) / 1e6
    return START_SECONDS + SECONDS_PER_MEGAPIXEL * megapixels * teachers


def named(teachers: Sequence[Teacher]) -> str:
    """Return the names of teachers, for people."""
    return ", ".join(teacher.name for teacher in teachers)


def _gray(path: Path, side: int) -> Video:
    """Write a raw video of one gray frame."""
    format = YuvFormat(side, side)
    path.write_bytes(b"\x80" * format.frame_bytes)
    return Video(path, format)


def _report_in(folder: Path) -> str:
    """Return ffmpeg's report; nothing if a wrapper around ffmpeg drops the environment."""
    path = folder / REPORT
    if not path.is_file():
        return ""
    with path.open("rb") as report:
        # Its summary comes last.
        report.seek(max(0, path.stat().st_size - MOST_REPORT_BYTES))
        return report.read(MOST_REPORT_BYTES).decode(errors="replace")


def score_with(model: bytes, ref: Video, dis: Video, ffmpeg: Ffmpeg, *, threads: int) -> np.ndarray:
    """Score two videos with a model in libvmaf's JSON format.

    Args:
        model: content of the model file.
        ref, dis: the two videos; frames are paired by number.
        ffmpeg: runs libvmaf.
        threads: number of libvmaf's threads; 0 works in the thread of ffmpeg's filter.

    Returns:
        Scores, float64 of shape (frames of the shorter video,).

    Raises:
        ExtractionError: libvmaf refused the model, ffmpeg failed, or its log is incomplete.
    """
    branch = Branch(f"model=path={MODEL}")
    (log,), _ = ffmpeg.branches(ref, dis, [branch], threads, {MODEL: model})
    return parse_scores(log, dis.path.name, SCORE_KEY)


def filter_with(model: Path) -> str:
    """Return ffmpeg's filter that scores with the model file at a path, as `-lavfi` takes it."""
    path = str(model)
    for special in SPECIAL:
        path = "".join(f"\\{letter}" if letter in special else letter for letter in path)
    return f"libvmaf=model=path={path}"


def find_ffmpeg(*teachers: Teacher) -> Ffmpeg:
    """Find the ffmpeg to use: $VMAF_FFMPEG, else the one that imageio-ffmpeg ships.

    Args:
        teachers: the models that it must have; none stands for the default teacher.

    Raises:
        InputError: there is none, or it cannot score with libvmaf.
    """
    remove_abandoned()
    wanted = os.environ.get("VMAF_FFMPEG")
    found = shutil.which(wanted) if wanted else _packaged_ffmpeg()
    if not found:
        looked = f"at {wanted}" if wanted else "in the package imageio-ffmpeg"
        raise InputError(
            f"no ffmpeg {looked}; set VMAF_FFMPEG to an ffmpeg "
            "built with libvmaf, or unset it and run: pip install imageio-ffmpeg"
        )
    return Ffmpeg(Path(found).absolute(), teachers or (DEFAULT_TEACHER,))


def _packaged_ffmpeg() -> str | None:
    import imageio_ffmpeg  # not needed if VMAF_FFMPEG is set

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        return None
