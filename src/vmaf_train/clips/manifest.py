"""A manifest: a CSV file of pairs with the columns ref, dis and, for raw files, size, pix_fmt."""

import csv
from dataclasses import dataclass
from pathlib import Path

from vmaf_train.clips.video import RAW_SUFFIX
from vmaf_train.errors import InputError

PATHS = ("ref", "dis")


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
    try:
        # utf-8-sig: spreadsheets write a byte-order mark first.
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the manifest {path}: {error}") from error

    if not rows or not set(PATHS) <= rows[0].keys():
        raise InputError(
            f"{path} has no row with the columns {' and '.join(PATHS)}; "
            "its first line must name them"
        )
    for number, row in enumerate(rows, 1):
        if not all(row[name] for name in PATHS):
            raise InputError(
                f"{path}: row {number} of {len(rows)} lacks {' or '.join(PATHS)}; "
                "give it both or remove it"
            )
    return [
        ManifestRow(
            ref=path.parent / row["ref"],
            dis=path.parent / row["dis"],
            size=row.get("size") or size,
            pix_fmt=row.get("pix_fmt") or pix_fmt,
        )
        for row in rows
    ]
