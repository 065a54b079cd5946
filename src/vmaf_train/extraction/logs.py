"""Read the output of a libvmaf pass: libvmaf's JSON log, and ffmpeg's report.

The functions are pure. They refuse a log with gaps, nulls or missing frames, since nothing shows
these in the table that is made from it.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vmaf_train.errors import ExtractionError
from vmaf_train.extraction.graphs import score_key
from vmaf_train.features import log_keys
from vmaf_train.teacher.teachers import TEACHERS, Teacher, find_teacher

# No feature of libvmaf that students read is larger: this is the default limit of motion.
HIGHEST_FEATURE = 10_000.0
# The scores of teachers that this version does not know.
ANY_SCORE = (0.0, 110.0)
AGAIN = "run the command again; if it fails again, check the clip and the ffmpeg in VMAF_FFMPEG"
# Key of a frame's PSNR of luma.
PSNR = "psnr_y"
# ffmpeg's summary of an input at the end of its report.
DECODED = re.compile(
    r"Input stream #([0-9]+):[0-9]+ \(video\):.* ([0-9]+) frames decoded"
    r"(?:; ([0-9]+) decode errors)?"
)
# An error that ffmpeg reports but survives, such as damage that a decoder conceals.
DAMAGE = re.compile(r"\[error\] (.*\S)")
# The inputs of a score, in ffmpeg's order.
INPUTS = ("the distorted video", "the reference")


@dataclass(frozen=True, eq=False)
class FrameScores:
    """Features and teacher scores of the frames of one clip.

    Attributes:
        features: names of the columns of `x_NF`: the teachers', with their byproducts.
        x_NF: float64 of shape (frames, features), raw libvmaf values as logged.
        scores: frame scores by name of the teacher, each float64 of shape (frames,).
        offset: by how many frames the clip seems to be off, beyond the offset that was asked for.
        psnr: mean PSNR of luma over the frames, in dB; None if the pass did not compute it.
    """

    features: tuple[str, ...]
    x_NF: np.ndarray
    scores: Mapping[str, np.ndarray]
    offset: int = 0
    psnr: float | None = None

    def __len__(self) -> int:
        return len(self.x_NF)


def check_possible(
    features: Mapping[str, np.ndarray | Sequence[float]],
    scores: Mapping[str, np.ndarray | Sequence[float]],
) -> None:
    """Check that libvmaf can have given some values.

    Args:
        features: values by name of the feature, each of shape (frames,).
        scores: frame scores by name of the teacher, each of shape (frames,).

    Raises:
        ValueError: there is no frame, or a value is NaN or out of range.
    """
    if not all(len(column) for column in (*features.values(), *scores.values())):
        raise ValueError("it holds no frames")
    for name, column in features.items():
        if not 0 <= np.min(column) <= np.max(column) <= HIGHEST_FEATURE:
            raise ValueError(f"its values of {name} are not possible")
    for name, column in scores.items():
        lowest, highest = find_teacher(name).score_range if name in TEACHERS else ANY_SCORE
        if not lowest <= np.min(column) <= np.max(column) <= highest:
            raise ValueError(f"its scores of {name} are not possible")


def parse_log(text: str, clip: str, n_frames: int, teachers: Sequence[Teacher]) -> FrameScores:
    """Read the log of a pass with some teachers; values keep all their decimals.

    A byproduct that an older build does not log gets no column.

    Args:
        text: the log, as written with `log_fmt=json`.
        clip: name of the clip, for errors.
        n_frames: number of frames in the files. The log must hold frames 0 to n_frames - 1, each
            once, in order.
        teachers: the teachers of the pass, in order.

    Raises:
        ExtractionError: not JSON, a frame missing or out of order, a value missing, null or out of
            range.
    """
    metrics = _metrics_of(text, clip)
    if len(metrics) != n_frames:
        raise ExtractionError(
            f"{clip}: libvmaf's log holds {len(metrics)} frames, the files hold {n_frames}; {AGAIN}"
        )
    needed = {name for teacher in teachers for name in teacher.features}
    features = tuple(
        dict.fromkeys(
            name
            for teacher in teachers
            for name in teacher.logged
            if name in needed or set(log_keys(name)) & metrics[0].keys()
        )
    )
    scores = [(score_key(index),) for index in range(len(teachers))]
    table = _table_of(metrics, clip, [*map(log_keys, features), *scores])
    scores_TN = table[:, len(features) :].T
    psnr = None
    if PSNR in metrics[0]:
        psnr = float(_table_of(metrics, clip, [(PSNR,)]).mean())
    by_teacher = {each.name: y_N for each, y_N in zip(teachers, scores_TN, strict=True)}
    try:
        check_possible(dict(zip(features, table.T, strict=False)), by_teacher)
    except ValueError as error:
        raise ExtractionError(f"{clip}: libvmaf's log is damaged: {error}; {AGAIN}") from error
    return FrameScores(features, table[:, : len(features)], by_teacher, psnr=psnr)


def parse_features(text: str, clip: str, features: Sequence[str]) -> np.ndarray:
    """Read some features from a libvmaf JSON log.

    Args:
        text: the log, as written with `log_fmt=json`.
        clip: name of the clip, for errors.
        features: names of the features, in the order of the columns.

    Returns:
        float64 of shape (frames, features).

    Raises:
        ExtractionError: not JSON, no frame, a frame missing or out of order, a value missing, null
            or not finite.
    """
    return _table_of(_metrics_of(text, clip), clip, [log_keys(name) for name in features])


def parse_scores(text: str, clip: str, key: str) -> np.ndarray:
    """Read a model's frame scores from a libvmaf JSON log.

    Args:
        text: the log, as written with `log_fmt=json`.
        clip: name of the clip, for errors.
        key: name of the score in the log.

    Returns:
        float64 of shape (frames,).

    Raises:
        ExtractionError: see `parse_features`.
    """
    return _table_of(_metrics_of(text, clip), clip, [(key,)])[:, 0]


def remarks_of(report: str, *, whole: bool = True) -> list[str]:
    """Return what ffmpeg's report on a score says against it, one line per fact.

    The reports of older builds lack these numbers, so they give no remark.

    Args:
        report: ffmpeg's report on a distorted video and its reference.
        whole: whether all frames of both are scored.
    """
    remarks = []
    found = [
        (INPUTS[int(number)], int(decoded), int(errors or 0))
        for number, decoded, errors in DECODED.findall(report)
    ]
    both = min((decoded for _, decoded, _ in found), default=0)
    for name, decoded, errors in found:
        if whole and decoded > both:
            remarks.append(
                f"{name} is longer than the {both} frames that both have; only these are scored"
            )
        if errors:
            remarks.append(
                f"{name} has {errors} frames that ffmpeg could not decode; "
                "the frames after the first of these may be compared with wrong frames"
            )
    if (damage := DAMAGE.search(report)) and not any(errors for *_, errors in found):
        remarks.append(f"ffmpeg found damage ({damage[1]}); pictures after it may be wrong")
    return remarks


def check_decoded(report: str, paths: Sequence[Path]) -> None:
    """Check that ffmpeg decoded every frame of some inputs.

    Args:
        report: ffmpeg's report; those of older builds lack these numbers, so they pass.
        paths: the file of each input.

    Raises:
        ExtractionError: a file has frames that ffmpeg could not decode, or has concealed.
    """
    for number, _, errors in DECODED.findall(report):
        if int(errors or 0):
            raise ExtractionError(
                f"{paths[int(number)]} has {errors} frames that ffmpeg could not decode, so frames "
                "cannot be paired by number; make the file again, or remove the pair"
            )
    if damage := DAMAGE.search(report):
        files = " or ".join(str(path) for path in paths)
        raise ExtractionError(
            f"{files} is damaged, ffmpeg says: {damage[1]}; make the file again, or remove the pair"
        )


def _metrics_of(text: str, clip: str) -> list[dict[str, object]]:
    """Return the logged values of each frame; check that frames are numbered from 0, in order."""
    try:
        frames = json.loads(text)["frames"]
        metrics = [dict(frame["metrics"]) for frame in frames]
        numbers = [frame["frameNum"] for frame in frames]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ExtractionError(
            f"{clip}: libvmaf's log cannot be read ({error!r}); {AGAIN}"
        ) from error

    for position, number in enumerate(numbers):
        if number != position:
            raise ExtractionError(
                f"{clip}: libvmaf's log has frame {number} where frame {position} belongs; {AGAIN}"
            )
    if not metrics:
        raise ExtractionError(f"{clip}: libvmaf's log holds no frame; {AGAIN}")
    return metrics


def _table_of(
    metrics: Sequence[Mapping[str, object]], clip: str, columns: Sequence[Sequence[str]]
) -> np.ndarray:
    """Return logged values as a table: float64 of shape (frames, columns).

    Args:
        metrics: logged values of each frame, by key.
        clip: name of the clip, for errors.
        columns: the possible keys of each column; the first that is logged is used.
    """
    table = np.empty((len(metrics), len(columns)))
    for frame, logged in enumerate(metrics):
        for column, keys in enumerate(columns):
            value: Any = next((logged[key] for key in keys if key in logged), None)
            # true is no number, and nor is a whole number that float64 cannot hold.
            numeric = isinstance(value, int | float) and not isinstance(value, bool)
            if not numeric or not abs(value) <= sys.float_info.max:
                raise ExtractionError(
                    f"{clip}: frame {frame} has {repr(value)[:40]} for {keys[0]}; {AGAIN}"
                )
            table[frame, column] = value
    return table
