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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vmaf_train.clips.video import Video, YuvFormat
from vmaf_train.errors import ExtractionError, InputError
from vmaf_train.extraction.logs import (
    FrameScores,
    check_decoded,
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
REPORTING = {"FFREPORT": f"file={REPORT}:level={REPORT_LEVEL}"}
# Name of a model file in the folder of a pass.
MODEL = "model.json"
# What ffmpeg does not read as itself in a dictionary, in the options of a filter, and in a graph of
# filters. A path is in all three, and each takes one backslash away.
SPECIAL = (r"\':", r"\':", r"\'[],;")


@dataclass(frozen=True)
class Branch:
    """What one libvmaf filter of a pass extracts, and from which pictures.

    Attributes:
        wanted: options of the libvmaf filter that say what it computes.
        filters: ffmpeg's filters that both videos go through first; empty for none.
        chooses: whether the filters leave frames out.
    """

    wanted: str
    filters: str = ""
    chooses: bool = False


def extracting(extraction: str) -> str:
    """Return the options of the libvmaf filter that extract features, without any score."""
    return f"model='':feature='{extraction}'"


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
        try:
            with tempfile.TemporaryDirectory(prefix="vmaf-train-") as folder:
                still = _gray(Path(folder, "gray.raw"))
                (log,) = self._teacher_logs([still], still, threads=0)
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
        try:
            logs = self._teacher_logs([pair.dis for pair in pairs], pairs[0].ref, job.threads)
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
        (log,), report = self.branches(ref, dis, [Branch(extracting(wanted.extraction))], threads)
        x_NF = parse_features(log, dis.path.name, wanted.features)
        return x_NF, remarks_of(report, len(x_NF))

    def branches(
        self,
        ref: Video,
        dis: Video,
        branches: Sequence[Branch],
        threads: int,
        files: Mapping[str, bytes] | None = None,
    ) -> tuple[list[str], str]:
        """Extract features of two videos in several branches; both are decoded once.

        Args:
            ref, dis: the two videos; frames are paired by number.
            branches: what to extract, from which frames.
            threads: number of libvmaf's threads per branch; 0 works in the thread of the filter.
            files: content of files for the folder that ffmpeg runs in, by name.

        Returns:
            The log of each branch, empty where its filters left no frame; and ffmpeg's report.

        Raises:
            ExtractionError: ffmpeg failed, or it wrote no log of every frame.
        """
        graph = branch_arguments(branches, threads, dis.filters, ref.filters)
        command = [*self._quiet, *dis.arguments(), *ref.arguments(), *graph]
        with tempfile.TemporaryDirectory(prefix="vmaf-train-") as folder:
            for name, content in (files or {}).items():
                Path(folder, name).write_bytes(content)
            wanted = [number for number, branch in enumerate(branches) if not branch.chooses]
            logs = self._logs(command, len(branches), Path(folder), REPORTING, wanted)
            return logs, _report_in(folder)

    def stop(self) -> None:
        """Kill every running pass and refuse new ones; used after an interrupt."""
        self._processes.stop()

    @property
    def _quiet(self) -> list[str]:
        return [str(self.path), "-nostdin", "-v", "error"]

    def _teacher_logs(self, clips: Sequence[Video], ref: Video, threads: int) -> list[str]:
        """Score clips with the teacher against their reference; return the log of each."""
        count = len(clips)
        refs = [f"[ref{clip}]" for clip in range(count)]
        # The reference is the last input.
        graph = [f"[{count}:v]{_chain(ref.filters)},split={count}{''.join(refs)}"]
        outputs = []
        for number, (clip, of_clip) in enumerate(zip(clips, refs, strict=True)):
            options = _libvmaf_options(f"model=version={self.teacher.name}", number, threads)
            graph.append(f"[{number}:v]{_chain(clip.filters)}[dis{number}]")
            graph.append(f"[dis{number}]{of_clip}libvmaf={options}[out{number}]")
            outputs += ["-map", f"[out{number}]", "-f", "null", "-"]
        inputs = [argument for video in (*clips, ref) for argument in video.arguments()]
        command = [*self._quiet, *inputs, "-filter_complex", ";".join(graph), *outputs]
        with tempfile.TemporaryDirectory(prefix="vmaf-train-") as folder:
            logs = self._logs(command, count, Path(folder), REPORTING, range(count))
            check_decoded(_report_in(folder), [video.path for video in (*clips, ref)])
            return logs

    def _logs(
        self,
        command: list[str],
        count: int,
        folder: Path,
        env: Mapping[str, str],
        needed: Iterable[int],
    ) -> list[str]:
        """Run a command in a folder; return the logs `0.json`, `1.json`, ... that it wrote there.

        libvmaf writes no log of no frame. Such a log is empty; if it is `needed`, that is an error.
        """
        self._processes.run(command, folder, env=env)
        paths = [folder / f"{number}.json" for number in range(count)]
        if not all(paths[number].is_file() for number in needed):
            raise ExtractionError(f"ffmpeg wrote no libvmaf log. Command: {shlex.join(command)}")
        return [path.read_text() if path.is_file() else "" for path in paths]


def _gray(path: Path) -> Video:
    """Write a raw video of one gray frame."""
    format = YuvFormat(64, 64)
    path.write_bytes(b"\x80" * format.frame_bytes)
    return Video(path, format)


def _report_in(folder: str) -> str:
    """Return ffmpeg's report; nothing if a wrapper around ffmpeg drops the environment."""
    return "".join(path.read_text(errors="replace") for path in Path(folder).glob(REPORT))


def branch_arguments(
    branches: Sequence[Branch],
    threads: int,
    dis_filters: Sequence[str] = (),
    ref_filters: Sequence[str] = (),
) -> list[str]:
    """Return ffmpeg's arguments that run branches on two inputs, dis and ref.

    Args:
        branches: what to extract, from which frames.
        threads: number of libvmaf's threads per branch.
        dis_filters, ref_filters: filters that each input goes through first.
    """
    # ffmpeg fails without an output, and if an output gets no frame.
    extra = "[all]" if all(branch.chooses for branch in branches) else ""
    chains = [
        _numbered(0, "dis", dis_filters, len(branches), extra),
        _numbered(1, "ref", ref_filters, len(branches)),
    ]
    outputs = [extra] if extra else []
    for number, branch in enumerate(branches):
        given = made = [f"[dis{number}]", f"[ref{number}]"]
        if branch.filters:
            made = [f"[dis{number}f]", f"[ref{number}f]"]
            chains += [f"{a}{branch.filters}{b}" for a, b in zip(given, made, strict=True)]
        options = _libvmaf_options(branch.wanted, number, threads)
        end = ",nullsink" if branch.chooses else f"[out{number}]"
        chains.append(f"{''.join(made)}libvmaf={options}{end}")
        outputs += [] if branch.chooses else [end]
    mapped = [word for output in outputs for word in ("-map", output, "-f", "null", "-")]
    return ["-filter_complex", ";".join(chains), *mapped]


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
    return parse_scores(log, dis.path.name, ffmpeg.teacher.score_key)


def _numbered(index: int, name: str, filters: Sequence[str], branches: int, more: str = "") -> str:
    """Return filters that split the frames of an input: [name0], [name1], ..., more."""
    labels = "".join(f"[{name}{number}]" for number in range(branches)) + more
    return f"[{index}:v]{_chain(filters)},split={branches + bool(more)}{labels}"


def _chain(filters: Sequence[str]) -> str:
    """Return a chain of filters that numbers the frames that come out of these filters.

    Numbered timestamps pair frames by number: containers start at different times and round
    differently.
    """
    return ",".join([*filters, "settb=AVTB", "setpts=N/25/TB"])


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
