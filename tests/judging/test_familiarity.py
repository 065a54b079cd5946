"""The guard: which frames lie outside what a student learnt."""

import numpy as np
import pytest

from vmaf_train.judging import familiarity


@pytest.fixture(scope="module")
def rows():
    """Two groups of frames whose two features go together."""
    draw = np.random.default_rng(0)
    first = draw.normal(0.3, 0.03, 400)
    second = draw.normal(0.9, 0.03, 400)
    along = np.concatenate([first, second])
    return np.column_stack([along, 20 * along + draw.normal(0, 0.2, 800)])


def test_frames_between_and_beyond_the_training_frames_are_further_than_those_among_them(rows):
    familiar = familiarity.learn(rows)
    among, between, beyond, against = familiar.distance(
        np.array([[0.3, 6.0], [0.6, 12.0], [1.8, 36.0], [0.3, 18.0]])
    )
    assert among < 0.3 < between < beyond
    # Both values are usual, but not together.
    assert against > 3 * between


def test_one_percent_of_the_frames_lies_outside_with_equal_weight_of_sources(rows):
    familiar = familiarity.learn(rows)
    distances = [np.linspace(0, 1, 1000), np.full(10, 0.1)]
    limit = familiarity.limited(familiar, distances).limit
    share = np.mean([(each > limit).mean() for each in distances])
    assert share == pytest.approx(0.01, abs=0.001)


def test_distances_are_those_of_the_rounded_numbers_in_the_file(rows):
    familiar = familiarity.learn(rows)
    facts = familiarity.facts_of(familiarity.limited(familiar, [np.ones(3)]))
    text = facts.model_dump_json()
    assert len(text) < 2000
    again = type(facts).model_validate_json(text)
    np.testing.assert_array_equal(np.array(again.centres), familiar.centres_KF)
    np.testing.assert_array_equal(np.array(again.whitening), familiar.whitening_FF)


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_constant_features_and_few_rows_give_finite_distances(scale):
    x_NF = scale * np.column_stack([np.arange(5.0), np.zeros(5)]) + 1
    familiar = familiarity.learn(x_NF)
    np.testing.assert_allclose(familiar.distance(x_NF), 0, atol=0.01)
    assert np.isfinite(familiar.distance(x_NF + 1)).all()
    assert familiar.distance(x_NF + 1).min() > 0.5


def test_the_same_rows_give_the_same_centres(rows):
    first, second = familiarity.learn(rows), familiarity.learn(rows)
    np.testing.assert_array_equal(first.centres_KF, second.centres_KF)
