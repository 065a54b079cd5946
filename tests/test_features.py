"""Feature sets by name and by their features."""

import pytest

from vmaf_train.errors import InputError
from vmaf_train.features import FEATURE_SETS, find_feature_set, log_keys, model_name, set_of


def test_a_set_is_found_by_its_features():
    assert [set_of(row.features) for row in FEATURE_SETS.values()] == list(FEATURE_SETS.values())
    assert set_of(("adm2", "motion2")).name == "other"


def test_an_unknown_set_is_refused_with_the_known_ones():
    assert find_feature_set("lite") is FEATURE_SETS["lite"]
    message = "unknown features 'huge'; choose one of: canonical, lite, lite_vif, fast"
    with pytest.raises(InputError, match=message):
        find_feature_set("huge")


def test_todays_log_key_comes_first():
    assert log_keys("adm2") == ("integer_adm2", "adm2", "integer_adm2_ssclz")


def test_the_options_of_a_pass_and_of_a_model_file_are_the_same():
    lite = FEATURE_SETS["lite"]
    pass_option = r"name=vif\:vif_skip_scale0=true|name=adm\:adm_skip_aim=true|name=motion"
    assert lite.extraction == pass_option
    assert lite.options_of("vif_scale3") == {"vif_skip_scale0": True}
    assert lite.options_of("adm2") == lite.options_of("adm_scale0") == {"adm_skip_aim": True}
    assert lite.options_of("motion2") == FEATURE_SETS["fast"].options_of("aim") == {}


def test_libvmafs_model_files_have_no_long_name_for_the_scales_of_adm():
    assert model_name("adm2") == "VMAF_integer_feature_adm2_score"
    assert model_name("adm_scale0") == "integer_adm_scale0"
