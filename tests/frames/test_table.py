"""A table of frames: its clips, its parts, its windows and its digest."""

import dataclasses

import numpy as np
import pytest

from vmaf_train.errors import InputError
from vmaf_train.extraction.logs import FrameScores
from vmaf_train.frames.table import FrameTable
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
        frames = slice(4 + index)
        y_N = scores.scores[NAME][frames]
        uneven.append((pair, FrameScores(scores.features, scores.x_NF[frames], {NAME: y_N})))
    return FrameTable.from_clips(uneven)


def test_rows_of_a_clip_are_its_frames_in_order(table, make_table):
    full = make_table(clips=2, frames=9)
    for clip in range(6):
        rows, whole = table.rows_of(clip), full.rows_of(clip)
        assert rows.stop - rows.start == 4 + clip
        np.testing.assert_array_equal(table.x_NF[rows], full.x_NF[whole][: 4 + clip])
        np.testing.assert_array_equal(table.y_N[rows], full.y_N[whole][: 4 + clip])
        assert set(table.clip_N[rows]) == {clip}
    assert table.rows_of(5).stop == len(table) == sum(range(4, 10))


def test_clips_keep_the_given_order(table):
    assert table.clips[:3] == ("Alpha_10_64_100", "Alpha_20_64_200", "Beta_10_64_100")
    assert table.clip_sources == ("Alpha", "Alpha", "Beta", "Beta", "Gamma", "Gamma")
    assert table.sources == ("Alpha", "Beta", "Gamma")


def test_a_part_of_a_table_renumbers_clips_and_keeps_their_frames(table):
    part = table.only(["Gamma", "Alpha"])
    assert part.clips == (
        "Alpha_10_64_100",
        "Alpha_20_64_200",
        "Gamma_10_64_100",
        "Gamma_20_64_200",
    )
    assert part.clip_N.dtype == np.int32
    for new, old in enumerate((0, 1, 4, 5)):
        np.testing.assert_array_equal(part.x_NF[part.rows_of(new)], table.x_NF[table.rows_of(old)])
        np.testing.assert_array_equal(part.y_N[part.rows_of(new)], table.y_N[table.rows_of(old)])


def test_the_digest_does_not_depend_on_the_order_of_the_clips(table):
    shuffled = FrameTable.from_clips(clips_of(table, [3, 0, 5, 1, 4, 2]))
    assert shuffled.clips != table.clips
    assert shuffled.digest == table.digest
    assert len(table.digest) == 64


def swapped_scores(table):
    """Return the clips of a table, two of them with each other's scores."""
    others = clips_of(table, [1, 0, 2, 3, 4, 5])
    return [(pair, scores) for (pair, _), (_, scores) in zip(clips_of(table), others, strict=True)]


def one_value(table, array):
    """Return a table with one value changed by the last bit."""
    changed = getattr(table, array).copy()
    changed.flat[-1] = np.nextafter(changed.flat[-1], 50)
    return dataclasses.replace(table, **{array: changed})


@pytest.mark.parametrize(
    "change",
    [
        lambda table: one_value(table, "x_NF"),
        lambda table: one_value(table, "y_N"),
        lambda table: dataclasses.replace(table, clips=(*table.clips[:-1], "Gamma_21_64_200")),
        lambda table: dataclasses.replace(table, clip_sources=(*table.clip_sources[:-1], "Delta")),
        lambda table: dataclasses.replace(table, features=("adm3", *table.features[1:])),
        lambda table: table.only(["Alpha", "Beta"]),
        lambda table: FrameTable.from_clips(swapped_scores(table)),
    ],
    ids=[
        "a feature",
        "a score",
        "a clip's name",
        "a source",
        "a column's name",
        "a source less",
        "scores swapped",
    ],
)
def test_the_digest_changes_with_names_features_and_scores(table, change):
    assert change(table).digest != table.digest


def test_the_digest_does_not_depend_on_the_memory_layout(table):
    assert dataclasses.replace(table, x_NF=np.asfortranarray(table.x_NF)).digest == table.digest


def test_an_absent_feature_is_named(table):
    with pytest.raises(InputError, match="no aim among the features adm2"):
        table.select(("adm2", "aim"))


def test_window_rows_stay_in_their_clip(make_table):
    table = make_table(("Alpha",), clips=3, frames=3)
    assert table.window_rows(5).tolist() == [
        [9, 9, 0, 1, 2],
        [9, 0, 1, 2, 9],
        [0, 1, 2, 9, 9],
        [9, 9, 3, 4, 5],
        [9, 3, 4, 5, 9],
        [3, 4, 5, 9, 9],
        [9, 9, 6, 7, 8],
        [9, 6, 7, 8, 9],
        [6, 7, 8, 9, 9],
    ]
    assert table.window_rows(1).tolist() == [[row] for row in range(9)]
