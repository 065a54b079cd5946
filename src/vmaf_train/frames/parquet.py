"""A FrameTable as one Parquet file: a corpus that needs neither pixels nor ffmpeg.

One row per frame: source, clip, frame, every feature, and the teacher's score. The file's metadata
says which files and which libvmaf the rows come from, as JSON under the key `vmaf_train`.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from pydantic import Field, ValidationError

from vmaf_train.contracts import Contract
from vmaf_train.errors import InputError
from vmaf_train.extraction.logs import check_possible
from vmaf_train.files import check_regular, whole_file
from vmaf_train.frames.table import FrameTable
from vmaf_train.teacher.teachers import Teacher, find_teacher

METADATA_KEY = b"vmaf_train"
SCORE_COLUMN = "vmaf"
AGAIN = "write it with: vmaf-train export-features OUT.parquet --corpus FOLDER"


class ExportedClip(Contract):
    """One clip: its name, its number of frames, and the identity of its files and its pass.

    `mos` is its opinion score, `psnr` that of its luma in dB; older files lack both.
    """

    source: str
    clip: str
    n_frames: Annotated[int, Field(ge=1)]
    identity: dict[str, Any]
    mos: float | None = None
    psnr: float | None = None


class ExportedFacts(Contract):
    """The metadata of a file."""

    schema_version: Literal[1] = 1
    features: tuple[str, ...]
    teacher: str
    libvmaf_version: str
    digest: str
    clips: tuple[ExportedClip, ...]


@dataclass(frozen=True, eq=False)
class Exported:
    """The frames of an exported file, the libvmaf that computed them, and facts of its clips."""

    table: FrameTable
    libvmaf_version: str
    clips: tuple[ExportedClip, ...]


def write_parquet(
    table: FrameTable, path: Path, libvmaf_version: str, identities: Iterable[dict[str, Any]]
) -> None:
    """Write a table as Parquet.

    Args:
        table: the frames.
        path: path of the file; the write is atomic.
        libvmaf_version: version of the libvmaf that extracted the features.
        identities: identity of each clip, in the table's order.

    Raises:
        InputError: the file cannot be written.
    """
    counts = np.bincount(table.clip_N, minlength=len(table.clips)).tolist()
    clips = [
        ExportedClip(
            source=table.clip_sources[index],
            clip=table.clips[index],
            n_frames=counts[index],
            identity=identity,
            mos=_known(table.mos_C, index),
            psnr=_known(table.psnr_C, index),
        )
        for index, identity in enumerate(identities)
    ]
    facts = ExportedFacts(
        features=table.features,
        teacher=table.teacher.name,
        libvmaf_version=libvmaf_version,
        digest=table.digest,
        clips=tuple(clips),
    )
    rows = _rows_of(table, counts).replace_schema_metadata({METADATA_KEY: facts.model_dump_json()})
    try:
        with whole_file(path) as temporary:
            parquet.write_table(rows, temporary, compression="zstd")
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error}; name a file in a folder that can be written"
        ) from error


def teacher_in(path: Path) -> Teacher:
    """Return the teacher whose scores a file of `write_parquet` holds.

    Raises:
        InputError: there is no such file, or it states none.
    """
    return find_teacher(_facts_of(path).teacher)


def read_parquet(path: Path) -> Exported:
    """Read a file of `write_parquet`, and check the rows against their digest.

    Raises:
        InputError: there is no such file, or its rows are not those that were exported.
    """
    facts = _facts_of(path)
    with _reading(path):
        # Before the rows are read: their number decides how much memory they take.
        rows, stated = parquet.read_metadata(path).num_rows, sum(c.n_frames for c in facts.clips)
        if rows != stated:
            raise InputError(
                f"{path}: its rows are not those that were exported ({rows}, not {stated}); {AGAIN}"
            )
        table = _table_of(path, facts)
        check_possible(
            dict(zip(table.features, table.x_NF.T, strict=True)), {facts.teacher: table.y_N}
        )
    if len(table.y_N) != len(table.clip_N) or table.digest != facts.digest:
        raise InputError(
            f"{path}: its rows are not those that were exported (their digest differs); {AGAIN}"
        )
    return Exported(table, facts.libvmaf_version, facts.clips)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong in reading a file into an InputError."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"no file {path}; {AGAIN}") from error
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        reason = repr(error)
        if isinstance(error, ValidationError):
            reason = error.errors()[0]["msg"]
        elif type(error) is ValueError:  # one of ours; those of pyarrow have several lines
            reason = str(error)
        raise InputError(f"{path} is no file of exported features ({reason}); {AGAIN}") from error


def _facts_of(path: Path) -> ExportedFacts:
    with _reading(path):
        check_regular(path)
        metadata = parquet.read_schema(path).metadata or {}
        return ExportedFacts.model_validate_json(metadata[METADATA_KEY])


def _rows_of(table: FrameTable, counts: list[int]) -> pa.Table:
    columns: dict[str, Any] = {
        name: pa.DictionaryArray.from_arrays(table.clip_N, pa.array(values))
        for name, values in (("source", table.clip_sources), ("clip", table.clips))
    }
    columns["frame"] = np.concatenate([np.arange(n_frames, dtype=np.int32) for n_frames in counts])
    columns |= dict(zip(table.features, table.x_NF.T, strict=True))
    columns[SCORE_COLUMN] = table.y_N
    return pa.table(columns)


def _table_of(path: Path, facts: ExportedFacts) -> FrameTable:
    teacher = find_teacher(facts.teacher)
    rows = parquet.read_table(path, columns=[*facts.features, SCORE_COLUMN])
    counts = [clip.n_frames for clip in facts.clips]
    return FrameTable(
        features=facts.features,
        x_NF=np.stack([rows[name].to_numpy() for name in facts.features], axis=1),
        y_N=rows[SCORE_COLUMN].to_numpy(),
        clip_N=np.repeat(np.arange(len(counts), dtype=np.int32), counts),
        clips=tuple(clip.clip for clip in facts.clips),
        clip_sources=tuple(clip.source for clip in facts.clips),
        teacher=teacher,
        mos_C=_column([clip.mos for clip in facts.clips]),
        psnr_C=_column([clip.psnr for clip in facts.clips]),
    )


def _known(column: np.ndarray | None, index: int) -> float | None:
    """Return a value of a column that may be missing; None for NaN."""
    return None if column is None or np.isnan(column[index]) else float(column[index])


def _column(values: list[float | None]) -> np.ndarray | None:
    """Return values as float64 with NaN for None; None if all are None."""
    if all(value is None for value in values):
        return None
    return np.array([np.nan if value is None else value for value in values])
