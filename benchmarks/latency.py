"""Latency of every architecture's ONNX file, against a bare network of mlp_small's size.

Usage: python benchmarks/latency.py [--rounds N]
One row on one thread. The bare graph is three Gemm and two Tanh from six inputs to one score per
row; it neither standardises nor clips. Files are timed in turn, in many rounds, so that other
work on the machine slows all of them alike.
"""

import time
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from statistics import median

import numpy as np
import onnxruntime
from common import header, in_turn, make_parser, ratios, row
from onnx import NodeProto, TensorProto, helper, numpy_helper

from vmaf_train.features import CANONICAL
from vmaf_train.onnx_file.contract import INPUT, IR_VERSION, OPSET, OUTPUT
from vmaf_train.students.architectures import ARCHITECTURES, build
from vmaf_train.students.export import to_onnx

CALLS = 2000
BARE = "bare mlp"
# Inputs, two hidden layers and the score.
SIZES = (6, 16, 8, 1)


def bare_mlp() -> bytes:
    """Return the ONNX file of a plain network with random weights."""
    nodes, last = layers()
    tensors = [numpy_helper.from_array(np.array([1]), "axes"), *weights()]
    nodes.append(helper.make_node("Squeeze", [last, "axes"], [OUTPUT]))
    graph = helper.make_graph(
        nodes,
        "bare",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", SIZES[0]])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N"])],
        tensors,
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    return bytes(model.SerializeToString())


def layers() -> tuple[list[NodeProto], str]:
    """Return the nodes of all layers, and the name of the last one's result."""
    nodes: list[NodeProto] = []
    given = INPUT
    for layer in range(len(SIZES) - 1):
        if layer:
            nodes.append(helper.make_node("Tanh", [given], [f"t{layer}"]))
            given = f"t{layer}"
        inputs = [given, f"w{layer}", f"b{layer}"]
        nodes.append(helper.make_node("Gemm", inputs, [f"g{layer}"], transB=1))
        given = f"g{layer}"
    return nodes, given


def weights() -> list[TensorProto]:
    """Return weights and biases of all layers."""
    draw = np.random.default_rng(0)
    tensors = []
    for layer, (inputs, outputs) in enumerate(pairwise(SIZES)):
        for name, shape in ((f"w{layer}", (outputs, inputs)), (f"b{layer}", (outputs,))):
            values = draw.normal(size=shape).astype(np.float32)
            tensors.append(numpy_helper.from_array(values, name))
    return tensors


def load(content: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def p50_us(session: onnxruntime.InferenceSession) -> float:
    """Return the median time per call with one row, in microseconds."""
    feed = {INPUT: np.full((1, SIZES[0]), 0.5, dtype=np.float32)}
    ticks = np.empty(CALLS + 1, dtype=np.int64)
    # Negative calls warm up; later calls overwrite their ticks.
    for call in range(-CALLS // 10, CALLS + 1):
        ticks[call] = time.perf_counter_ns()
        session.run(None, feed)
    return float(np.median(np.diff(ticks))) / 1000


def files(archs: Sequence[str]) -> dict[str, bytes]:
    """Return the untrained ONNX file of each architecture."""
    return {arch: to_onnx(build(arch, CANONICAL.features, 0), {}) for arch in archs}


def main() -> None:
    options = make_parser(__doc__, rounds=25).parse_args()
    contents = {BARE: bare_mlp()} | files(list(ARCHITECTURES))
    ways = {name: partial(p50_us, load(content)) for name, content in contents.items()}
    times = in_turn(ways, options.rounds)

    print(header("graph", "p50, µs", "ratio to the bare mlp"))
    for name, p50s in times.items():
        ratio = median(ratios(p50s, times[BARE]))
        print(row(name, f"{median(p50s):.2f}", f"{ratio:.3f}"))


if __name__ == "__main__":
    main()
