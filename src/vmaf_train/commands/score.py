"""`score`: score a distorted video against its reference, or a libvmaf log, with a student.

Only the features that the student reads are extracted. Neither torch nor MLflow is imported, so
that the command starts fast.
"""

from dataclasses import replace
from pathlib import Path

from vmaf_train.clips.comparable import open_pair, shifted
from vmaf_train.clips.looking import Looks
from vmaf_train.clips.manifest import PairRow
from vmaf_train.clips.pairs import AUTO_OFFSET
from vmaf_train.clips.video import Video
from vmaf_train.commands.scorer import Scorer, TeacherModel
from vmaf_train.commands.video_score import ALL_FRAMES, Sampling, VideoScore
from vmaf_train.errors import InputError
from vmaf_train.extraction.libvmaf import Ffmpeg, find_ffmpeg
from vmaf_train.extraction.log_files import how_to_log, read_log
from vmaf_train.extraction.sampling import sample_frames
from vmaf_train.features import (
    MOTION_FEATURE,
)
from vmaf_train.judging.sampled_mean import (
    FEWEST,
)
from vmaf_train.processes import cores

# What is said of a log that lacks a teacher's features.
NOT_REPLACED = (
    "; other features do not replace them, see docs/score.md, but a log can be scored by each "
    "teacher whose features it holds"
)


def score_pair(
    pair: PairRow, *, scorer: Scorer, jobs: int, sampling: Sampling = ALL_FRAMES
) -> VideoScore:
    """Score a distorted video against its reference.

    Args:
        pair: the two videos, and how they are compared.
        scorer: the student or teacher.
        jobs: number of libvmaf's threads; 0 is one per core.
        sampling: which frames to score.

    Raises:
        InputError: a video is not usable, the two differ in size, pixel format or range, or the
            frames are fewer than one in `every`.
        ExtractionError: ffmpeg failed.
    """
    return score_row(scorer, pair, find_ffmpeg(), threads=jobs or cores(), sampling=sampling)


def score_row(
    scorer: Scorer, pair: PairRow, ffmpeg: Ffmpeg, *, threads: int, sampling: Sampling = ALL_FRAMES
) -> VideoScore:
    """Score a pair with a loaded student; see `score_pair` and `score_video`."""
    ref, dis, doubts = open_pair(pair, Looks(ffmpeg.path), scorer.features.features)
    offset = pair.offset or 0
    if offset == AUTO_OFFSET:
        offset = ffmpeg.find_offset(ref, dis)
    if offset:
        doubts.append(f"frame i of {pair.dis} is compared with frame i + {offset} of {pair.ref}")
    ref, dis = shifted(ref, dis, offset, pair.frames)
    scored = score_video(scorer, ref, dis, ffmpeg, threads=threads, sampling=sampling)
    return replace(scored, remarks=(*doubts, *scored.remarks))


def score_log(path: Path, *, scorer: Scorer) -> VideoScore:
    """Score the frames of a libvmaf log in JSON, XML or CSV, without any pixel.

    Args:
        path: path of the log.
        scorer: the student or teacher.

    Raises:
        InputError: the log is not usable, it lacks a feature that the student reads, or it lacks
            frames and the student reads neighbouring ones.
    """
    log, wanted = read_log(path), scorer.student.features
    if missing := log.missing(wanted):
        by_teacher = isinstance(scorer.student, TeacherModel)
        others = NOT_REPLACED if by_teacher else ", or choose another --model"
        raise InputError(
            f"{path} holds no {', '.join(missing)}; log these features with "
            f"{how_to_log(scorer.features)}{others}"
        )
    if log.step > 1 and scorer.student.window > 1:
        raise InputError(
            f"{path} holds only one frame in {log.step}, and the model reads "
            f"{scorer.student.window} frames in a row; write the log without n_subsample, or "
            "choose another --model"
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
