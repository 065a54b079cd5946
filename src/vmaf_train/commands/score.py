"""`score`: score a distorted video against its reference, or a libvmaf log, with a student.

Only the features that the student reads are extracted. Neither torch nor MLflow is imported, so
that the command starts fast.
"""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vmaf_train.clips.video import Video, open_video
from vmaf_train.errors import ExtractionError, InputError
from vmaf_train.extraction.libvmaf import Ffmpeg, find_ffmpeg
from vmaf_train.extraction.log_files import how_to_log, read_log
from vmaf_train.features import SCORE_MAX, SCORE_MIN, FeatureSet, set_of
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.processes import cores
from vmaf_train.shipping.finding import FOR_SCORE, find_student

# 95 % of a normal distribution lie within this many standard deviations of the mean.
CONFIDENCE = 1.96
SIZE = re.compile(r"Stream #.*Video:.* ([0-9]+x[0-9]+)")


@dataclass(frozen=True, eq=False)
class Scorer:
    """A student that scores videos.

    Attributes:
        student: the ONNX file, loaded.
        features: the feature set that it reads.
        rmse: RMSE on its held-out source, from the sidecar of the file; None without a sidecar.
    """

    student: OnnxStudent
    features: FeatureSet
    rmse: float | None


@dataclass(frozen=True, eq=False)
class VideoScore:
    """A student's scores of a video.

    Attributes:
        score_N: frame scores, float64 of shape (frames,), 0 to 100.
        rmse: RMSE of the student on its held-out source, as in `Scorer`.
        remarks: facts that make the scores doubtful, for the user.
        step: distance between the scored frames; above 1 if a log holds every n-th.
    """

    score_N: np.ndarray
    rmse: float | None
    remarks: tuple[str, ...] = ()
    step: int = 1

    @property
    def pooled(self) -> dict[str, float | int | None]:
        """Mean with its interval, harmonic mean, 5th percentile and minimum over the frames.

        The harmonic mean is libvmaf's, of scores plus one. The interval is the mean plus and minus
        1.96 times the student's RMSE on its held-out source. It holds only for content like that
        source.
        """
        mean = float(self.score_N.mean())
        low = high = None
        if self.rmse is not None:
            reach = CONFIDENCE * self.rmse
            low, high = max(SCORE_MIN, mean - reach), min(SCORE_MAX, mean + reach)
        return {
            "frames": len(self.score_N),
            "mean": mean,
            "low": low,
            "high": high,
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


def score_log(path: Path, *, model: str) -> VideoScore:
    """Score the frames of a libvmaf log in JSON, XML or CSV, without any pixel.

    Args:
        path: path of the log.
        model: id of a shipped student, path of an .onnx file, or models:/ URI.

    Raises:
        InputError: the model or the log is not usable, the log lacks a feature that the student
            reads, or it lacks frames and the student reads neighbouring ones.
    """
    scorer = load_scorer(model)
    log, wanted = read_log(path), scorer.student.features
    if missing := log.missing(wanted):
        raise InputError(
            f"{path} holds no {', '.join(missing)}; log these features with "
            f"{how_to_log(scorer.features)}, or choose another --model"
        )
    if log.step > 1 and scorer.student.window > 1:
        raise InputError(
            f"{path} holds only one frame in {log.step}, and {model} reads {scorer.student.window} "
            "frames in a row; write the log without n_subsample, or choose another --model"
        )
    x_NF = log.features(wanted)
    remarks = []
    if log.step > 1:
        remarks.append(
            f"the log holds only {len(log)} frames, one in {log.step}; "
            "the mean and the other scores are of these frames"
        )
    if "aim" in wanted and not x_NF[:, wanted.index("aim")].any():
        remarks.append(
            "aim is 0 in every frame of the log; if it was written with adm_skip_aim=true, "
            "the scores are wrong"
        )
    return VideoScore(scorer.student.score(x_NF), scorer.rmse, tuple(remarks), log.step)


def load_scorer(model: str) -> Scorer:
    """Load a student by its name.

    Args:
        model: id of a shipped student, path of an .onnx file, or models:/ URI.

    Raises:
        InputError: there is no such student, it reads no known feature set, or its sidecar is
            damaged.
    """
    found = find_student(model, FOR_SCORE)
    return scorer_of(found.student, found.path.with_suffix(".json") if found.path else None)


def scorer_of(student: OnnxStudent, sidecar: Path | None = None) -> Scorer:
    """Return the Scorer of a student.

    Args:
        student: the ONNX file, loaded.
        sidecar: path of the sidecar, which states the RMSE; ignored if there is no such file, or
            if it belongs to another student.

    Raises:
        InputError: the student reads no known feature set, or the sidecar is damaged.
    """
    features = set_of(student.features)
    if features is None:
        raise InputError(
            f"the model reads {', '.join(student.features)}, which is no known feature set; "
            "train another"
        )
    return Scorer(student, features, _stated_rmse(student, sidecar) if sidecar else None)


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
    return VideoScore(scorer.student.score(x_NF), scorer.rmse, tuple(remarks))


def _stated_rmse(student: OnnxStudent, sidecar: Path) -> float | None:
    """Return the RMSE in a sidecar; None if there is no sidecar, or if it is of another file."""
    if not sidecar.is_file():
        return None
    try:
        stated = json.loads(sidecar.read_text())
        if stated["sha256"] != student.sha256:
            return None
        return float(stated["metrics"]["rmse"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{sidecar} is no sidecar of vmaf-train ({error!r}); run: vmaf-train sync"
        ) from error


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
