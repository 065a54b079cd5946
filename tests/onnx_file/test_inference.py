"""An ONNX file as a student: which files are refused, its scores, its latency."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from vmaf_train.errors import InputError
from vmaf_train.features import CANONICAL
from vmaf_train.frames.splits import split
from vmaf_train.onnx_file.inference import ROWS_PER_CALL, OnnxStudent
from vmaf_train.students.export import to_onnx
from vmaf_train.students.settings import Settings
from vmaf_train.students.training import fit

ARCHS = ("mlp_small", "mlp_medium", "cnn1d")


@pytest.fixture(scope="module")
def loaded(make_table):
    """A fitted student of each architecture, as its file is loaded."""
    train, val = split(make_table(), "Gamma")
    settings = Settings(epochs=3, batch_size=32, teacher_points=256)
    students = {arch: fit(arch, train, val, settings).student for arch in ARCHS}
    return {arch: OnnxStudent(to_onnx(students[arch], {}), arch) for arch in ARCHS}


def box(n=1000, seed=1):
    """Draw rows of the canonical features over the feature box."""
    return np.random.default_rng(seed).uniform(0, 1.05, (n, 6)) * (1, 1, 1, 1, 1, 40)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x08\x08" + bytes(100)])
def test_bytes_that_are_not_an_onnx_model_are_refused(content):
    with pytest.raises(InputError, match=r"some\.onnx is not an ONNX model"):
        OnnxStudent(content, "some.onnx")


def tiny_model(inputs, outputs, width=6, element=TensorProto.FLOAT, metadata=()):
    """Return an ONNX file that sums its inputs, as no exporter of ours writes it."""
    weights = numpy_helper.from_array(
        np.ones((width, outputs), helper.tensor_dtype_to_np_dtype(element)), "w"
    )
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", element, inputs)],
        [helper.make_tensor_value_info("y", element, [*inputs[:-1], outputs])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, dict(metadata))
    return model.SerializeToString()


def test_a_foreign_model_of_the_canonical_features_is_accepted():
    student = OnnxStudent(tiny_model(["N", 6], 1), "foreign.onnx")
    assert (student.facts, student.features) == ({}, CANONICAL.features)
    np.testing.assert_allclose(student.score(box(5)), box(5).sum(1), rtol=1e-6)


@pytest.mark.parametrize(
    ("inputs", "outputs", "width", "element"),
    [
        (["N", 5], 1, 5, TensorProto.FLOAT),
        (["N", 2, 6], 1, 6, TensorProto.FLOAT),
        (["N", 6], 2, 6, TensorProto.FLOAT),
        (["N", 6], 1, 6, TensorProto.DOUBLE),
    ],
    ids=["five features", "a cube", "two scores a row", "doubles"],
)
def test_a_model_of_another_shape_is_refused(inputs, outputs, width, element):
    with pytest.raises(InputError, match=r"odd\.onnx") as caught:
        OnnxStudent(tiny_model(inputs, outputs, width, element), "odd.onnx")
    assert caught.value.exit_code == 2


METADATA = [
    (
        {"vmaf_train.features": '["adm2", "psnr"]'},
        r"odd\.onnx reads what libvmaf does not compute: unknown feature 'psnr'; ",
    ),
    ({"vmaf_train.arch": "{"}, r"odd\.onnx has metadata of vmaf-train that is no JSON"),
]


@pytest.mark.parametrize(("metadata", "message"), METADATA, ids=["unknown feature", "no JSON"])
def test_metadata_that_cannot_be_used_is_refused(metadata, message):
    with pytest.raises(InputError, match=message):
        OnnxStudent(tiny_model(["N", 6], 1, metadata=metadata), "odd.onnx")


def test_a_score_that_is_not_finite_is_refused_with_its_frame():
    student = OnnxStudent(tiny_model(["N", 6], 1), "it")
    x_NF = box(5)
    x_NF[3, 0] = np.nan
    with pytest.raises(InputError, match="no numbers, first for frame 3"):
        student.score(x_NF)


def test_a_long_table_is_scored_in_parts_with_the_same_scores(loaded):
    student = loaded["mlp_small"]
    x_NF = box(ROWS_PER_CALL + 3)
    scores_N = student.score(x_NF)
    assert scores_N.dtype == np.float64 and scores_N.shape == (ROWS_PER_CALL + 3,)
    np.testing.assert_allclose(scores_N[-5:], student.score(x_NF[-5:]), rtol=0, atol=1e-4)


def test_a_student_that_reads_windows_scores_a_clip_in_one_call(loaded, monkeypatch):
    student, x_NF = loaded["cnn1d"], box(11)
    whole_N = student.score(x_NF)
    monkeypatch.setattr("vmaf_train.onnx_file.inference.ROWS_PER_CALL", 4)
    assert student.score(x_NF).tolist() == whole_N.tolist()
    cut_N = np.concatenate([student.score(x_NF[:4]), student.score(x_NF[4:])])
    assert np.abs(cut_N - whole_N).max() > 0.01


def test_latency_is_measured_for_one_row_and_for_a_clip(loaded):
    latency = loaded["mlp_medium"].measure_latency(calls=200)
    assert 0 < latency.row_p50_us <= latency.row_p95_us < 1e5
    assert 0 < latency.clip_p50_us <= latency.clip_p95_us
    assert latency.clip_p50_us > latency.row_p50_us
    assert latency.clip_rows == 240
