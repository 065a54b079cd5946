"""Lists that users write as CSV.

A manifest lists pairs: the columns ref, dis and, for raw files, size, pix_fmt. A list of logs names
the source of each: the columns log, source.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from vmaf_train.clips.netflix import SOURCE
from vmaf_train.clips.video import RAW_SUFFIX
from vmaf_train.errors import InputError

PATHS = ("ref", "dis")
LOG_COLUMNS = ("log", "source")


@dataclass(frozen=True)
class ManifestRow:
    """One pair of a manifest.

    Attributes:
        ref, dis: paths of the two videos.
        size, pix_fmt: `WxH` in pixels and pixel format, for raw files.
    """

    ref: Path
    dis: Path
    size: str
    pix_fmt: str

    @property
    def stated(self) -> tuple[str, str]:
        """Size and pixel format if the distorted file is raw; other files state their own."""
        return (self.size, self.pix_fmt) if self.dis.suffix == RAW_SUFFIX else ("", "")


def read_manifest(path: Path, size: str, pix_fmt: str) -> list[ManifestRow]:
    """Read the pairs of a manifest.

    Args:
        path: path of the CSV file; paths in it are relative to its folder.
        size, pix_fmt: for raw files whose row does not state them.

    Raises:
        InputError: the file cannot be read, lacks a column, has no row, or a row lacks a path.
    """
    rows = _rows_of(path, PATHS)
    return [
        ManifestRow(
            ref=path.parent / row["ref"],
            dis=path.parent / row["dis"],
            size=row.get("size") or size,
            pix_fmt=row.get("pix_fmt") or pix_fmt,
        )
        for row in rows
    ]


def read_log_sources(path: Path) -> dict[Path, str]:
    """Read the source of each log of a list, by its path; paths are relative to the list's folder.

    Raises:
        InputError: the file cannot be read, lacks a column, has no row, a row lacks a value, a
            source is no name, or a log lies outside the folder.
    """
    rows = _rows_of(path, LOG_COLUMNS)
    for row in rows:
        if not SOURCE.fullmatch(row["source"]):
            raise InputError(
                f"{path}: {row['source']!r} is no name of a source; "
                "use letters, digits, - and _, first a letter or digit"
            )
        log = Path(row["log"])
        if log.is_absolute() or ".." in log.parts:
            raise InputError(
                f"{path}: {row['log']} is no path below the folder; copy the log into it"
            )
    return {path.parent / row["log"]: row["source"] for row in rows}


def _rows_of(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Return the rows of a CSV file, after a check that each has a value in these columns."""
    try:
        # utf-8-sig: spreadsheets write a byte-order mark first.
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the manifest {path}: {error}") from error

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
