"""libvmaf's model JSON: what is written, and that it is read back number by number."""

import json

import numpy as np

from vmaf_train.features import FEATURE_SETS
from vmaf_train.onnx_file.libvmaf_json import read_json, write_json
from vmaf_train.onnx_file.polynomial import Kernels

LITE = FEATURE_SETS["lite"]


def some_kernels():
    draw = np.random.default_rng(3)
    points_PF = draw.integers(-1, 2, (40, 9)).astype(float)
    points_PF[0] = 0
    weights_P = draw.normal(size=40) * 10.0 ** draw.integers(-30, 30, 40)
    return Kernels(3, draw.random(9), -draw.random(9), points_PF, weights_P)


def test_every_number_is_read_back_as_it_was():
    kernels = some_kernels()
    again = read_json(write_json(kernels, LITE, {}))
    assert again.degree == 3
    for name in ("slopes_F", "shifts_F", "points_PF", "weights_P"):
        assert getattr(again, name).tolist() == getattr(kernels, name).tolist(), name


def test_the_model_names_features_options_and_the_range_of_scores():
    written = json.loads(write_json(some_kernels(), LITE, {"arch": "cubic"}))
    model = written["model_dict"]
    assert written["arch"] == "cubic"
    assert model["feature_names"][:2] == ["VMAF_integer_feature_adm2_score", "integer_adm_scale0"]
    skips = [dict(options) for options in model["feature_opts_dicts"]]
    assert skips == 5 * [{"adm_skip_aim": True}] + 3 * [{"vif_skip_scale0": True}] + [{}]
    assert model["score_clip"] == [0, 100]
    assert "score_transform" not in model
    assert len(model["slopes"]) == len(model["intercepts"]) == 10


def test_a_coordinate_that_is_zero_takes_no_text():
    text = json.loads(write_json(some_kernels(), LITE, {}))["model_dict"]["model"]
    header, lines = text.split("SV\n")
    assert "kernel_type polynomial\ndegree 3\n" in header and "total_sv 40\n" in header
    first, *_ = lines.splitlines()
    assert float(first) == some_kernels().weights_P[0]
    assert ":0" not in lines
