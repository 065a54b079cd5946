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
    return np.random.default_rng(seed).uniform(0, 1.05, (n, 6)) * (1, 1, 1, 1, 1, 40)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x08\x08" + bytes(100)])
def test_bytes_that_are_no_onnx_model_are_refused(content):
    with pytest.raises(InputError, match=r"some\.onnx is not an ONNX model"):
        OnnxStudent(content, "some.onnx")


def tiny_model(inputs, outputs, width=6, element=TensorProto.FLOAT):
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
    return model.SerializeToString()


def test_a_foreign_model_from_six_features_to_one_score_a_row_is_taken():
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
def test_a_model_of_another_shape_is_refused_with_its_name(inputs, outputs, width, element):
    with pytest.raises(InputError, match=r"odd\.onnx") as caught:
        OnnxStudent(tiny_model(inputs, outputs, width, element), "odd.onnx")
    assert caught.value.exit_code == 2


def test_long_tables_are_scored_in_parts_that_do_not_show(loaded):
    student = loaded["mlp_small"]
    x_NF = box(ROWS_PER_CALL + 3)
    scores_N = student.score(x_NF)
    assert scores_N.dtype == np.float64 and scores_N.shape == (ROWS_PER_CALL + 3,)
    np.testing.assert_allclose(scores_N[-5:], student.score(x_NF[-5:]), rtol=0, atol=1e-4)


def test_a_clip_is_not_cut_where_windows_are_read(loaded, monkeypatch):
    student, x_NF = loaded["cnn1d"], box(11)
    whole_N = student.score(x_NF)
    monkeypatch.setattr("vmaf_train.onnx_file.inference.ROWS_PER_CALL", 4)
    assert student.score(x_NF).tolist() == whole_N.tolist()
    cut_N = np.concatenate([student.score(x_NF[:4]), student.score(x_NF[4:])])
    assert np.abs(cut_N - whole_N).max() > 0.01


def test_latency_is_told_for_a_row_and_for_a_clip(loaded):
    latency = loaded["mlp_medium"].measure_latency(calls=200)
    assert 0 < latency.row_p50_us <= latency.row_p95_us < 1e5
    assert 0 < latency.clip_p50_us <= latency.clip_p95_us
    assert latency.clip_p50_us > latency.row_p50_us
    assert latency.clip_rows == 240
