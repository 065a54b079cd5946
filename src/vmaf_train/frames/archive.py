"""`held_out.npz`: the frames that a student was judged on, with the student's scores."""

import io
from typing import Any
from zipfile import BadZipFile

import numpy as np

from vmaf_train.errors import InputError
from vmaf_train.frames.table import FrameTable
from vmaf_train.teacher.teachers import Teacher

HELD_OUT = "held_out.npz"
# Columns of a table, in their order in the archive; those that hold names are tuples.
_COLUMNS = ("features", "x_NF", "y_N", "clip_N", "clips", "clip_sources")
# Columns that a table may lack.
_OF_CLIPS = ("mos_C", "psnr_C")
_NAMES = ("features", "clips", "clip_sources")


def pack(table: FrameTable, score_N: np.ndarray) -> bytes:
    """Pack a table and a student's scores into a compressed NumPy archive.

    Args:
        table: the frames.
        score_N: the student's frame scores, float64 of shape (frames,).
    """
    columns: dict[str, Any] = {name: np.asarray(getattr(table, name)) for name in _COLUMNS}
    of_clips = {name: getattr(table, name) for name in _OF_CLIPS}
    columns |= {name: values for name, values in of_clips.items() if values is not None}
    packed = io.BytesIO()
    np.savez_compressed(packed, score_N=score_N, **columns)
    return packed.getvalue()


def unpack(content: bytes, teacher: Teacher) -> tuple[FrameTable, np.ndarray]:
    """Read an archive of `pack`.

    Args:
        content: the bytes of the archive.
        teacher: the teacher whose scores the table holds.

    Returns:
        The frames, and the student's frame scores: float64 of shape (frames,).

    Raises:
        InputError: the content is no such archive.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            columns: dict[str, Any] = {name: arrays[name] for name in arrays.files}
        for name in _NAMES:
            columns[name] = tuple(columns[name].tolist())
        score_N = columns.pop("score_N")
        return FrameTable(**columns, teacher=teacher), score_N
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise InputError(
            f"not an archive of held-out frames: {error!r}; train again to have one logged"
        ) from error
