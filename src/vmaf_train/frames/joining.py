"""Several corpora as one: names of their sources, and one table of all their frames."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from vmaf_train.errors import InputError
from vmaf_train.frames.table import FrameTable


def unique_names(corpora: Sequence[tuple[str, Sequence[str]]]) -> list[dict[str, str]]:
    """Return, for each corpus, the name of each of its sources in the join.

    A source keeps its name, unless two corpora have it; then it is `<corpus>/<source>`.

    Args:
        corpora: name and clip sources of each corpus.

    Raises:
        InputError: a corpus is joined with itself.
    """
    twice = [name for name, n in Counter(name for name, _ in corpora).items() if n > 1]
    if twice:
        raise InputError(f"corpus {twice[0]} is joined with itself; name each corpus once")
    count = Counter(source for _, sources in corpora for source in set(sources))
    return [
        {
            source: source if count[source] == 1 else f"{name}/{source}"
            for source in sorted(set(sources))
        }
        for name, sources in corpora
    ]


def check_joinable(versions: Mapping[str, str | None]) -> None:
    """Check that the features of all corpora are from one libvmaf.

    Args:
        versions: libvmaf's version by corpus.

    Raises:
        InputError: they are not.
    """
    if len(set(versions.values())) > 1:
        listed = ", ".join(f"{name} {version}" for name, version in versions.items())
        raise InputError(
            f"corpora of different libvmaf versions cannot be joined: {listed}; "
            "extract all of them with one ffmpeg"
        )


def join_tables(tables: Sequence[tuple[FrameTable, Mapping[str, str]]]) -> FrameTable:
    """Return one table with the frames of several.

    Args:
        tables: each table, with the name of each of its sources in the join.

    Raises:
        InputError: they differ in features or teacher, or a clip of one source has the same frames
            as a clip of another: held out, that source would be trained on.
    """
    first = tables[0][0]
    for table, _ in tables:
        if (table.features, table.teacher) != (first.features, first.teacher):
            raise InputError(
                f"tables of features {', '.join(first.features)} ({first.teacher.name}) and "
                f"{', '.join(table.features)} ({table.teacher.name}) cannot be joined; "
                "export both with one version"
            )
    starts = np.cumsum([0] + [len(table.clips) for table, _ in tables])
    joined = replace(
        first,
        x_NF=np.concatenate([table.x_NF for table, _ in tables]),
        y_N=np.concatenate([table.y_N for table, _ in tables]),
        clip_N=np.concatenate(
            [table.clip_N + start for (table, _), start in zip(tables, starts[:-1], strict=True)],
            dtype=np.int32,
        ),
        clips=tuple(clip for table, _ in tables for clip in table.clips),
        clip_sources=tuple(
            names[source] for table, names in tables for source in table.clip_sources
        ),
        mos_C=_join_columns([(table.mos_C, len(table.clips)) for table, _ in tables]),
        psnr_C=_join_columns([(table.psnr_C, len(table.clips)) for table, _ in tables]),
    )
    check_no_copies(joined)
    return joined


def _join_columns(columns: Sequence[tuple[np.ndarray | None, int]]) -> np.ndarray | None:
    """Join columns of clips; one that is missing becomes NaN of this length. None if all are."""
    if all(column is None for column, _ in columns):
        return None
    return np.concatenate([np.full(n, np.nan) if c is None else c for c, n in columns])


def check_no_copies(table: FrameTable) -> None:
    """Check that no clip of one source has the same frames as a clip of another.

    Raises:
        InputError: two have; names both.
    """
    seen: dict[bytes, int] = {}
    for clip, rows in enumerate(table.clip_rows):
        # A clip without any variation, such as a smoke's zeros, says nothing about its content.
        if not np.ptp(table.x_NF[rows]):
            continue
        content = table.x_NF[rows].tobytes() + table.y_N[rows].tobytes()
        other = seen.setdefault(hashlib.sha256(content).digest(), clip)
        if table.clip_sources[other] != table.clip_sources[clip]:
            raise InputError(
                f"clip {table.clips[clip]} of source {table.clip_sources[clip]} has the same "
                f"frames as clip {table.clips[other]} of source {table.clip_sources[other]}; "
                "give both one source name, or the source is trained on while it is held out"
            )
