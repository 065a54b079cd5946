"""What scores frames by their features: a student, or a teacher's own SVR, and how wrong it may be.

Neither torch nor MLflow is imported, so that `score` starts fast.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vmaf_train.commands.video_score import OwnError, Sampling, VideoScore
from vmaf_train.extraction.sampling import Needed, Sample
from vmaf_train.extraction.strata import Strata
from vmaf_train.features import (
    OWN,
    SCORE_MAX,
    SCORE_MIN,
    FeatureSet,
    known_set_of,
)
from vmaf_train.frames.choice import NONE
from vmaf_train.judging.sampled_mean import (
    CONFIDENCE,
    SampledMean,
    estimate_mean,
    frames_needed,
)
from vmaf_train.onnx_file.expected_error import ExpectedError, expected_error_of
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.shipping.finding import FOR_SCORE, find_student
from vmaf_train.teacher.teachers import TEACHERS, Teacher, find_teacher

# The interval of fewer scored frames can be narrow by chance, so `within` does not stop there.
TRUSTED = 12
# Frames per stratum of the first pass that looks for `within`; later passes take its divisors.
FIRST_EVERY = 12


class Model(Protocol):
    """What scores frames by their features: an OnnxStudent, or a teacher's own SVR."""

    @property
    def features(self) -> tuple[str, ...]: ...

    @property
    def window(self) -> int: ...

    @property
    def sha256(self) -> str: ...

    def score(self, x_NF: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class TeacherModel:
    """A teacher in the place of a student: its SVR in NumPy, which gives what libvmaf logs."""

    teacher: Teacher
    window: int = 1

    @property
    def features(self) -> tuple[str, ...]:
        """The features that it reads."""
        return self.teacher.features

    @property
    def sha256(self) -> str:
        """SHA-256 of its name and its file, in hex: two teachers can share a file."""
        return OnnxStudent.hash_of(f"{self.teacher.name} {self.teacher.model.sha256}".encode())

    def score(self, x_NF: np.ndarray) -> np.ndarray:
        """Score raw feature rows."""
        return self.teacher.score(x_NF, self.features)


@dataclass(frozen=True, eq=False)
class Scorer:
    """A student, or a teacher, that scores videos.

    Attributes:
        student: the ONNX file, loaded; or the teacher.
        features: the feature set that it reads.
        expected: the error that its file states; None if it states none.
        score_range: lowest and highest score.
    """

    student: Model
    features: FeatureSet
    expected: ExpectedError | None
    score_range: tuple[float, float] = (SCORE_MIN, SCORE_MAX)

    def own_error(self, x_SF: np.ndarray, n_frames: int) -> OwnError | None:
        """Return the error of the scores that the file states; None if it states none.

        Args:
            x_SF: features of the scored frames, float64 of shape (scored, features).
            n_frames: number of frames that the mean is taken over.
        """
        if isinstance(self.student, TeacherModel):
            return OwnError(half_width=0.0, confidence=CONFIDENCE, outside=0, furthest=0.0)
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
            score_range=self.score_range,
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
            self.score_range,
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


def load_scorer(model: str, teacher: str = NONE) -> Scorer:
    """Load a student by its name, or a teacher.

    Args:
        model: id of a shipped student, path of an .onnx file, or models:/ URI.
        teacher: the teacher that scores in the place of a student, see `find_teacher`; or "none".

    Raises:
        InputError: there is no such student or teacher, the student reads no known feature set, or
            its metadata is malformed.
    """
    if teacher != NONE:
        found = find_teacher(teacher)
        return Scorer(TeacherModel(found), found.sets[OWN], None, found.score_range)
    return scorer_of(find_student(model, FOR_SCORE).student, model)


def scorer_of(student: OnnxStudent, name: str) -> Scorer:
    """Return the Scorer of a student.

    Args:
        student: the ONNX file, loaded.
        name: name of the file, for errors.

    Raises:
        InputError: the student reads no known feature set, or its metadata is malformed.
    """
    return Scorer(
        student,
        known_set_of(student.features, name),
        expected_error_of(student, name),
        _range_of(student),
    )


def _range_of(student: OnnxStudent) -> tuple[float, float]:
    """Return the range of a student's scores, which is its teacher's; 0 to 100 if it names none."""
    named = student.facts.get("teacher")
    return find_teacher(str(named)).score_range if named in TEACHERS else (SCORE_MIN, SCORE_MAX)


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
