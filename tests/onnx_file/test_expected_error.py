"""The error that a file states: read, refused, and widened."""

from types import SimpleNamespace

import numpy as np
import pytest

from vmaf_train.errors import InputError
from vmaf_train.onnx_file.expected_error import KEY, expected_error_of

WIDTHS = [{"frames": 1, "half_width": 2.0}, {"frames": 12, "half_width": 0.5}]
STATED = {
    "interval": {"confidence": 0.9, "sources": 9, "half_widths": WIDTHS},
    "familiar": {
        "mean": [1.0, 0.0],
        "whitening": [[1.0, 0.0], [0.0, 2.0]],
        "centres": [[0.0, 0.0], [5.0, 5.0]],
        "limit": 2.0,
    },
}


def stating(facts):
    """Return a student of two features whose file holds these facts."""
    return SimpleNamespace(facts=facts, features=("adm2", "motion2"))


@pytest.fixture
def expected():
    return expected_error_of(stating({KEY: STATED}), "it.onnx")


def test_a_file_that_states_nothing_has_no_expected_error():
    assert expected_error_of(stating({}), "it.onnx") is None


def test_a_video_takes_the_largest_number_of_frames_that_it_has(expected):
    assert [expected.half_width(n) for n in (1, 11, 12, 5000)] == [2.0, 2.0, 0.5, 0.5]
    assert (expected.confidence, expected.sources) == (0.9, 9)


def test_the_distance_is_that_to_the_nearest_centre(expected):
    x_NF = np.array([[1.0, 0.0], [1.0, 4.0], [6.0, 2.5], [1.0, -4.0]])
    # In whitened features: (0, 0), (0, 8), (5, 5), (0, -8).
    nearest = np.sqrt([0, (25 + 9) / 2, 0, 32])
    np.testing.assert_allclose(expected.distance(x_NF), nearest)
    assert expected.outside(expected.distance(x_NF)).tolist() == [False, True, False, True]


def test_many_frames_have_the_distances_of_each_alone(expected):
    x_NF = np.random.default_rng(0).normal(size=(20_000, 2))
    alone = np.concatenate([expected.distance(x_NF[row : row + 1]) for row in (0, 16384, 19_999)])
    np.testing.assert_allclose(expected.distance(x_NF)[[0, 16384, 19_999]], alone)


def test_only_frames_outside_widen_the_interval_and_further_ones_more(expected):
    inside = np.array([0.0, 1.0, 2.0, 2.0])
    assert expected.half_width(48, inside) == 0.5
    widths = [expected.half_width(48, np.append(inside, far)) for far in (2.0, 2.2, 4.0, 8.0)]
    assert widths == sorted(widths) and widths[0] == 0.5 < widths[1]
    # One of five frames at twice the limit: (4 + 4) / 5 times as wide.
    assert widths[2] == pytest.approx(0.5 * 8 / 5)


MALFORMED = {
    "no interval": {"familiar": STATED["familiar"]},
    "text": {**STATED, "interval": {**STATED["interval"], "confidence": "much"}},
    "widths that increase": {
        **STATED,
        "interval": {
            **STATED["interval"],
            "half_widths": [*WIDTHS[:1], {"frames": 9, "half_width": 3}],
        },
    },
    "no width of one frame": {
        **STATED,
        "interval": {**STATED["interval"], "half_widths": WIDTHS[1:]},
    },
    "short centres": {**STATED, "familiar": {**STATED["familiar"], "centres": [[0.0]]}},
    "another number of features": {
        **STATED,
        "familiar": {"mean": [0.0], "whitening": [[1.0]], "centres": [[0.0]], "limit": 1.0},
    },
    "a list": [1, 2],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_metadata_is_refused_with_the_files_name(name):
    with pytest.raises(InputError, match=rf"^it\.onnx has metadata .*{KEY}.*train it again"):
        expected_error_of(stating({KEY: MALFORMED[name]}), "it.onnx")
