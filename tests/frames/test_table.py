"""A table of frames: its clips, its parts, its windows and its digest."""

import dataclasses

import pytest

from vmaf_train.extraction.logs import FrameScores
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

NAME = DEFAULT_TEACHER.name


def clips_of(table, order=None):
    """Return the arguments of from_clips that give a table, with its clips in some order."""
    pairs = [
        dataclasses.make_dataclass("Named", ["source", "clip"])(source, clip)
        for source, clip in zip(table.clip_sources, table.clips, strict=True)
    ]
    rows = [table.rows_of(clip) for clip in range(len(pairs))]
    scores = [
        FrameScores(table.features, table.x_NF[part], {NAME: table.y_N[part]}) for part in rows
    ]
    return [
        (pairs[clip], scores[clip]) for clip in (order if order is not None else range(len(pairs)))
    ]


@pytest.fixture
def table(make_table):
    """Three sources of two clips; the clips have different lengths."""
    clips = clips_of(make_table(clips=2, frames=9))
    uneven = []
    for index, (pair, scores) in enumerate(clips):
        n_frames = 4 + index
        y_N = scores.scores[NAME][:n_frames]
        uneven.append((pair, FrameScores(scores.features, scores.x_NF[:n_frames], {NAME: y_N})))
    assert table.window_rows(1).tolist() == [[row] for row in range(9)]
