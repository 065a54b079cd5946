"""`held_out.npz`: the frames that a student was judged on, with the student's scores."""

import io
import zlib
from typing import Any
from zipfile import BadZipFile

import numpy as np

from vmaf_train.errors import InputError
from vmaf_train.extraction.logs import check_possible
from vmaf_train.frames.table import FrameTable
from vmaf_train.teacher.teachers import Teacher

HELD_OUT = "held_out.npz"
# Columns of a table, in their order in the archive; those that hold names are tuples.
_COLUMNS = ("features", "x_NF", "y_N", "clip_N", "clips", "clip_sources")
# Columns that a table may lack.
_OF_CLIPS = ("mos_C", "psnr_C")
_NAMES = ("features", "clips", "clip_sources")
# Errors of content that is no such archive; zipfile raises NotImplementedError for a compression or
# a version that it does not know.
UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    EOFError,
    MemoryError,
    NotImplementedError,
    BadZipFile,
    zlib.error,
)


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
        table = FrameTable(**columns, teacher=teacher)
        _check(table, score_N)
        return table, score_N
    except UNREADABLE as error:
        raise InputError(
            f"not an archive of held-out frames: {error!r}; train again to have one logged"
        ) from error


def _check(table: FrameTable, score_N: np.ndarray) -> None:
    """Check the shapes and values of what an archive holds.

    Raises:
        ValueError: they do not fit together, or libvmaf cannot have given them.
    """
    n_clips, n_frames = len(table.clips), len(table.y_N)
    shapes = {
        "x_NF": (table.x_NF, (n_frames, len(table.features)), "f"),
        "y_N": (table.y_N, (n_frames,), "f"),
        "score_N": (score_N, (n_frames,), "f"),
        "clip_N": (table.clip_N, (n_frames,), "i"),
    }
    for name in _OF_CLIPS:
        if (column := getattr(table, name)) is not None:
            shapes[name] = (column, (n_clips,), "f")
    for name, (values, shape, kind) in shapes.items():
        if values.shape != shape or values.dtype.kind != kind:
            raise ValueError(f"{name} is {values.dtype}{values.shape}, not {shape}")
    in_order = np.all(np.diff(table.clip_N) >= 0)
    if not in_order or table.clip_N[0] < 0 or table.clip_N[-1] >= n_clips:
        raise ValueError("clip_N is not in order")
    if len(table.clip_sources) != n_clips or not np.isfinite(score_N).all():
        raise ValueError("its clips or its scores are damaged")
    columns = dict(zip(table.features, table.x_NF.T, strict=True))
    check_possible(columns, {table.teacher.name: table.y_N})
