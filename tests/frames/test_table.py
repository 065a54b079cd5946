import dataclasses

import numpy as np
import pytest

from vmaf_train.errors import InputError
from vmaf_train.extraction.logs import FrameScores
from vmaf_train.frames.splits import choose_hold_out, split
from vmaf_train.frames.table import FrameTable


def clips_of(table, order=None):
    """Take a table apart into what from_clips takes, in the given order of clips."""
    pairs = [
        dataclasses.make_dataclass("Named", ["source", "clip"])(source, clip)
        for source, clip in zip(table.clip_sources, table.clips, strict=True)
    ]
    rows = [table.rows_of(clip) for clip in range(len(pairs))]
    scores = [FrameScores(table.features, table.x_NF[part], table.y_N[part]) for part in rows]
    return [
        (pairs[clip], scores[clip]) for clip in (order if order is not None else range(len(pairs)))
    ]


@pytest.fixture
def table(make_table):
    """Three sources of two clips; the clips have different lengths."""
    clips = clips_of(make_table(clips=2, frames=9))
    uneven = [
        (pair, FrameScores(scores.features, scores.x_NF[: 4 + index], scores.y_N[: 4 + index]))
        for index, (pair, scores) in enumerate(clips)
    ]
    return FrameTable.from_clips(uneven)


def test_rows_of_a_clip_are_its_own_frames_in_order(table, make_table):
    full = make_table(clips=2, frames=9)
    for clip in range(6):
        rows, whole = table.rows_of(clip), full.rows_of(clip)
        assert rows.stop - rows.start == 4 + clip
        np.testing.assert_array_equal(table.x_NF[rows], full.x_NF[whole][: 4 + clip])
        np.testing.assert_array_equal(table.y_N[rows], full.y_N[whole][: 4 + clip])
        assert set(table.clip_N[rows]) == {clip}
    assert table.rows_of(5).stop == len(table) == sum(range(4, 10))


def test_clips_and_sources_stand_as_given(table):
    assert table.clips[:3] == ("Alpha_10_64_100", "Alpha_20_64_200", "Beta_10_64_100")
    assert table.clip_sources == ("Alpha", "Alpha", "Beta", "Beta", "Gamma", "Gamma")
    assert table.sources == ("Alpha", "Beta", "Gamma")


@pytest.mark.parametrize("hold_out", ["Alpha", "Beta", "Gamma"])
def test_no_row_of_the_held_out_source_is_in_training(table, hold_out):
    train, val = split(table, hold_out)
    assert hold_out not in train.sources
    assert hold_out not in train.clip_sources
    assert val.sources == (hold_out,)
    held_out = {row.tobytes() for row in val.x_NF}
    assert not held_out & {row.tobytes() for row in train.x_NF}
    assert len(train) + len(val) == len(table)
    assert held_out | {row.tobytes() for row in train.x_NF} == {row.tobytes() for row in table.x_NF}


def test_a_part_of_a_table_numbers_its_clips_anew_and_keeps_their_frames(table):
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
    others = clips_of(table, [1, 0, 2, 3, 4, 5])
    return [(pair, scores) for (pair, _), (_, scores) in zip(clips_of(table), others, strict=True)]


def one_value(table, array):
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
def test_the_digest_changes_with_everything_it_stands_for(table, change):
    assert change(table).digest != table.digest


def test_the_digest_of_the_same_frames_is_the_same_whatever_the_memory_layout(table):
    assert dataclasses.replace(table, x_NF=np.asfortranarray(table.x_NF)).digest == table.digest


@pytest.mark.parametrize(
    ("sources", "wanted", "chosen"),
    [
        (["Zoo", "Tennis", "Alpha"], "auto", "Tennis"),
        (["Beta", "Zoo", "Alpha", "Zoo"], "auto", "Zoo"),
        (["Zoo", "Tennis", "Alpha"], "Alpha", "Alpha"),
    ],
)
def test_the_hold_out_is_the_one_asked_for_else_tennis_else_the_last_by_name(
    sources, wanted, chosen
):
    assert choose_hold_out(iter(sources), wanted) == chosen


def test_an_unknown_hold_out_is_refused_with_the_known_ones():
    with pytest.raises(
        InputError,
        match="val_source Tenis is not in the corpus; choose one of: Alpha, Tennis, or auto",
    ):
        choose_hold_out(["Tennis", "Alpha"], "Tenis")


@pytest.mark.parametrize("wanted", ["auto", "Tennis"])
def test_the_only_source_cannot_be_held_out(wanted):
    with pytest.raises(InputError, match="Tennis is the only source"):
        choose_hold_out(["Tennis", "Tennis"], wanted)
