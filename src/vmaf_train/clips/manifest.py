"""Lists that users write as CSV.

A list of pairs has the columns ref, dis and, if needed, further ones (`PairRow`). A list of logs
names the source of each: the columns log, source.
"""

import csv
import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from vmaf_train.clips.netflix import SOURCE
from vmaf_train.clips.pairs import Offset, parse_frames, parse_offset
from vmaf_train.clips.video import RAW_SUFFIX, check_scale
from vmaf_train.errors import InputError
from vmaf_train.files import read_whole

SOURCE_HINT = "use letters, digits, - and _, first a letter or digit"
PATHS = ("ref", "dis")
LOG_COLUMNS = ("log", "source")
# Names of the column that holds opinion scores.
SCORES = ("mos", "dmos")
Value = TypeVar("Value")


@dataclass(frozen=True)
class PairRow:
    """One pair of a list.

    Attributes:
        ref, dis: paths of the two videos.
        size, pix_fmt: `WxH` in pixels and pixel format, for raw files.
        source: name of the content; empty names it after the reference.
        mos: opinion score, higher for better quality; None if there is none.
        frames: the first frame of dis to use and the one to stop before; None is what the user
            asks for all pairs.
        scale: one of SCALES; empty is what the user asks for all pairs.
        offset: see `Offset`; None is what the user asks for all pairs.
    """

    ref: Path
    dis: Path
    size: str
    pix_fmt: str
    source: str = ""
    mos: float | None = None
    frames: tuple[int, int] | None = None
    scale: str = ""
    offset: Offset | None = None

    @property
    def stated(self) -> tuple[str, str]:
        """Size and pixel format if the distorted file is raw; other files state their own."""
        return (self.size, self.pix_fmt) if self.dis.suffix == RAW_SUFFIX else ("", "")


def read_pairs(path: Path, size: str, pix_fmt: str) -> list[PairRow]:
    """Read a list of pairs.

    Args:
        path: path of the CSV file; paths in it are relative to its folder.
        size, pix_fmt: for raw files whose row does not state them.

    Raises:
        InputError: the file cannot be read, lacks a column, has no row, a row lacks a path, or a
            value is malformed.
    """
    rows = rows_of(path, PATHS)
    if set(SCORES) <= rows[0].keys():
        raise InputError(f"{path} has a column mos and a column dmos; keep one of the two")
    return [_pair_row(path, number, row, size, pix_fmt) for number, row in enumerate(rows, 1)]


def _pair_row(path: Path, number: int, row: Mapping[str, str], size: str, pix_fmt: str) -> PairRow:
    def read(column: str, parse: Callable[[str], Value]) -> Value | None:
        """Return the value of a column that may be missing or empty."""
        text = (row.get(column) or "").strip()
        try:
            return parse(text) if text else None
        except InputError as error:
            raise InputError(f"{path}: row {number}: {error}") from error
        except ValueError as error:
            raise InputError(
                f"{path}: row {number} has {text!r} in column {column}; correct it or leave it out"
            ) from error

    return PairRow(
        ref=path.parent / row["ref"],
        dis=path.parent / row["dis"],
        size=row.get("size") or size,
        pix_fmt=row.get("pix_fmt") or pix_fmt,
        source=read("source", _source) or "",
        mos=next((read(name, _score) for name in SCORES if row.get(name)), None),
        frames=read("frames", parse_frames),
        scale=read("scale", check_scale) or "",
        offset=read("offset", parse_offset),
    )


def _source(text: str) -> str:
    if not SOURCE.fullmatch(text):
        raise InputError(f"{text!r} is no name of a source; {SOURCE_HINT}")
    return text


def _score(text: str) -> float:
    score = float(text)
    if not math.isfinite(score):
        raise ValueError(text)
    return score


def read_log_sources(path: Path) -> dict[Path, str]:
    """Read the source of each log of a list, by its path; paths are relative to the list's folder.

    Raises:
        InputError: the file cannot be read, lacks a column, has no row, a row lacks a value, a
            source is no name, or a log lies outside the folder.
    """
    rows = rows_of(path, LOG_COLUMNS)
    for row in rows:
        if not SOURCE.fullmatch(row["source"]):
            raise InputError(f"{path}: {row['source']!r} is no name of a source; {SOURCE_HINT}")
        log = Path(row["log"])
        if log.is_absolute() or ".." in log.parts:
            raise InputError(
                f"{path}: {row['log']} is no path below the folder; copy the log into it"
            )
    return {path.parent / row["log"]: row["source"] for row in rows}


def rows_of(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Return the rows of a CSV file, after a check that each has a value in these columns.

    Raises:
        InputError: the file cannot be read, lacks a column, has no row, or a row lacks a value.
    """
    try:
        # utf-8-sig: spreadsheets write a byte-order mark first.
        text = read_whole(path).decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the list {path}: {error}") from error

    if not rows or not set(columns) <= rows[0].keys():
        raise InputError(
            f"{path} has no row with the columns {' and '.join(columns)}; "
            "its first line must name them"
        )
    for number, row in enumerate(rows, 1):
        if not all(row[name] for name in columns):
            raise InputError(
                f"{path}: row {number} of {len(rows)} lacks {' or '.join(columns)}; "
                "give it both or remove it"
            )
    return rows
