"""`score`: score a distorted video against its reference, or a libvmaf log, with a student.

Only the features that the student reads are extracted. Neither torch nor MLflow is imported, so
that the command starts fast.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vmaf_train.clips.comparable import open_pair, shifted
from vmaf_train.clips.looking import Looks
from vmaf_train.clips.manifest import PairRow
from vmaf_train.clips.pairs import AUTO_OFFSET
from vmaf_train.clips.video import Video
from vmaf_train.commands.video_score import ALL_FRAMES, OwnError, Sampling, VideoScore
from vmaf_train.errors import InputError
from vmaf_train.extraction.libvmaf import Ffmpeg, find_ffmpeg
from vmaf_train.extraction.log_files import how_to_log, read_log
from vmaf_train.extraction.sampling import Needed, Sample, sample_frames
from vmaf_train.extraction.strata import Strata
from vmaf_train.features import MOTION_FEATURE, FeatureSet, known_set_of
from vmaf_train.judging.sampled_mean import FEWEST, SampledMean, estimate_mean, frames_needed
from vmaf_train.onnx_file.expected_error import ExpectedError, expected_error_of
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.processes import cores
from vmaf_train.shipping.finding import FOR_SCORE, find_student

# The interval of fewer scored frames can be narrow by chance, so `within` does not stop there.
TRUSTED = 12
# Frames per stratum of the first pass that looks for `within`; later passes take its divisors.
FIRST_EVERY = 12


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

    def own_error(self, x_SF: np.ndarray, n_frames: int) -> OwnError | None:
        """Return the error of the scores that the file states; None if it states none.

        Args:
            x_SF: features of the scored frames, float64 of shape (scored, features).
            n_frames: number of frames that the mean is taken over.
        """
        if self.expected is None:
            return None
        distance_S = self.expected.distance(x_SF)
        furthest = distance_S.max(initial=0.0) / self.expected.familiar.limit
        return OwnError(
            half_width=self.expected.half_width(n_frames, distance_S),
            confidence=self.expected.confidence,
            outside=int(self.expected.outside(distance_S).sum()),
            furthest=float(furthest),
        )

    def score_frames(self, x_NF: np.ndarray, remarks: Sequence[str], step: int = 1) -> VideoScore:
        """Return the scores of frames that are all scored.

        Args:
            x_NF: their features, float64 of shape (frames, features).
            remarks: facts from the extraction, for the user.
            step: distance between the frames; above 1 if a log holds every n-th.
        """
        score_N = self.student.score(x_NF)
        own_error = self.own_error(x_NF, len(x_NF))
        return VideoScore(
            score_N,
            np.arange(len(x_NF)) * step,
            len(x_NF),
            SampledMean(float(score_N.mean()), half_width=0.0, deviation=0.0),
            own_error,
            remarks=(*remarks, *self._strange(own_error, len(x_NF))),
        )

    def score_sample(
        self, sample: Sample, sampling: Sampling, remarks: Sequence[str] = ()
    ) -> VideoScore:
        """Return the scores of a sampled video.

        Args:
            sample: the frames that were chosen.
            sampling: how they were chosen.
            remarks: facts from the extraction, for the user.
        """
        score_S = self.student.score(sample.x_SF)
        own_error = self.own_error(sample.x_SF, sample.n_frames)
        return VideoScore(
            score_S,
            sample.frame_S,
            sample.n_frames,
            estimate_mean(score_S, sample.frame_S, sample.signals_NK),
            own_error,
            sampling.seed,
            (
                *remarks,
                *self._strange(own_error, len(sample.x_SF)),
                *_doubts(own_error, sampling.within),
            ),
        )

    def _strange(self, own_error: OwnError | None, scored: int) -> Iterator[str]:
        """Yield a remark if frames lie outside what the student learnt."""
        if own_error and own_error.outside:
            yield (
                f"{own_error.outside} of {scored} scored frames lie outside what the student "
                f"learnt (distance up to {own_error.furthest:.1f} times the limit); "
                "the interval is wider"
            )

    def first_strata(self, sampling: Sampling) -> Strata:
        """Return the strata of the first pass; every frame if no number of them gives `within`."""
        every = FIRST_EVERY if sampling.within else sampling.every
        if sampling.within and self.expected:
            narrowest = self.expected.interval.half_widths[-1].half_width
            every = 1 if narrowest >= sampling.within else every
        return Strata((every,), sampling.seed)

    def needed(self, sampling: Sampling) -> Needed:
        """Return a function that says how many frames it takes to reach `within`."""

        def needed(sample: Sample) -> int:
            if sampling.within is None:
                return 0
            if not len(sample.frame_S):
                return sample.n_frames
            scored = self.score_sample(sample, sampling)
            own = scored.own_error.half_width if scored.own_error else 0.0
            # What the student's own error leaves to the sample: see VideoScore.half_width.
            left = math.sqrt(max(0.0, sampling.within**2 - own**2))
            estimate = scored.estimate
            if estimate.half_width <= left:
                return min(TRUSTED, sample.n_frames)
            return frames_needed(estimate, sample.n_frames, left)

        return needed


def score_pair(
    pair: PairRow, *, model: str, jobs: int, sampling: Sampling = ALL_FRAMES
) -> VideoScore:
    """Score a distorted video against its reference.

    Args:
        pair: the two videos, and how they are compared.
        model: id of a shipped student, path of an .onnx file, or models:/ URI.
        jobs: number of libvmaf's threads; 0 is one per core.
        sampling: which frames to score.

    Raises:
        InputError: the model or a video is not usable, the two differ in size, pixel format or
            range, or the frames are fewer than one in `every`.
        ExtractionError: ffmpeg failed.
    """
    scorer = load_scorer(model)
    return score_row(scorer, pair, find_ffmpeg(), threads=jobs or cores(), sampling=sampling)


def score_row(
    scorer: Scorer, pair: PairRow, ffmpeg: Ffmpeg, *, threads: int, sampling: Sampling = ALL_FRAMES
) -> VideoScore:
    """Score a pair with a loaded student; see `score_pair` and `score_video`."""
    ref, dis, doubts = open_pair(pair, Looks(ffmpeg.path))
    offset = pair.offset or 0
    if offset == AUTO_OFFSET:
        offset = ffmpeg.find_offset(ref, dis)
    if offset:
        doubts.append(f"frame i of {pair.dis} is compared with frame i + {offset} of {pair.ref}")
    ref, dis = shifted(ref, dis, offset, pair.frames)
    scored = score_video(scorer, ref, dis, ffmpeg, threads=threads, sampling=sampling)
    return replace(scored, remarks=(*doubts, *scored.remarks))


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
    return scorer.score_frames(x_NF, remarks, step=log.step)


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
    return Scorer(student, known_set_of(student.features, name), expected_error_of(student, name))


def score_video(
    scorer: Scorer,
    ref: Video,
    dis: Video,
    ffmpeg: Ffmpeg,
    *,
    threads: int,
    sampling: Sampling = ALL_FRAMES,
) -> VideoScore:
    """Score a distorted video against its reference, for the frames that both have.

    Args:
        scorer: the student.
        ref, dis: the two videos.
        ffmpeg: extracts the features.
        threads: number of libvmaf's threads; 0 works in the thread of ffmpeg's filter.
        sampling: which frames to score.

    Raises:
        InputError: the student cannot score single frames, or the frames are fewer than one in
            `every`.
        ExtractionError: ffmpeg failed, or its log is incomplete.
    """
    if sampling.all_frames:
        return _score_all(scorer, ref, dis, ffmpeg, threads)
    return _score_some(scorer, ref, dis, ffmpeg, threads, sampling)


def _score_all(scorer: Scorer, ref: Video, dis: Video, ffmpeg: Ffmpeg, threads: int) -> VideoScore:
    x_NF, remarks = ffmpeg.features(ref, dis, scorer.features, threads)
    return scorer.score_frames(x_NF, remarks)


def _score_some(
    scorer: Scorer, ref: Video, dis: Video, ffmpeg: Ffmpeg, threads: int, sampling: Sampling
) -> VideoScore:
    if scorer.student.window > 1:
        raise InputError(
            f"this student reads {scorer.student.window} frames for one score, so no frame can be "
            "left out; leave out every and within, or take another student"
        )
    if MOTION_FEATURE not in scorer.features.features:
        raise InputError(
            f"every and within need students that read {MOTION_FEATURE}, which this one does not; "
            "leave them out"
        )
    first, needed = scorer.first_strata(sampling), scorer.needed(sampling)
    sample, remarks = sample_frames(ref, dis, scorer.features, ffmpeg, first, threads, needed)
    if sample.n_frames < sampling.every:
        raise InputError(
            f"{dis.path} has {sample.n_frames} frame(s), which every {sampling.every} may leave "
            f"out; pass every {max(1, sample.n_frames // FEWEST)}"
        )
    return scorer.score_sample(sample, sampling, remarks)


def _doubts(own_error: OwnError | None, within: float | None) -> Iterator[str]:
    """Yield what the interval of a sample does not hold."""
    if own_error is None:
        yield "the model states no error of its own, so there is no interval"
    elif within is not None and own_error.half_width >= within:
        yield (
            f"the model's own error can be {own_error.half_width:.2g}, so no number of frames "
            f"gives within {within:g}; every frame was scored. Take a more exact model, such as "
            "vmaf_tiny_exact"
        )
