"""The model files for libvmaf: scored by a real ffmpeg, they agree with the ONNX files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import write_corpus

from vmaf_train.clips.layouts import scan
from vmaf_train.clips.video import YuvFormat
from vmaf_train.errors import InputError
from vmaf_train.extraction.libvmaf import score_with
from vmaf_train.extraction.schedule import Pass
from vmaf_train.features import CANONICAL, FEATURE_SETS, set_of
from vmaf_train.frames.splits import split
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.onnx_file.libvmaf_json import read_json
from vmaf_train.shipping.libvmaf_model import libvmaf_model_of, runs_in_libvmaf
from vmaf_train.students.architectures import build
from vmaf_train.students.export import export_student, to_onnx
from vmaf_train.students.settings import Settings
from vmaf_train.students.training import fit
from vmaf_train.teacher.model_file import read_model

TINY = Path(__file__).parents[2] / "model" / "tiny"
SIZE = (160, 90)
SWAPPED = ("vif_scale0", "adm2", *CANONICAL.features[2:])


def student_of(path):
    return OnnxStudent(path.read_bytes(), path.stem)


def trained(arch, features, table):
    """Fit a student on a random table, as quickly as can be, and export it."""
    settings = Settings(epochs=1, teacher_points=256, features=features)
    fitted = fit(arch, *split(table, "Gamma"), settings)
    return export_student(fitted.student, {}, table)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = write_corpus(tmp_path_factory.mktemp("pairs") / "c", frames=8, dims=SIZE)
    return scan(folder, YuvFormat(*SIZE)).pairs[0]


STUDENTS = [
    ("quintic", "canonical"),
    ("quadratic", "lite"),
    ("cubic", "lite_vif"),
    ("quadratic", "fast"),
    ("linear", "canonical"),
    ("teacher_svr", "canonical"),
]


@pytest.mark.parametrize(("arch", "features"), STUDENTS)
def test_libvmaf_scores_every_frame_like_the_onnx_file(arch, features, wide_table, ffmpeg, pair):
    student = trained(arch, features, wide_table)
    model = libvmaf_model_of(student, arch)
    score_N = score_with(model.content, pair.ref, pair.dis, ffmpeg, threads=0)
    # The features of a pass that skips nothing.
    (whole,) = ffmpeg.extract(Pass((pair,)))
    columns = [whole.features.index(name) for name in student.features]
    expected_N = student.score(whole.x_NF[:, columns])
    assert len(score_N) == 8 and np.ptp(expected_N) > 0.1
    np.testing.assert_allclose(score_N, expected_N, atol=1e-3)


def test_the_file_of_the_teacher_scores_like_the_teacher_without_the_transform_for_phones(
    wide_table, ffmpeg, pair, tmp_path
):
    model = libvmaf_model_of(trained("teacher_svr", "canonical", wide_table), "it")
    (whole,) = ffmpeg.extract(Pass((pair,)))
    score_N = score_with(model.content, pair.ref, pair.dis, ffmpeg, threads=0)
    assert score_N.tolist() == whole.scores["vmaf_v0.6.1"].tolist()
    assert "score_transform" not in json.loads(model.content)["model_dict"]
    (tmp_path / "it.json").write_bytes(model.content)
    assert len(read_model(tmp_path / "it.json").svr.weights_S) == model.points == 211


@pytest.mark.parametrize("features", ["canonical", "fast"])
def test_a_network_is_refused_with_the_polynomial_to_train_instead(features):
    net = build("mlp_small", FEATURE_SETS[features].features, seed=0)
    student = OnnxStudent(to_onnx(net, {}), "it")
    assert not runs_in_libvmaf(student)
    message = (
        "it: mlp_small is no polynomial, libvmaf cannot run it; "
        f"train --arch quintic --features {features} gives one that it can"
    )
    with pytest.raises(InputError) as caught:
        libvmaf_model_of(student, "it")
    assert str(caught.value) == message


def relabelled(student, **facts):
    """Return a student whose file states other facts; None removes one."""
    model = onnx.load_model_from_string(student.content)
    kept = [p for p in model.metadata_props if p.key.removeprefix("vmaf_train.") not in facts]
    named = [(p.key, p.value) for p in kept]
    named += [(f"vmaf_train.{key}", json.dumps(value)) for key, value in facts.items() if value]
    onnx.helper.set_model_props(model, dict(named))
    return OnnxStudent(model.SerializeToString(), "relabelled")


@pytest.mark.parametrize(
    ("path", "arch", "message"),
    [
        ("vmaf_tiny_exact", None, "it: its metadata names no arch, libvmaf cannot run it; train"),
        ("vmaf_tiny_exact", "cubic", "it cannot be converted: its metadata says cubic, but its"),
        ("vmaf_tiny_exact", "teacher_svr", "its metadata says teacher_svr, but its scores are"),
        ("vmaf_tiny_v1", "quintic", "it cannot be converted: it has operators that no polynomial"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(path, arch, message):
    student = relabelled(student_of(TINY / f"{path}.onnx"), arch=arch)
    with pytest.raises(InputError, match=message):
        libvmaf_model_of(student, "it")


def test_a_polynomial_of_nine_features_is_exact_and_small(wide_table):
    student = trained("cubic", "lite", wide_table)
    model = libvmaf_model_of(student, "it")
    assert (model.degree, model.points) == (3, 220)
    assert model.max_error < 1e-9
    assert len(model.content) < 12_000


def test_the_stated_error_is_that_of_the_written_file(wide_table):
    # Random vectors of a draw of their own, against the file as it is read back.
    student = trained("quintic", "canonical", wide_table)
    model = libvmaf_model_of(student, "it")
    highest_F = wide_table.teacher.box_of(CANONICAL.features).highest_F
    x_NF = np.random.default_rng(9).random((500, 6)) * highest_F
    score_N = read_json(model.content).score(x_NF).clip(0, 100)
    np.testing.assert_allclose(score_N, student.score(x_NF), atol=1e-2)
    assert 0 < model.max_error < 1e-8


def test_a_file_that_names_its_features_in_another_order_is_refused():
    student = relabelled(student_of(TINY / "vmaf_tiny_exact.onnx"), features=list(SWAPPED))
    assert set_of(student.features).name == "other"
    with pytest.raises(InputError, match=r"it reads vif_scale0, adm2, .* no known feature set"):
        libvmaf_model_of(student, "it")


def test_the_options_of_the_set_decide_what_libvmaf_skips(wide_table, ffmpeg, pair, monkeypatch):
    student = trained("linear", "lite", wide_table)
    plain = replace(FEATURE_SETS["lite"], extractors={"vif": {}, "adm": {}, "motion": {}})
    skipping = libvmaf_model_of(student, "it").content
    assert b"vif_skip_scale0" in skipping and b"adm_skip_aim" in skipping
    whole = json.loads(skipping)
    whole["model_dict"]["feature_opts_dicts"] = [dict(plain.options_of(n)) for n in plain.features]
    both = [
        score_with(content, pair.ref, pair.dis, ffmpeg, threads=0).tolist()
        for content in (skipping, json.dumps(whole).encode())
    ]
    assert both[0] == both[1]
