"""ONNX files of students: the same scores, the contract, the cheapest operators, the metadata."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from fits import random_features, scores_of, weights_of
from onnx import TensorProto, helper, numpy_helper

from vmaf_train.errors import VmafTrainError
from vmaf_train.features import CANONICAL
from vmaf_train.frames.splits import split
from vmaf_train.onnx_file.contract import ALLOWED_OPERATORS, check_contract
from vmaf_train.onnx_file.inference import OnnxStudent
from vmaf_train.students.architectures import ARCHITECTURES
from vmaf_train.students.export import WRITERS, check_same_scores, to_onnx
from vmaf_train.students.nets import WINDOW
from vmaf_train.students.settings import Settings
from vmaf_train.students.training import fit
from vmaf_train.teacher.teachers import DEFAULT_TEACHER

ARCHS = tuple(ARCHITECTURES)
SHORT = Settings(epochs=3, batch_size=32, teacher_points=256)


@pytest.fixture(scope="module")
def exported(make_table):
    """A fitted student of each architecture, its ONNX bytes, and these loaded."""
    train, val = split(make_table(), "Gamma")
    students = {arch: fit(arch, train, val, SHORT).student for arch in ARCHS}
    contents = {arch: to_onnx(student, {"hold_out": "Gamma"}) for arch, student in students.items()}
    return {
        arch: (students[arch], contents[arch], OnnxStudent(contents[arch], arch)) for arch in ARCHS
    }


def test_every_net_of_the_table_has_a_writer():
    nets = {
        type(row.net(len(CANONICAL.features), DEFAULT_TEACHER)) for row in ARCHITECTURES.values()
    }
    assert set(WRITERS) == nets


@pytest.mark.parametrize("arch", ["linear", "mlp_small", "mlp_medium"])
def test_the_file_of_a_dense_student_holds_its_parameters_and_no_others(arch, exported):
    tensors = onnx.load_model_from_string(exported[arch][1]).graph.initializer
    n_stored = sum(int(np.prod(t.dims)) for t in tensors if t.data_type == TensorProto.FLOAT)
    # The other two are the lowest and the highest score.
    assert n_stored == ARCHITECTURES[arch].parameters + 2


@pytest.mark.parametrize("arch", ARCHS)
def test_the_onnx_file_scores_as_the_torch_model_does(arch, exported):
    student, _, loaded = exported[arch]
    # The teacher's kernel sum loses more digits than a student's weights.
    bound = 2e-3 if arch == "teacher_svr" else 1e-4
    for n in (1, 2, 3, 1000):
        x_NF = random_features(n).astype(np.float32)
        expected_N = scores_of(student, x_NF)
        assert np.abs(loaded.score(x_NF) - expected_N).max() < bound
    assert np.ptp(expected_N) > 20
    assert check_same_scores(loaded, student, x_NF, bound) < bound


def test_a_file_of_another_student_is_refused(exported):
    with pytest.raises(VmafTrainError, match="score points off the torch model"):
        check_same_scores(exported["mlp_small"][2], exported["mlp_medium"][0], random_features(50))


def test_scores_that_are_not_finite_are_refused(exported):
    x_NF = random_features(50)
    x_NF[7, 0] = np.nan
    with pytest.raises(VmafTrainError, match="scores that are no numbers, first for frame 7"):
        check_same_scores(exported["linear"][2], exported["linear"][0], x_NF)


@pytest.mark.parametrize("arch", ARCHS)
def test_an_exported_file_keeps_the_contract(arch, exported):
    content = exported[arch][1]
    check_contract(content)
    model = onnx.load_model_from_string(content)
    assert (model.ir_version, [(o.domain, o.version) for o in model.opset_import]) == (
        8,
        [("", 17)],
    )
    assert {node.op_type for node in model.graph.node} <= ALLOWED_OPERATORS
    (taken,), (given,) = model.graph.input, model.graph.output
    assert (taken.name, given.name) == ("features", "vmaf")
    assert [d.dim_param or d.dim_value for d in taken.type.tensor_type.shape.dim] == [
        axis := "N" if ARCHITECTURES[arch].window == 1 else "T",
        6,
    ]
    assert [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim] == [axis]


def test_each_net_has_its_cheapest_operators(exported):
    operators = {
        arch: [n.op_type for n in onnx.load_model_from_string(exported[arch][1]).graph.node]
        for arch in ARCHS
    }
    assert operators["linear"] == ["Gemm", "Squeeze", "Clip"]
    assert operators["quadratic"] == ["Gemm", "Mul", "Gemm", "Squeeze", "Clip"]
    assert operators["quartic"] == ["Gemm", "Mul", "MatMul", "Mul", "ReduceSum", "Clip"]
    assert operators["mlp_small"] == ["Gemm", "Tanh", "Gemm", "Tanh", "Gemm", "Squeeze", "Clip"]
    # Batch normalisation is folded into the dense layers.
    assert operators["mlp_bn"] == ["Gemm", "Tanh"] * 3 + ["Gemm", "Squeeze", "Clip"]


@pytest.mark.parametrize("arch", ["cnn1d", "transformer"])
def test_a_student_that_reads_windows_sees_two_frames_either_way_and_no_further(arch, exported):
    loaded, x_NF = exported[arch][2], random_features(11)
    moved_NF = x_NF.copy()
    moved_NF[5] = x_NF[6]
    changed = loaded.score(moved_NF) != loaded.score(x_NF)
    assert changed[3:8].any() and not changed[:3].any() and not changed[8:].any()
    assert loaded.window == WINDOW and exported["mlp_small"][2].window == 1


@pytest.mark.parametrize("arch", ["mlp_small", "quintic", "teacher_svr"])
def test_a_bare_onnxruntime_in_another_folder_runs_the_file(arch, exported, tmp_path):
    _, content, loaded = exported[arch]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "student.onnx").write_bytes(content)
    x_NF = np.concatenate(
        [random_features(20), random_features(5) * 1000, random_features(5) * -1000]
    ).astype(np.float32)
    np.save(tmp_path / "rows.npy", x_NF)
    code = (
        "import json, sys, numpy, onnxruntime\n"
        "providers = ['CPUExecutionProvider']\n"
        "session = onnxruntime.InferenceSession('../student.onnx', providers=providers)\n"
        "x_NF = numpy.load('../rows.npy')\n"
        "runs = [session.run(['vmaf'], {'features': x_NF[:n]})[0] for n in (1, 30)]\n"
        "assert not {'torch', 'onnx', 'vmaf_train'} & set(sys.modules), sorted(sys.modules)\n"
        "print(json.dumps([[str(run.dtype), run.shape, run.tolist()] for run in runs]))"
    )
    command = [sys.executable, "-I", "-c", code]
    said = subprocess.run(
        command, cwd=tmp_path / "elsewhere", capture_output=True, text=True, check=True
    ).stdout
    (dtype, shape, first), (_, whole_shape, scores) = json.loads(said)
    assert (dtype, shape, whole_shape) == ("float32", [1], [30])
    assert first == scores[:1]
    assert scores == loaded.score(x_NF).tolist()
    assert min(scores) >= 0 and max(scores) <= 100


@pytest.mark.parametrize("n", [1, 2, 1000])
def test_the_output_is_one_float32_per_row_for_any_number_of_rows(n, exported):
    session = onnxruntime.InferenceSession(
        exported["mlp_small"][1], providers=["CPUExecutionProvider"]
    )
    (scores_N,) = session.run(None, {"features": random_features(n).astype(np.float32)})
    assert (scores_N.dtype, scores_N.shape) == (np.float32, (n,))


def test_the_output_is_clipped_to_0_and_100(exported):
    scores_N = exported["linear"][2].score(
        np.concatenate([random_features() * 1000, random_features() * -1000])
    )
    assert (scores_N.min(), scores_N.max()) == (0.0, 100.0)


def test_the_metadata_names_the_student_and_the_given_facts(exported):
    student, content, _ = exported["mlp_small"]
    loaded = OnnxStudent(to_onnx(student, {"train_sources": ("Alpha", "Beta")}), "it")
    assert loaded.facts == {
        "arch": "mlp_small",
        "features": list(CANONICAL.features),
        "parameters": 257,
        "window": 1,
        "target_mean": float(student.y_mean),
        "train_sources": ["Alpha", "Beta"],
    }
    assert loaded.features == CANONICAL.features
    assert OnnxStudent(content, "it").sha256 == hashlib.sha256(content).hexdigest()


def test_exporting_leaves_the_student_as_it_was(exported):
    student = exported["linear"][0]
    before = weights_of(student)
    first = to_onnx(student, {})
    assert weights_of(student) == before
    assert to_onnx(student, {}) == first


def changed(content, change):
    model = onnx.load_model_from_string(content)
    change(model)
    return model.SerializeToString()


def sigmoid(model):
    next(node for node in model.graph.node if node.op_type == "Tanh").op_type = "Sigmoid"


def older_opset(model):
    model.opset_import[0].version = 16


def newer_format(model):
    model.ir_version = 9


def another_domain(model):
    model.opset_import.append(helper.make_opsetid("com.example", 1))


def rename_output(model):
    model.graph.output[0].name = model.graph.node[-1].output[0] = "score"


def rename_input(model):
    model.graph.input[0].name = model.graph.node[0].input[0] = "input"


def column_of_scores(model):
    squeeze = next(node for node in model.graph.node if node.op_type == "Squeeze")
    model.graph.node[-1].input[0] = squeeze.input[0]
    model.graph.node.remove(squeeze)
    model.graph.output[0].type.tensor_type.shape.dim.add().dim_value = 1


def doubles(model):
    for tensor in list(model.graph.initializer):
        if tensor.data_type == TensorProto.FLOAT:
            wide = numpy_helper.from_array(
                numpy_helper.to_array(tensor).astype(np.float64), tensor.name
            )
            tensor.CopyFrom(wide)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.DOUBLE


def second_output(model):
    model.graph.output.add().CopyFrom(
        helper.make_tensor_value_info("unclipped", TensorProto.FLOAT, ["N"])
    )


def one_row_only(model):
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1


def outside_data(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (sigmoid, "operators outside the allow-list: Sigmoid"),
        (older_opset, "opset is not 17"),
        (another_domain, "opset is not 17"),
        (newer_format, "IR version 9, not 8"),
        (rename_output, "'score'"),
        (rename_input, "'input'"),
        (column_of_scores, "input and output are"),
        (doubles, "input and output are"),
        (second_output, "'unclipped'"),
        (one_row_only, "input and output are"),
        (outside_data, "weight0"),
    ],
)
def test_a_file_that_breaks_the_contract_is_refused_with_the_reason(change, reason, exported):
    content = changed(exported["mlp_small"][1], change)
    with pytest.raises(
        VmafTrainError, match=r"breaks the model contract|not a valid ONNX file"
    ) as caught:
        check_contract(content)
    assert reason in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_bytes_that_are_not_an_onnx_file_break_the_contract(content):
    with pytest.raises(VmafTrainError, match="not a valid ONNX file"):
        check_contract(content)
