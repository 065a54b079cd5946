"""Feature sets by name and by their features."""

import pytest

from vmaf_train.errors import InputError
from vmaf_train.features import FEATURE_SETS, find_feature_set, log_keys, set_of


def test_a_set_is_found_by_its_features():
    assert [set_of(row.features) for row in FEATURE_SETS.values()] == list(FEATURE_SETS.values())
    assert set_of(("adm2", "motion2")) is None


def test_an_unknown_set_is_refused_with_the_known_ones():
    assert find_feature_set("lite") is FEATURE_SETS["lite"]
    message = "unknown features 'huge'; choose one of: canonical, lite, lite_vif, fast"
    with pytest.raises(InputError, match=message):
        find_feature_set("huge")


def test_todays_log_key_comes_first():
    assert log_keys("adm2") == ("integer_adm2", "adm2", "integer_adm2_ssclz")
