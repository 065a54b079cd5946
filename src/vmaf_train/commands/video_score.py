"""What `score` is asked for and what it gives: which frames to score, and the scores of a video."""

import math
from dataclasses import dataclass

import numpy as np

from vmaf_train.errors import InputError
from vmaf_train.features import SCORE_MAX, SCORE_MIN
from vmaf_train.judging.sampled_mean import CONFIDENCE, SampledMean


@dataclass(frozen=True)
class Sampling:
    """Which frames to score.

    Attributes:
        every: frames per scored frame; 1 scores every frame.
        within: half-width to reach of the interval of the mean, in score points; None scores one
            frame in `every`.
        seed: decides which frames; 0 or more.

    Raises:
        InputError: `every` is below 1, `within` is not above 0, or both are given.
    """

    every: int = 1
    within: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.every < 1:
            raise InputError(f"every {self.every} is below 1; every 5 scores one frame in five")
        if self.within is None:
            return
        if not 0 < self.within < math.inf:
            raise InputError(
                f"within {self.within:g} is no half-width; pass score points above 0, such as 0.5"
            )
        if self.every > 1:
            raise InputError("every and within both say how many frames to score; pass one of them")

    @property
    def all_frames(self) -> bool:
        """Whether every frame is scored."""
        return self.every == 1 and self.within is None


ALL_FRAMES = Sampling()


@dataclass(frozen=True)
class OwnError:
    """The error of a student's scores, as its file states it.

    Attributes:
        half_width: half-width of the interval of the mean, in score points.
        confidence: share of new sources' videos that this interval covers.
        outside: number of the scored frames that lie outside what the student learnt.
        furthest: greatest distance of a scored frame from what the student learnt; the limit is 1.
    """

    half_width: float
    confidence: float
    outside: int
    furthest: float


@dataclass(frozen=True, eq=False)
class VideoScore:
    """A student's scores of a video.

    Attributes:
        score_S: scores of the scored frames, float64 of shape (scored,).
        frame_S: numbers of these frames, int64 of shape (scored,), ascending.
        n_frames: frames of the video.
        estimate: of the mean of all frames, without the student's own error.
        own_error: the error that the student states; None if it states none.
        seed: seed of the choice of frames; None if every frame was to be scored.
        remarks: facts that make the scores doubtful, for the user.
        score_range: lowest and highest score.
    """

    score_S: np.ndarray
    frame_S: np.ndarray
    n_frames: int
    estimate: SampledMean
    own_error: OwnError | None
    seed: int | None = None
    remarks: tuple[str, ...] = ()
    score_range: tuple[float, float] = (SCORE_MIN, SCORE_MAX)

    @property
    def half_width(self) -> float | None:
        """Half-width of the interval of the mean, in score points; None if nothing is stated.

        The errors of student and sample are independent, so their squares add up.
        """
        if self.own_error is None:
            return None
        return math.hypot(self.own_error.half_width, self.estimate.half_width)

    @property
    def confidence(self) -> float | None:
        """Share of videos whose interval holds the teacher's mean; None without an interval."""
        return min(self.own_error.confidence, CONFIDENCE) if self.own_error else None

    @property
    def pooled(self) -> dict[str, float | int | None]:
        """Mean with its interval, harmonic mean, 5th percentile and minimum over the frames.

        The harmonic mean is libvmaf's, of scores plus one. Of a sample, all but the mean are those
        of the scored frames, and named so.
        """
        mean, half_width = self.estimate.mean, self.half_width
        low = high = None
        if half_width is not None:
            lowest, highest = self.score_range
            low, high = max(lowest, mean - half_width), min(highest, mean + half_width)
        sampled = self.seed is not None
        counts = (self.n_frames, len(self.score_S), self.seed) if sampled else (self.n_frames,)
        harmonic_mean = float(1 / np.mean(1 / (self.score_S + 1)) - 1)
        percentile_5 = float(np.percentile(self.score_S, 5))
        outside = self.own_error.outside if self.own_error else None
        doubt = (self.confidence, outside)
        values = (
            *counts,
            mean,
            low,
            high,
            *doubt,
            harmonic_mean,
            percentile_5,
            float(self.score_S.min()),
        )
        return dict(zip(pooled_columns(sampled=sampled), values, strict=True))


def pooled_columns(*, sampled: bool) -> tuple[str, ...]:
    """Return the names of the pooled scores, of a sample or of every frame."""
    counts = ("frames", "scored", "seed") if sampled else ("frames",)
    prefix = "sample_" if sampled else ""
    of_frames = (f"{prefix}{name}" for name in ("harmonic_mean", "percentile_5", "min"))
    return (*counts, "mean", "low", "high", "confidence", "outside", *of_frames)
