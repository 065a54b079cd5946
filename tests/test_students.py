import dataclasses
import hashlib
import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from vmaf_train.contract import ALLOWED_OPERATORS, check_contract
from vmaf_train.dataset import split
from vmaf_train.errors import InputError, VmafTrainError
from vmaf_train.export import check_same_scores, to_onnx
from vmaf_train.features import CANONICAL
from vmaf_train.inference import ROWS_A_CALL, OnnxStudent
from vmaf_train.models import ARCHITECTURES, build, find_architecture
from vmaf_train.training import Settings, fit, one_cycle

ARCHS = ("linear", "mlp_small", "mlp_medium")
SHORT = Settings(epochs=3, batch_size=64)


@pytest.fixture
def rows(make_table):
    """Training and validation rows."""
    return split(make_table(), "Gamma")


@pytest.fixture(scope="module")
def exported(make_table):
    """A fitted student of each architecture, its ONNX bytes, and these loaded."""
    train, val = split(make_table(), "Gamma")
    students = {arch: fit(arch, train, val, SHORT).student for arch in ARCHS}
    contents = {arch: to_onnx(student, CANONICAL.features, {"hold_out": "Gamma"}) for arch, student in students.items()}
    return {arch: (students[arch], contents[arch], OnnxStudent(contents[arch], arch)) for arch in ARCHS}


def box(n=1000, seed=1):
    return np.random.default_rng(seed).uniform(0, 1.05, (n, 6)) * (1, 1, 1, 1, 1, 40)


def bytes_of(arch, train, val, settings=SHORT):
    return to_onnx(fit(arch, train, val, settings).student, train.features, {})


def weights_of(student):
    return [weights.detach().numpy().tolist() for weights in student.layers.parameters()]


# models


@pytest.mark.parametrize(("arch", "count"), [("linear", 7), ("mlp_small", 257), ("mlp_medium", 2561)])
def test_the_number_of_parameters_is_as_published(arch, count, exported):
    student, content, _ = exported[arch]
    assert sum(weights.numel() for weights in student.parameters()) == student.n_parameters == count
    floats = [
        t for t in onnx.load_model_from_string(content).graph.initializer if t.name.startswith(("weight", "bias"))
    ]
    assert sum(int(np.prod(tensor.dims)) for tensor in floats) == count


def test_the_stated_number_of_parameters_is_held_against_the_model(monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "linear", dataclasses.replace(ARCHITECTURES["linear"], parameters=8))
    with pytest.raises(AssertionError, match="linear"):
        build("linear", CANONICAL.features, 0)


def test_an_unknown_arch_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="unknown arch 'mlp_tiny'; choose one of: linear, mlp_small, mlp_medium"):
        find_architecture("mlp_tiny")


def test_a_fresh_student_depends_on_the_seed_alone():
    first = weights_of(build("mlp_small", CANONICAL.features, 3))
    torch.rand(5)
    assert weights_of(build("mlp_small", CANONICAL.features, 3)) == first
    assert weights_of(build("mlp_small", CANONICAL.features, 4)) != first


def test_scores_of_the_torch_model_are_clipped(exported):
    wild = torch.from_numpy(box() * 50 - 20)
    with torch.inference_mode():
        scores_N = exported["linear"][0](wild)
    assert (float(scores_N.min()), float(scores_N.max())) == (0.0, 100.0)


# training


@pytest.mark.parametrize("arch", ARCHS)
def test_the_same_seed_gives_the_same_onnx_bytes(arch, rows):
    assert bytes_of(arch, *rows) == bytes_of(arch, *rows)


@pytest.mark.parametrize("arch", ["mlp_small", "mlp_medium"])
def test_another_seed_gives_other_bytes(arch, rows):
    assert bytes_of(arch, *rows) != bytes_of(arch, *rows, dataclasses.replace(SHORT, seed=1))


def test_the_seed_decides_the_order_of_the_rows_too(rows, monkeypatch):
    drawn = build("mlp_small", CANONICAL.features, 0)
    fresh = {name: weights.clone() for name, weights in drawn.state_dict().items()}

    def same_start(arch, features, seed):
        drawn.load_state_dict(fresh)
        return drawn

    monkeypatch.setattr("vmaf_train.training.build", same_start)
    first = bytes_of("mlp_small", *rows)
    assert bytes_of("mlp_small", *rows, dataclasses.replace(SHORT, seed=1)) != first
    assert bytes_of("mlp_small", *rows) == first


@pytest.mark.parametrize("arch", ARCHS)
def test_the_validation_rows_change_nothing_in_the_student(arch, rows):
    train, val = rows
    moved = dataclasses.replace(val, x_NF=val.x_NF * 3 + 1, y_N=val.y_N / 2)
    assert bytes_of(arch, train, moved) == bytes_of(arch, train, val)


def test_the_standardisation_is_that_of_the_training_rows(rows):
    train, val = rows
    student = fit("mlp_small", train, val, SHORT).student
    np.testing.assert_allclose(student.x_mean_F.numpy(), train.x_NF.mean(0), rtol=1e-12)
    np.testing.assert_allclose(student.x_std_F.numpy(), train.x_NF.std(0), rtol=1e-12)
    np.testing.assert_allclose(float(student.y_mean), train.y_N.mean(), rtol=1e-12)
    np.testing.assert_allclose(float(student.y_std), train.y_N.std(), rtol=1e-12)


def test_the_linear_student_is_the_least_squares_solution(rows):
    train, val = rows
    solution = np.linalg.lstsq(np.column_stack([train.x_NF, np.ones(len(train))]), train.y_N, rcond=None)[0]
    expected_N = (np.column_stack([val.x_NF, np.ones(len(val))]) @ solution).clip(0, 100)
    student = OnnxStudent(bytes_of("linear", train, val), "linear")
    np.testing.assert_allclose(student.score(val.x_NF), expected_N, rtol=0, atol=1e-3)
    assert np.ptp(expected_N) > 20


@pytest.mark.parametrize("arch", ARCHS)
def test_no_epochs_keep_the_initial_weights_and_tell_nothing(arch, rows):
    done = fit(arch, *rows, Settings(epochs=0, seed=5))
    assert weights_of(done.student) == weights_of(build(arch, CANONICAL.features, 5))
    assert done.history == ()


@pytest.mark.parametrize("arch", ["mlp_small", "mlp_medium"])
def test_more_epochs_reduce_the_training_loss(arch, rows):
    losses = [fit(arch, *rows, dataclasses.replace(SHORT, epochs=n)).history[-1].train_loss for n in (1, 5, 25)]
    assert losses[0] > 2 * losses[1] > 4 * losses[2]


def test_every_epoch_is_told_with_the_held_out_error(rows):
    told = []
    done = fit("mlp_small", *rows, SHORT, told.append)
    assert [epoch.number for epoch in told] == [1, 2, 3]
    assert done.history == tuple(told)
    with torch.inference_mode():
        error_N = done.student(torch.from_numpy(rows[1].x_NF)).numpy() - rows[1].y_N
    assert told[-1].val_rmse == pytest.approx(np.sqrt(np.mean(error_N**2)), rel=1e-6)
    assert told[0].val_rmse != told[-1].val_rmse


def test_the_linear_student_takes_one_step_however_many_epochs_are_asked_for(rows):
    (epoch,) = fit("linear", *rows, SHORT).history
    train = rows[0]
    design = np.column_stack([train.x_NF, np.ones(len(train))])
    residual_N = design @ np.linalg.lstsq(design, train.y_N, rcond=None)[0] - train.y_N
    assert (epoch.number, epoch.train_loss) == (1, pytest.approx(np.var(residual_N) / np.var(train.y_N), rel=1e-4))


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("constant", [0.0, 1.0, 0.1, 0.3, 1 / 3])
def test_a_constant_feature_has_no_say_and_gives_no_nan(arch, constant, rows):
    train, val = (dataclasses.replace(part, x_NF=part.x_NF.copy()) for part in rows)
    train.x_NF[:, 1] = val.x_NF[:, 1] = constant
    student = fit(arch, train, val, SHORT).student
    exported = OnnxStudent(to_onnx(student, train.features, {}), arch)
    check_same_scores(exported, student, train.x_NF)
    held_N = exported.score(val.x_NF)
    assert np.isfinite(held_N).all() and np.ptp(held_N) > 10
    # A value that differs in the last places, as of another frame, may move the score by no more than that.
    val.x_NF[:, 1] = np.float32(constant)
    np.testing.assert_allclose(exported.score(val.x_NF), held_N, rtol=0, atol=1e-3)
    with torch.inference_mode():
        np.testing.assert_allclose(student(torch.from_numpy(val.x_NF)).numpy(), held_N, rtol=0, atol=1e-3)


@pytest.mark.parametrize("arch", ARCHS)
def test_constant_scores_are_learnt_as_that_constant(arch, rows):
    train, val = (dataclasses.replace(part, y_N=np.full(len(part), 42.0)) for part in rows)
    settings = dataclasses.replace(SHORT, epochs=60)
    scored_N = OnnxStudent(bytes_of(arch, train, val, settings), arch).score(train.x_NF)
    assert np.abs(scored_N - 42).max() < 0.5


def test_the_learning_rate_goes_up_and_then_down_to_almost_nothing():
    rates = one_cycle(0.04, 100)
    top = int(rates.argmax())
    assert 20 <= top <= 30
    assert (np.diff(rates[: top + 1]) > 0).all() and (np.diff(rates[top:]) < 0).all()
    assert rates.max() == pytest.approx(0.04, rel=0.01)
    assert 0 < rates[0] < 0.001 and 0 < rates[-1] < 0.001


# export


@pytest.mark.parametrize("arch", ARCHS)
def test_the_onnx_file_scores_as_the_torch_model_does(arch, exported):
    student, _, loaded = exported[arch]
    x_NF = box()
    with torch.inference_mode():
        expected_N = student(torch.from_numpy(x_NF)).numpy()
    assert np.abs(loaded.score(x_NF) - expected_N).max() < 1e-4
    assert np.ptp(expected_N) > 20
    assert check_same_scores(loaded, student, x_NF) < 1e-4


def test_a_file_of_another_student_is_refused(exported):
    with pytest.raises(VmafTrainError, match="score points off the torch model"):
        check_same_scores(exported["mlp_small"][2], exported["mlp_medium"][0], box(50))


def test_scores_that_are_no_numbers_are_refused(exported):
    x_NF = box(50)
    x_NF[7, 0] = np.nan
    with pytest.raises(VmafTrainError, match="scores that are no numbers, first for frame 7"):
        check_same_scores(exported["linear"][2], exported["linear"][0], x_NF)


@pytest.mark.parametrize("arch", ARCHS)
def test_what_is_exported_keeps_the_contract(arch, exported):
    content = exported[arch][1]
    check_contract(content)
    model = onnx.load_model_from_string(content)
    assert (model.ir_version, [(o.domain, o.version) for o in model.opset_import]) == (8, [("", 17)])
    assert {node.op_type for node in model.graph.node} <= {"Gemm", "Tanh", "Squeeze", "Clip"} <= ALLOWED_OPERATORS
    (taken,), (given,) = model.graph.input, model.graph.output
    assert (taken.name, given.name) == ("features", "vmaf")
    assert [d.dim_param or d.dim_value for d in taken.type.tensor_type.shape.dim] == ["N", 6]
    assert [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim] == ["N"]


@pytest.mark.parametrize("arch", ARCHS)
def test_a_bare_onnxruntime_in_another_folder_runs_the_file(arch, exported, tmp_path):
    _, content, loaded = exported[arch]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "student.onnx").write_bytes(content)
    x_NF = np.concatenate([box(20), box(5) * 1000, box(5) * -1000]).astype(np.float32)
    np.save(tmp_path / "rows.npy", x_NF)
    code = (
        "import json, sys, numpy, onnxruntime\n"
        "session = onnxruntime.InferenceSession('../student.onnx', providers=['CPUExecutionProvider'])\n"
        "x_NF = numpy.load('../rows.npy')\n"
        "runs = [session.run(['vmaf'], {'features': x_NF[:n]})[0] for n in (1, 30)]\n"
        "assert not {'torch', 'onnx', 'vmaf_train'} & set(sys.modules), sorted(sys.modules)\n"
        "print(json.dumps([[str(run.dtype), run.shape, run.tolist()] for run in runs]))"
    )
    command = [sys.executable, "-I", "-c", code]
    said = subprocess.run(command, cwd=tmp_path / "elsewhere", capture_output=True, text=True, check=True).stdout
    (dtype, shape, first), (_, whole_shape, scores) = json.loads(said)
    assert (dtype, shape, whole_shape) == ("float32", [1], [30])
    assert first == scores[:1]
    assert scores == loaded.score(x_NF).tolist()
    assert min(scores) >= 0 and max(scores) <= 100


@pytest.mark.parametrize("n", [1, 2, 1000])
def test_the_output_is_one_float32_a_row_for_any_number_of_rows(n, exported):
    session = onnxruntime.InferenceSession(exported["mlp_small"][1], providers=["CPUExecutionProvider"])
    (scores_N,) = session.run(None, {"features": box(n).astype(np.float32)})
    assert (scores_N.dtype, scores_N.shape) == (np.float32, (n,))


def test_the_output_is_clipped_to_0_and_100(exported):
    scores_N = exported["linear"][2].score(np.concatenate([box() * 1000, box() * -1000]))
    assert (scores_N.min(), scores_N.max()) == (0.0, 100.0)


def test_the_file_knows_what_it_is(exported, rows):
    student, content, _ = exported["mlp_small"]
    loaded = OnnxStudent(to_onnx(student, CANONICAL.features, {"train_sources": ("Alpha", "Beta")}), "it")
    assert loaded.facts == {
        "arch": "mlp_small",
        "features": list(CANONICAL.features),
        "parameters": 257,
        "target_mean": pytest.approx(rows[0].y_N.mean()),
        "train_sources": ["Alpha", "Beta"],
    }
    assert loaded.features == CANONICAL.features
    assert OnnxStudent(content, "it").sha256 == hashlib.sha256(content).hexdigest()


def test_exporting_leaves_the_student_as_it_was(exported):
    student = exported["linear"][0]
    before = weights_of(student)
    first = to_onnx(student, CANONICAL.features, {})
    assert weights_of(student) == before
    assert to_onnx(student, CANONICAL.features, {}) == first


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
            wide = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name)
            tensor.CopyFrom(wide)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.DOUBLE


def second_output(model):
    model.graph.output.add().CopyFrom(helper.make_tensor_value_info("unclipped", TensorProto.FLOAT, ["N"]))


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
    ("change", "fact"),
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
def test_a_file_that_breaks_the_contract_is_refused_with_the_fact(change, fact, exported):
    content = changed(exported["mlp_small"][1], change)
    with pytest.raises(VmafTrainError, match=r"breaks the model contract|not a valid ONNX file") as caught:
        check_contract(content)
    assert fact in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_bytes_that_are_no_onnx_file_break_the_contract(content):
    with pytest.raises(VmafTrainError, match="not a valid ONNX file"):
        check_contract(content)


# inference


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x08\x08" + bytes(100)])
def test_bytes_that_are_no_onnx_model_are_refused(content):
    with pytest.raises(InputError, match=r"some\.onnx is not an ONNX model"):
        OnnxStudent(content, "some.onnx")


def tiny_model(inputs, outputs, width=6, element=TensorProto.FLOAT):
    weights = numpy_helper.from_array(np.ones((width, outputs), helper.tensor_dtype_to_np_dtype(element)), "w")
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


def test_long_tables_are_scored_in_parts_that_do_not_show(exported):
    loaded = exported["mlp_small"][2]
    x_NF = box(ROWS_A_CALL + 3)
    scores_N = loaded.score(x_NF)
    assert scores_N.dtype == np.float64 and scores_N.shape == (ROWS_A_CALL + 3,)
    np.testing.assert_allclose(scores_N[-5:], loaded.score(x_NF[-5:]), rtol=0, atol=1e-4)


def test_latency_is_told_for_a_row_and_for_a_clip(exported):
    latency = exported["mlp_medium"][2].measure_latency(calls=200)
    assert 0 < latency.row_p50_us <= latency.row_p95_us < 1e5
    assert 0 < latency.clip_p50_us <= latency.clip_p95_us
    assert latency.clip_p50_us > latency.row_p50_us
    assert latency.clip_rows == 240
