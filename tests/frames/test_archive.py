"""held_out.npz: the frames that a student was judged on, packed and read back."""

import dataclasses
import io

import numpy as np
import pytest

from vmaf_train.errors import InputError
from vmaf_train.frames.archive import pack, unpack
from vmaf_train.teacher.teachers import DEFAULT_TEACHER


@pytest.fixture
def packed(make_table):
    """Return a table, scores of it, and both as an archive."""
    table = make_table(clips=2, frames=5)
    score_N = table.y_N + 0.1
    return table, score_N, pack(table, score_N)


def test_frames_and_scores_are_read_back_exactly(packed):
    table, score_N, content = packed
    again, again_N = unpack(content, DEFAULT_TEACHER)
    assert again.digest == table.digest
    assert (again.features, again.clips) == (table.features, table.clips)
    assert (again.clip_sources, again.teacher) == (table.clip_sources, DEFAULT_TEACHER)
    np.testing.assert_array_equal(again.clip_N, table.clip_N)
    np.testing.assert_array_equal(again_N, score_N)


def test_scores_come_first_and_then_the_columns_of_the_table(packed):
    columns = ["features", "x_NF", "y_N", "clip_N", "clips", "clip_sources"]
    with np.load(io.BytesIO(packed[2])) as arrays:
        assert arrays.files == ["score_N", *columns]


def test_the_teacher_of_the_table_is_the_given_one(packed):
    other = dataclasses.replace(DEFAULT_TEACHER, name="other")
    assert unpack(packed[2], other)[0].teacher is other


@pytest.mark.parametrize(
    "damage",
    [lambda c: b"", lambda c: b"text", lambda c: c[: len(c) // 2]],
    ids=["empty", "text", "cut"],
)
def test_a_damaged_archive_is_refused_with_the_next_step(damage, packed):
    with pytest.raises(InputError, match=r"not an archive of held-out frames.*train again"):
        unpack(damage(packed[2]), DEFAULT_TEACHER)


@pytest.mark.parametrize(
    "change",
    [
        {"score_N": np.full(10, "50.0")},
        {"score_N": np.zeros(1)},
        {"score_N": np.full(10, np.nan)},
        {"y_N": np.full(10, 150.0)},
        {"clip_N": np.array([1, 0] * 5, dtype=np.int32)},
    ],
    ids=["text", "too few", "NaN", "impossible scores", "clips out of order"],
)
def test_columns_that_do_not_fit_are_refused(change, packed):
    with np.load(io.BytesIO(packed[2])) as arrays:
        columns = {name: arrays[name] for name in arrays.files}
    damaged = io.BytesIO()
    np.savez_compressed(damaged, **{**columns, **change})
    with pytest.raises(InputError, match="not an archive of held-out frames"):
        unpack(damaged.getvalue(), DEFAULT_TEACHER)
