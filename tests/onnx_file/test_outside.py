"""Models from outside: what breaks the contract, runs too long or gives nonsense is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from commandline import call
from onnx import TensorProto, helper, numpy_helper

from vmaf_train.errors import InputError
from vmaf_train.features import CANONICAL
from vmaf_train.onnx_file import outside
from vmaf_train.onnx_file.facts import METADATA_PREFIX
from vmaf_train.onnx_file.outside import student_from_outside

ROOT = Path(__file__).parents[2]
TINY = ROOT / "model" / "tiny"


def model_of(nodes, tensors=(), metadata=None):
    """Return the bytes of a model of the canonical features, whose last node gives `vmaf`."""
    graph = helper.make_graph(
        nodes,
        "outside",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 6])],
        [helper.make_tensor_value_info("vmaf", TensorProto.FLOAT, ["N"])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    return model.SerializeToString()


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs, [output], **attributes)


SUM = node("ReduceSum", ["features", "axis"], "sum", keepdims=0)
AXIS = ("axis", np.array([1], dtype=np.int64))


def scaled(factor):
    """Return a model that gives the sum of the features times a factor."""
    return model_of(
        [SUM, node("Mul", ["sum", "factor"], "vmaf")], [AXIS, ("factor", np.float32(factor))]
    )


# Two tensors of 200 KB, whose outer product has 40 GB.
WIDE = [
    ("column", np.ones((50_000, 1), np.float32)),
    ("row", np.ones((1, 200_000), np.float32)),
]
FORGED = {
    "one score for all rows": (
        model_of([node("Identity", ["one"], "vmaf")], [("one", np.ones(1, np.float32))]),
        "gives 1 scores for 7 frames",
    ),
    "two scores per row": (
        model_of([SUM, node("Concat", ["sum", "sum"], "vmaf", axis=0)], [AXIS]),
        "gives 2 scores for 1 frames",
    ),
    "a score of 150": (scaled(50.0), "gives a score of 150 for frame 0"),
    "a score of -150": (scaled(-50.0), "gives a score of -150 for frame 0"),
    "a score of 1e30": (scaled(1e30), "gives a score of 3e"),
    "no number": (scaled(np.nan), "no numbers, first for frame 0"),
    "a loop": (
        model_of([node("Range", ["a", "a", "a"], "vmaf")], [("a", np.float32(1))]),
        "operators outside the allow-list: Range",
    ),
    "40 GB": (
        model_of(
            [
                node("Mul", ["column", "row"], "all"),
                node("ReduceSum", ["all", "axes"], "total", keepdims=0),
                SUM,
                node("Mul", ["sum", "total"], "vmaf"),
            ],
            [AXIS, *WIDE, ("axes", np.array([0, 1], dtype=np.int64))],
        ),
        "in 4 GB of memory|cannot load|cannot score",
    ),
    "no ONNX": (b"\x08\x08" * 50, "not a valid ONNX file"),
    "nothing": (b"", "not a valid ONNX file|breaks the model contract"),
}
METADATA = {
    "deep nesting": ("teacher", "[" * 100_000, "is no JSON"),
    "an infinite number": ("target_mean", "1e999", "target_mean: Input should be a finite number"),
    "no number": ("target_mean", "NaN", "target_mean: Input should be a finite number"),
    "a huge integer": ("parameters", "9" * 4000, "parameters: "),
    "an integer of too many digits": ("parameters", "9" * 5000, "is no JSON"),
    "a list as text": ("arch", '["quintic"]', "arch: Input should be a valid string"),
    "true as a number": ("window", "true", "window: Input should be a valid integer"),
    "a window of no frame": ("window", "0", "window: Input should be greater than"),
    "a path as teacher": ("teacher", '"/etc/x.json"', "teacher: String should match pattern"),
    "a command for the terminal": ("arch", '"\\u001b[31mred"', "arch: String should match"),
    "too long": ("corpus", '"' + "a" * 2_000_000 + '"', "too long: corpus"),
    "unknown features": ("features", '["psnr"]', "reads what libvmaf does not compute"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_model_that_is_no_student_is_refused_in_a_line(name, tmp_path):
    content, message = FORGED[name]
    with pytest.raises(InputError, match=message):
        student_from_outside(content, "it.onnx")


@pytest.mark.parametrize("name", METADATA)
def test_metadata_of_the_wrong_kind_is_refused_in_a_line(name):
    key, value, message = METADATA[name]
    content = model_of([node("Identity", ["sum"], "vmaf"), SUM][::-1], [AXIS])
    model = onnx.load_model_from_string(content)
    helper.set_model_props(model, {METADATA_PREFIX + key: value})
    with pytest.raises(InputError, match=message):
        student_from_outside(model.SerializeToString(), "it.onnx")


def test_a_model_that_keeps_the_contract_is_loaded_and_scores(tmp_path):
    student = student_from_outside(scaled(10.0), "it.onnx")
    assert student.features == CANONICAL.features
    assert student.score(np.ones((3, 6))).tolist() == [60.0] * 3


def test_a_model_that_takes_too_long_is_ended(monkeypatch):
    monkeypatch.setattr(outside, "MOST_SECONDS", 0.01)
    with pytest.raises(InputError, match=r"does not score 7 frames in 0\.01 s"):
        student_from_outside(scaled(11.0), "it.onnx")


@pytest.mark.parametrize("command", ["score", "evaluate"])
def test_score_and_evaluate_ask_for_the_contract(command, tmp_path, store):
    path = tmp_path / "it.onnx"
    path.write_bytes(FORGED["a loop"][0])
    log = tmp_path / "log.json"
    log.write_text("{}")
    words = {"score": ["--log", log], "evaluate": ["--corpus", "real"]}[command]
    done = call(command, *words, "--model", path)
    assert done.exit_code == 2
    assert "operators outside the allow-list" in " ".join(done.stderr.split())


# shipped models


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Work in a checkout with one shipped model."""
    folder = tmp_path / "checkout" / "model" / "tiny"
    folder.mkdir(parents=True)
    for name in ("vmaf_tiny_exact.onnx", "vmaf_tiny_exact.json"):
        shutil.copy(TINY / name, folder)
    monkeypatch.chdir(tmp_path / "checkout")
    return folder


@pytest.fixture
def vmaf_log(tmp_path):
    frames = [
        {"frameNum": number, "metrics": {f"integer_{name}": 0.5 for name in CANONICAL.features}}
        for number in range(3)
    ]
    path = tmp_path / "log.json"
    path.write_text(json.dumps({"version": "1", "frames": frames}))
    return path


def test_no_flipped_bit_of_a_shipped_model_gives_a_score(tree, vmaf_log):
    path = tree / "vmaf_tiny_exact.onnx"
    content = path.read_bytes()
    assert call("score", "--log", vmaf_log).exit_code == 0
    for bit in np.random.default_rng(0).choice(8 * len(content), 24, replace=False):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(flipped)
        for model in ("vmaf_tiny_exact", path):
            done = call("score", "--log", vmaf_log, "--model", model)
            assert (done.exit_code, done.stdout) == (2, "")
            assert "is not the file that its sidecar is of" in " ".join(done.stderr.split())


def test_a_shipped_model_without_its_sidecar_gives_no_score(tree, vmaf_log):
    (tree / "vmaf_tiny_exact.json").unlink()
    done = call("score", "--log", vmaf_log)
    assert done.exit_code == 2
    assert "has no sidecar vmaf_tiny_exact.json" in " ".join(done.stderr.split())
