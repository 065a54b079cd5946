"""Sample a video: features of some frames, and cheap signals of every frame.

One ffmpeg process decodes both videos once and has three branches: motion of every frame, PSNR of a
thin picture of every frame, and a feature set of the chosen frames. VIF and ADM of a frame need no
other frame; motion does. Which signals, and why: docs/decisions/0010-sampling.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vmaf_train.clips.video import Video
from vmaf_train.errors import ExtractionError
from vmaf_train.extraction.graphs import Branch, extracting
from vmaf_train.extraction.libvmaf import Ffmpeg
from vmaf_train.extraction.logs import parse_features
from vmaf_train.extraction.strata import Strata
from vmaf_train.features import MOTION_EXTRACTOR, MOTION_FEATURE, FeatureSet, extraction_of

MOTION = Branch(extracting(extraction_of({MOTION_EXTRACTOR: {}})))
# Every eighth line (`field` takes every second one, without a copy), and an eighth of the width but
# at least 16 pixels: a blurred picture, whose PSNR says more of VMAF than that of the whole one.
THIN = Branch(
    extracting(extraction_of({"psnr": {}})),
    filters=r"field,field,field,scale=trunc(max(iw/8\,16)/2)*2:ih:flags=bilinear,format=gray",
)
THIN_SIGNALS = ("psnr_y",)
# PSNR of nearly equal pictures jumps up to a limit that depends on the build, in decibels.
HIGHEST_PSNR = 60.0
# A pass scores at most this many times the frames before it, since few frames overrate the need.
MOST_GROWTH = 3


@dataclass(frozen=True, eq=False)
class Sample:
    """The sampled frames of a video, and signals of every frame.

    Attributes:
        frame_S: numbers of the sampled frames, int64 of shape (sampled,), ascending.
        x_SF: features of these frames, float64 of shape (sampled, features).
        signals_NK: signals of every frame, float64 of shape (frames, signals).
    """

    frame_S: np.ndarray
    x_SF: np.ndarray
    signals_NK: np.ndarray

    @property
    def n_frames(self) -> int:
        """Frames of the video."""
        return len(self.signals_NK)

    def extended(self, frame_A: np.ndarray, x_AF: np.ndarray) -> "Sample":
        """Return the sample with more frames: int64 of shape (added,), and their features."""
        frame_S = np.concatenate([self.frame_S, frame_A])
        order = frame_S.argsort()
        x_SF = np.concatenate([self.x_SF, x_AF])
        return Sample(frame_S[order], x_SF[order], self.signals_NK)


# Tells how many frames a video needs, as far as a sample tells.
Needed = Callable[[Sample], int]
# Returns the features of the frames that the last level of some strata adds.
Extract = Callable[[Strata], np.ndarray]


def sample_frames(
    ref: Video,
    dis: Video,
    features: FeatureSet,
    ffmpeg: Ffmpeg,
    strata: Strata,
    threads: int,
    needed: Needed,
) -> tuple[Sample, list[str]]:
    """Extract the features of some frames of two videos, and signals of every frame.

    Args:
        ref, dis: the two videos; frames are paired by number.
        features: the feature set of the frames.
        ffmpeg: extracts the features.
        strata: which frames.
        threads: number of libvmaf's threads per branch; 0 works in the thread of the filter.
        needed: see `grow`.

    Returns:
        The sample; and remarks for the user: one video is longer, or has frames that ffmpeg could
        not decode.

    Raises:
        ExtractionError: ffmpeg failed, or a log is incomplete.
    """
    clip = dis.path.name
    (motion_log, thin_log, first_log), remarks = ffmpeg.branches(
        ref, dis, [MOTION, THIN, _chosen(features, strata)], threads
    )
    motion_N = parse_features(motion_log, clip, [MOTION_FEATURE])[:, 0]
    psnr_N = parse_features(thin_log, clip, THIN_SIGNALS)[:, 0]

    def extract(strata: Strata) -> np.ndarray:
        log = first_log
        if len(strata.levels) > 1:
            (log,), _ = ffmpeg.branches(ref, dis, [_chosen(features, strata)], threads)
        return _features_of(log, clip, features, motion_N[strata.added(len(motion_N))])

    sample = grow(signals_of(motion_N, psnr_N), strata, needed, extract)
    return sample, remarks


def signals_of(motion_N: np.ndarray, psnr_N: np.ndarray) -> np.ndarray:
    """Return the signals of every frame, float64 of shape (frames, 2).

    Args:
        motion_N: motion of every frame, float64 of shape (frames,).
        psnr_N: PSNR of the thin picture of every frame in decibels, float64 of shape (frames,).
    """
    return np.column_stack([motion_N, np.minimum(psnr_N, HIGHEST_PSNR)])


def grow(signals_NK: np.ndarray, strata: Strata, needed: Needed, extract: Extract) -> Sample:
    """Sample the frames that strata choose; refine the strata while more frames are needed.

    Args:
        signals_NK: signals of every frame, float64 of shape (frames, signals).
        strata: the first choice.
        needed: how many frames the video needs, as far as a sample tells.
        extract: returns the features of the frames that the last level of some strata adds.
    """
    n_frames = len(signals_NK)
    x_SF = extract(strata)
    sample = Sample(strata.added(n_frames), x_SF, signals_NK)
    while strata.every > 1 and (need := needed(sample)) > len(sample.frame_S):
        strata = strata.refined(_next_every(strata.every, sample, need))
        sample = sample.extended(strata.added(n_frames), extract(strata))
    return sample


def _chosen(features: FeatureSet, strata: Strata) -> Branch:
    """Return the branch of the frames that the last level of some strata adds."""
    return Branch(extracting(features.still), strata.select, chooses=True)


def _features_of(log: str, clip: str, features: FeatureSet, motion_S: np.ndarray) -> np.ndarray:
    """Return the features of chosen frames, float64 of shape (chosen, features).

    Args:
        log: of the chosen frames; empty if there are none.
        clip: name of the clip, for errors.
        features: the feature set.
        motion_S: their motion, from a pass over every frame: it depends on neighbouring frames.

    Raises:
        ExtractionError: the log does not hold the chosen frames.
    """
    still = [name for name in features.features if name != MOTION_FEATURE]
    still_SF = parse_features(log, clip, still) if log else np.empty((0, len(still)))
    if len(still_SF) != len(motion_S):
        raise ExtractionError(
            f"{clip}: libvmaf's log holds {len(still_SF)} of {len(motion_S)} chosen frames; "
            "run the command again without every and within"
        )
    columns = {**dict(zip(still, still_SF.T, strict=True)), MOTION_FEATURE: motion_S}
    return np.column_stack([columns[name] for name in features.features])


def _next_every(every: int, sample: Sample, need: int) -> int:
    """Return the frames per stratum of the next pass: a divisor of `every`, less than it."""
    need = min(need, MOST_GROWTH * len(sample.frame_S))
    finer = [each for each in range(1, every) if every % each == 0]
    enough = [each for each in finer if sample.n_frames >= need * each]
    return enough[-1] if enough else 1
