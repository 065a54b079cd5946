"""Examples and pools: who sees which rows, and the shares of corpus and points."""

import dataclasses

import numpy as np
import pytest
import torch

from vmaf_train.errors import InputError
from vmaf_train.features import CANONICAL, FEATURE_SETS
from vmaf_train.frames.splits import split
from vmaf_train.students.architectures import build
from vmaf_train.students.examples import (
    CORPUS,
    COVER,
    MIXTURES,
    Examples,
    Pool,
    make_pools,
    quotas,
    root_weights,
    training_rows,
)
from vmaf_train.students.settings import Job
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

KINDS = [CORPUS, MIXTURES, COVER]


LITE = FEATURE_SETS["lite_vif"].features


@pytest.fixture(scope="module")
def table(make_table):
    return make_table(("Alpha", "Beta"), clips=2, frames=3)


def pools_of_lengths(*lengths):
    x = torch.zeros(1, 6, dtype=torch.float64)
    return [
        Pool(x, torch.zeros(n, dtype=torch.long), torch.zeros(n), share)
        for n, share in zip(lengths, KINDS[: len(lengths)], strict=True)
    ]


def test_an_example_reads_its_own_frame(table):
    examples = Examples.of(table, CANONICAL.features, window=1)
    np.testing.assert_array_equal(examples.x[examples.rows], table.x_NF)
    np.testing.assert_array_equal(examples.frames, table.x_NF)
    assert examples.missing_NM.shape == (12, 0)


def test_a_window_reads_nan_beyond_a_clips_ends(table):
    examples = Examples.of(table, CANONICAL.features, window=3)
    read = examples.x[examples.rows]
    assert read.shape == (12, 3, 6)
    np.testing.assert_array_equal(read[1], table.x_NF[:3])
    assert np.isnan(read[0, 0]).all() and np.isnan(read[2, 2]).all()
    np.testing.assert_array_equal(examples.frames, table.x_NF)


def test_features_that_only_the_teacher_reads_stand_apart(table):
    examples = Examples.of(table, LITE, window=1)
    assert examples.frames.shape == (12, 5)
    missing = CANONICAL.features.index("vif_scale0")
    np.testing.assert_array_equal(examples.missing_NM, table.x_NF[:, [missing]])


def test_a_table_without_a_feature_is_refused(table):
    with pytest.raises(InputError, match="vif_scale0"):
        Examples.of(table.select(LITE), LITE, window=1)


def test_a_held_out_source_has_no_examples(table):
    seen = Examples.of(table, CANONICAL.features, window=3).without(["Alpha"])
    beta = table.only(["Beta"])
    np.testing.assert_array_equal(seen.frames, beta.x_NF)
    np.testing.assert_array_equal(seen.y_N, beta.y_N)
    assert {seen.clip_sources[clip] for clip in seen.clip_N} == {"Beta"}
    assert len(seen.rows) == len(beta)


def test_making_pools_changes_no_example(table):
    clipped = dataclasses.replace(table, y_N=np.where(table.y_N > 50, 100.0, 0.0))
    examples = Examples.of(clipped, CANONICAL.features, window=1)
    pools = make_pools(examples, Job(teacher_points=4), np.zeros(6))
    assert (pools[0].y.numpy() != clipped.y_N).any()
    np.testing.assert_array_equal(examples.y_N, np.where(table.y_N > 50, 100.0, 0.0))


@pytest.mark.parametrize(
    ("points", "lengths"), [(0, [12]), (1, [12, 1]), (2, [12, 1, 1]), (7, [12, 4, 3])]
)
def test_points_are_half_mixtures_and_half_cover_and_mixtures_come_first(points, lengths, table):
    examples = Examples.of(table, CANONICAL.features, window=1)
    pools = make_pools(examples, Job(teacher_points=points), np.zeros(6))
    assert [len(pool.y) for pool in pools] == lengths
    assert [pool.share for pool in pools] == KINDS[: len(lengths)]


@pytest.mark.parametrize(
    ("lengths", "size", "expected"),
    [
        ((9,), 64, [64]),
        ((9, 5, 5), 64, [32, 16, 16]),
        ((9, 5, 5), 3, [3, 0, 0]),
        ((9, 1), 64, [43, 21]),
    ],
)
def test_a_batch_is_shared_2_to_1_to_1_and_the_corpus_gets_the_rest(lengths, size, expected):
    assert quotas(pools_of_lengths(*lengths), size) == expected


@pytest.mark.parametrize("size", [64, 5])
def test_weights_give_the_pools_their_shares_of_the_mean_loss(size):
    pools = pools_of_lengths(9, 5, 5)
    weights = root_weights(pools, size) ** 2
    shares = [float(part.sum()) / size for part in weights.split(quotas(pools, size))]
    assert shares == pytest.approx([1 / 2.3, 1 / 2.3, 0.3 / 2.3])


def test_a_pool_without_rows_in_a_batch_has_no_share_of_the_loss():
    weights = root_weights(pools_of_lengths(9, 5, 5), 3)
    assert weights.tolist() == [1, 1, 1]


def test_parts_hold_every_row_once(table, monkeypatch):
    monkeypatch.setattr("vmaf_train.students.examples.PART_ROWS", 5)
    examples = Examples.of(table, CANONICAL.features, window=1)
    (pool,) = make_pools(examples, Job(), np.zeros(6))
    parts = list(pool.parts(build("linear", CANONICAL.features, 0)))
    assert [len(t) for _, t in parts] == [5, 5, 2]
    np.testing.assert_array_equal(torch.cat([z for z, _ in parts]).numpy(), table.x_NF)


@pytest.fixture
def train(make_table):
    """Training rows, some of them with clipped scores."""
    return split(make_table(), "Gamma")[0]


def test_training_rows_without_points_are_the_corpus(train):
    x_NF, y_N = training_rows(train, Job())
    np.testing.assert_array_equal(x_NF, train.x_NF)
    np.testing.assert_array_equal(y_N, train.y_N)


def test_points_have_unclipped_teacher_scores(train):
    teacher = DEFAULT_TEACHER
    x_NF, y_N = training_rows(train, Job((), 3, 200))
    assert len(x_NF) == len(train) + 200
    np.testing.assert_allclose(
        y_N, teacher.score(x_NF, CANONICAL.features, clip=False), rtol=0, atol=1e-9
    )
    assert y_N.max() > 100 or y_N.min() < 0
    other_NF, _ = training_rows(train, Job((), 4, 200))
    assert (other_NF[len(train) :] != x_NF[len(train) :]).all()


def test_points_unclip_only_the_corpus_scores_that_libvmaf_clipped(train):
    teacher = DEFAULT_TEACHER
    assert (train.y_N == 100).any() and (train.y_N == 0).any()
    off = dataclasses.replace(train, y_N=np.where(train.y_N % 100 > 0, train.y_N + 0.25, train.y_N))
    _, with_points = training_rows(off, Job((), 0, 2))
    smooth_N = teacher.score(train.x_NF, CANONICAL.features, clip=False)
    clipped = train.y_N % 100 == 0
    np.testing.assert_allclose(
        with_points[: len(train)][clipped], smooth_N[clipped], rtol=0, atol=1e-9
    )
    np.testing.assert_array_equal(with_points[: len(train)][~clipped], off.y_N[~clipped])


def test_a_clipped_score_is_never_moved_inside_the_score_range(train):
    y_N = np.where(train.y_N > 50, 100.0, 0.0)
    _, labels_N = training_rows(dataclasses.replace(train, y_N=y_N), Job((), 0, 2))
    smooth_N = DEFAULT_TEACHER.score(train.x_NF, CANONICAL.features, clip=False)
    inside = (smooth_N > 0) & (smooth_N < 100)
    assert set(y_N[inside]) == {0.0, 100.0}
    np.testing.assert_array_equal(labels_N[: len(train)][inside], y_N[inside])
