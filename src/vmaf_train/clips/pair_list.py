"""The layout of a list: a CSV file names the pairs, which can be any videos that ffmpeg decodes.

docs/corpus.md describes the columns. A row whose videos cannot be compared frame by frame is left
out, with the command that repairs it.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from vmaf_train.clips.comparable import LooksAt, align_sizes, look_at, show
from vmaf_train.clips.manifest import SOURCE_HINT, PairRow, read_pairs
from vmaf_train.clips.pairs import Listing, Match, Reading
from vmaf_train.clips.video import SCALE_TO_REF
from vmaf_train.errors import InputError

SUFFIX = ".csv"
HINT = "a list of pairs is a CSV file with the columns ref and dis"


def recognises(path: Path) -> bool:
    """Tell whether a path is that of a list."""
    return path.suffix == SUFFIX


def find(path: Path, reading: Reading) -> Listing:
    """List the pairs of a CSV file.

    Args:
        path: of the file.
        reading: how the videos are read.

    Raises:
        InputError: the file cannot be read, a value in it is malformed, or two references or two
            distorted clips cannot be told apart by their names.
    """
    rows = read_pairs(path, reading.size, reading.format.pix_fmt)
    sources, names = source_names(path, rows), clip_names(path, rows)
    assert reading.looks, "a list needs looks at its videos"
    looks = look_at([file for row in rows for file in (row.ref, row.dis)], reading.looks)
    matches: list[Match] = []
    left_out: list[str] = []
    for row, source, name in zip(rows, sources, names, strict=True):
        try:
            matches.append(_match(row, source, name, looks, scale=reading.scale))
        except InputError as error:
            left_out.append(str(error))
    return Listing(tuple(matches), tuple(left_out))


def _match(row: PairRow, source: str, name: str, looks: LooksAt, *, scale: bool) -> Match:
    """Return the match of a row, after a check that its two videos can be compared."""
    ref, dis = (show(file, row.size, row.pix_fmt, looks) for file in (row.ref, row.dis))
    for shown in (ref, dis):
        if shown.doubts:
            raise InputError(shown.doubts)
    scaled = align_sizes(ref, dis, scale=row.scale == SCALE_TO_REF if row.scale else scale)
    return Match(
        source=source,
        ref=ref.video,
        dis=scaled,
        format=ref.format,
        name=name,
        # The score of a reference that is shown as a clip is no score of an encode.
        mos=None if row.ref == row.dis else row.mos,
        frames=row.frames,
        offset=row.offset,
    )


def source_names(path: Path, rows: Sequence[PairRow]) -> list[str]:
    """Return the source of each row: the stated one, or the name of its reference.

    Raises:
        InputError: two references have one name, and their rows state no source.
    """
    refs: dict[str, Path] = {}
    names = []
    for row in rows:
        name = row.source or plain_name(row.ref.stem)
        first = refs.setdefault(name, row.ref)
        if not row.source and first != row.ref:
            raise InputError(
                f"{path}: the references {first} and {row.ref} would both be the source {name}; "
                "name the source of each row in a column source"
            )
        names.append(name)
    return names


def clip_names(path: Path, rows: Sequence[PairRow]) -> list[str]:
    """Return a name of each row's clip that no other row has: as few folders of dis as it takes.

    Raises:
        InputError: a distorted file stands in two rows.
    """
    files = Counter(row.dis.absolute() for row in rows)
    if twice := [str(file) for file, count in files.items() if count > 1]:
        raise InputError(f"{path} names {twice[0]} in {files[Path(twice[0])]} rows; keep one")
    parts = [row.dis.absolute().with_suffix("").parts for row in rows]
    names = [plain_name(each[-1]) for each in parts]
    for depth in range(2, max(map(len, parts)) + 1):
        counts = Counter(names)
        names = [
            name if counts[name] == 1 else plain_name("_".join(each[-depth:]))
            for name, each in zip(names, parts, strict=True)
        ]
    if len(set(names)) < len(names):
        double = Counter(names).most_common(1)[0][0]
        raise InputError(f"{path}: several clips would have the name {double}; rename their files")
    return names


def plain_name(text: str) -> str:
    """Return a name of letters, digits, - and _ only, as sources and clips need.

    Raises:
        InputError: nothing is left of the name.
    """
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", text).lstrip("_-")
    if not plain:
        raise InputError(
            f"{text!r} gives no name; rename the file, or name its source in a column: "
            f"{SOURCE_HINT}"
        )
    return plain
