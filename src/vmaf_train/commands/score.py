"""`score`: score a distorted video against its reference with a student.

Only the features that the student reads are extracted. Neither torch nor MLflow is imported, so
that the command starts fast.
"""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vmaf_train.clips.video import Video, open_video
from vmaf_train.errors import ExtractionError, InputError
from vmaf_train.extraction.libvmaf import Ffmpeg, find_ffmpeg
from vmaf_train.features import SCORE_MAX, SCORE_MIN, FeatureSet, set_of
from vmaf_train.onnx_file.expected_error import ExpectedError, expected_error_of
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.processes import cores
from vmaf_train.shipping.finding import FOR_SCORE, find_student

SIZE = re.compile(r"Stream #.*Video:.* ([0-9]+x[0-9]+)")


@dataclass(frozen=True, eq=False)
class Scorer:
    """A student that scores videos.

    Attributes:
        student: the ONNX file, loaded.
        features: the feature set that it reads.
        expected: the error that its file states; None if it states none.
    """

    student: OnnxStudent
    features: FeatureSet
    expected: ExpectedError | None


@dataclass(frozen=True, eq=False)
class VideoScore:
    """A student's scores of a video.

    Attributes:
        score_N: frame scores, float64 of shape (frames,), 0 to 100.
        remarks: facts that make the scores doubtful, for the user.
        half_width: half-width of the interval of the mean, in score points; None if the student
            states no error.
        confidence: share of new sources' videos that this interval covers; None without one.
        outside: number of frames outside what the student learnt; None if it does not know them.
    """

    score_N: np.ndarray
    remarks: tuple[str, ...] = ()
    half_width: float | None = None
    confidence: float | None = None
    outside: int | None = None

    @property
    def pooled(self) -> dict[str, float | int | None]:
        """Mean with its interval, harmonic mean, 5th percentile and minimum over the frames.

        The harmonic mean is libvmaf's, of scores plus one. The interval holds the mean of the
        teacher's scores with the stated confidence, if the video is like the sources that the
        student learnt from.
        """
        mean = float(self.score_N.mean())
        low = high = None
        if self.half_width is not None:
            low = max(SCORE_MIN, mean - self.half_width)
            high = min(SCORE_MAX, mean + self.half_width)
        return {
            "frames": len(self.score_N),
            "mean": mean,
            "low": low,
            "high": high,
            "confidence": self.confidence,
            "outside": self.outside,
            "harmonic_mean": float(1 / np.mean(1 / (self.score_N + 1)) - 1),
            "percentile_5": float(np.percentile(self.score_N, 5)),
            "min": float(self.score_N.min()),
        }


def score_files(
    ref: Path, dis: Path, *, model: str, size: str, pix_fmt: str, jobs: int
) -> VideoScore:
    """Score a distorted video against its reference.

    Args:
        ref, dis: paths of the two videos.
        model: id of a shipped student, path of an .onnx file, or models:/ URI.
        size, pix_fmt: `WxH` in pixels and pixel format, for raw files.
        jobs: number of libvmaf's threads; 0 is one per core.

    Raises:
        InputError: the model or a video is not usable, or the two differ in size.
        ExtractionError: ffmpeg failed.
    """
    scorer = load_scorer(model)
    videos = open_video(ref, size, pix_fmt), open_video(dis, size, pix_fmt)
    return score_video(scorer, *videos, find_ffmpeg(), threads=jobs or cores())


def load_scorer(model: str) -> Scorer:
    """Load a student by its name.

    Args:
        model: id of a shipped student, path of an .onnx file, or models:/ URI.

    Raises:
        InputError: there is no such student, it reads no known feature set, or its metadata is
            malformed.
    """
    return scorer_of(find_student(model, FOR_SCORE).student, model)


def scorer_of(student: OnnxStudent, name: str) -> Scorer:
    """Return the Scorer of a student.

    Args:
        student: the ONNX file, loaded.
        name: name of the file, for errors.

    Raises:
        InputError: the student reads no known feature set, or its metadata is malformed.
    """
    features = set_of(student.features)
    if features is None:
        raise InputError(
            f"the model reads {', '.join(student.features)}, which is no known feature set; "
            "train another"
        )
    return Scorer(student, features, expected_error_of(student, name))


def score_video(
    scorer: Scorer, ref: Video, dis: Video, ffmpeg: Ffmpeg, *, threads: int
) -> VideoScore:
    """Score a distorted video against its reference, for every frame that both have.

    Args:
        scorer: the student.
        ref, dis: the two videos.
        ffmpeg: extracts the features.
        threads: number of libvmaf's threads; 0 works in the thread of ffmpeg's filter.

    Raises:
        InputError: the two videos differ in size.
        ExtractionError: ffmpeg failed, or its log is incomplete.
    """
    try:
        x_NF, remarks = ffmpeg.features(ref, dis, scorer.features, threads)
    except ExtractionError as error:
        _check_same_size(ref, dis, ffmpeg, error)
        raise
    score_N = scorer.student.score(x_NF)
    if scorer.expected is None:
        return VideoScore(score_N, tuple(remarks))
    return _with_interval(score_N, x_NF, scorer.expected, remarks)


def _with_interval(
    score_N: np.ndarray, x_NF: np.ndarray, expected: ExpectedError, remarks: Sequence[str]
) -> VideoScore:
    """Return scores with the interval of their mean, and a remark if frames lie outside."""
    distance_N = expected.distance(x_NF)
    limit = expected.familiar.limit
    outside = int((distance_N > limit).sum())
    if outside:
        remarks = [
            *remarks,
            f"{outside} of {len(x_NF)} frames lie outside what the student learnt (distance up to "
            f"{distance_N.max() / limit:.1f} times the limit); the interval is wider",
        ]
    return VideoScore(
        score_N,
        tuple(remarks),
        half_width=expected.half_width(len(x_NF), distance_N),
        confidence=expected.confidence,
        outside=outside,
    )


def _check_same_size(ref: Video, dis: Video, ffmpeg: Ffmpeg, error: ExtractionError) -> None:
    """Raise InputError with the command that scales, if the two videos differ in size."""
    ref_size, dis_size = _size_of(ref, ffmpeg), _size_of(dis, ffmpeg)
    if ref_size and dis_size and ref_size != dis_size:
        scale = f"scale={ref_size.replace('x', ':')}:flags=bicubic"
        raise InputError(
            f"{dis.path} is {dis_size}, its reference {ref.path} {ref_size}; scale it first: "
            f"{ffmpeg.path} -i {dis.path} -vf {scale} -c:v ffv1 {dis.path.stem}_{ref_size}.mkv"
        ) from error


def _size_of(video: Video, ffmpeg: Ffmpeg) -> str:
    """Return the size that ffmpeg prints for a video, or nothing."""
    command = [str(ffmpeg.path), "-nostdin", "-hide_banner", *video.arguments()]
    done = subprocess.run(command, capture_output=True, check=False)
    found = SIZE.search(done.stderr.decode(errors="replace"))
    return found[1] if found else ""
