"""The names of libvmaf's features against what libvmaf logs."""

import numpy as np
import pytest

from vmaf_train.clips.demo import make_demo_pair
from vmaf_train.errors import InputError
from vmaf_train.extraction.graphs import Branch, extracting
from vmaf_train.feature_names import OPTIONS, STEMS, Feature, feature_of, parse_feature
from vmaf_train.features import extraction_of, log_keys
from vmaf_train.teacher.teachers import TEACHERS, find_teacher

# A value of each option that is not its default.
OTHER = {
    "adm_csf_mode": 2,
    "adm_min_val": 0.5,
    "adm_norm_view_dist": 5.0,
    "adm_ref_display_height": 2160,
    "cambi_high_res_speedup": 1080,
    "cambi_vis_lum_threshold": 0.06,
    "speed_kernelscale": 0.5,
    "speed_nn_floor": 0.1,
    "speed_prescale": 1.5,
    "speed_prescale_method": "bilinear",
    "speed_weight_var_mode": 5,
}


@pytest.fixture(scope="module")
def demo_pair(tmp_path_factory, ffmpeg):
    return make_demo_pair(tmp_path_factory.mktemp("pair"), ffmpeg.path)


def changed(name, default):
    if name in OTHER:
        return OTHER[name]
    return not default if isinstance(default, bool) else type(default)(default * 0.8)


@pytest.mark.parametrize("extractor", STEMS)
def test_libvmaf_logs_each_option_as_our_names_say_and_no_default(extractor, ffmpeg, demo_pair):
    table = OPTIONS[extractor]
    stem = STEMS[extractor][-1] if extractor == "motion" else STEMS[extractor][0]
    given = [{name: changed(name, option.default)} for name, option in table.items()]
    given.append({name: option.default for name, option in table.items()})
    ref, dis = demo_pair
    branches = [Branch(extracting(extraction_of({extractor: options}))) for options in given]
    logs, _ = ffmpeg.branches(ref, dis, branches, 0)
    for options, log in zip(given, logs, strict=True):
        keys = log_keys(feature_of(stem, options).name)[:2]
        assert any(f'"{key}":' in log for key in keys), (options, keys, log[:900])
    assert feature_of(stem, given[-1]) == Feature(stem)


@pytest.mark.parametrize("name", TEACHERS)
def test_names_of_features_are_read_back(name):
    for feature in find_teacher(name).logged:
        assert parse_feature(feature).name == feature


@pytest.mark.parametrize("name", ["psnr", "adm2_", "adm2_odd_3", "adm3_egl", "vif_scale4", ""])
def test_other_names_are_no_features(name):
    with pytest.raises(InputError, match="unknown feature"):
        parse_feature(name)


def test_an_option_that_nobody_knows_is_refused_by_name():
    with pytest.raises(InputError, match="adm_p_norm"):
        feature_of("adm2", {"adm_p_norm": 4})
    assert np.isclose(feature_of("adm2", {"adm_dlm_weight": 0.7}).option("adm_dlm_weight"), 0.7)
