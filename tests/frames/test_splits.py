"""The hold-out and the folds: which sources take no part in a fit."""

import pytest

from vmaf_train.errors import InputError
from vmaf_train.frames.splits import choose_folds, choose_hold_out, split


@pytest.fixture
def table(make_table):
    return make_table(clips=2, frames=9)


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


@pytest.mark.parametrize(
    ("sources", "wanted", "chosen"),
    [
        (["Zoo", "Tennis", "Alpha"], "auto", "Tennis"),
        (["Beta", "Zoo", "Alpha", "Zoo"], "auto", "Zoo"),
        (["Zoo", "Tennis", "Alpha"], "Alpha", "Alpha"),
    ],
)
def test_auto_holds_out_tennis_or_else_the_last_source_by_name(sources, wanted, chosen):
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


CLIP_SOURCES = ("Beta", "Alpha", "Alpha", "Beta", "Gamma")


@pytest.mark.parametrize(
    ("wanted", "folds"),
    [
        ((), ("Alpha", "Beta", "Gamma")),
        (("Beta", "Alpha", "Beta"), ("Beta", "Alpha")),
        (("Gamma", "Alpha"), ("Gamma", "Alpha")),
    ],
)
def test_folds_are_the_wanted_sources_or_all(wanted, folds):
    assert choose_folds(CLIP_SOURCES, wanted) == folds


@pytest.mark.parametrize(
    ("sources", "wanted", "message"),
    [
        (CLIP_SOURCES, ("Delta",), "folds Delta not in the corpus; .* Alpha, Beta, Gamma, or all"),
        (CLIP_SOURCES, ("Gamma",), "Gamma has one pair, too few"),
        (("Alpha", "Alpha"), (), "Alpha is the only source"),
    ],
)
def test_unusable_folds_are_refused(sources, wanted, message):
    with pytest.raises(InputError, match=message):
        choose_folds(sources, wanted)
