"""Latency of every architecture's ONNX file, one row on one thread, against a bare network of mlp_small's size.

Usage: python benchmarks/latency.py [--rounds N]
The bare graph is three Gemm and two Tanh from six inputs to one score a row: no standardisation, no clip. The files are
timed in turn, many rounds, so that what the machine does meanwhile falls on all of them alike.
"""

import argparse
import time

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from vmaf_train.features import CANONICAL
from vmaf_train.students.architectures import ARCHITECTURES, build
from vmaf_train.students.export import to_onnx

CALLS = 2000


def bare_mlp() -> bytes:
    draw, nodes, tensors, given = np.random.default_rng(0), [], [], "features"
    for layer, (inputs, outputs) in enumerate(((6, 16), (16, 8), (8, 1))):
        for name, shape in (("w", (outputs, inputs)), ("b", (outputs,))):
            tensors.append(
                numpy_helper.from_array(
                    draw.normal(size=shape).astype(np.float32), f"{name}{layer}"
                )
            )
        nodes.append(
            helper.make_node("Gemm", [given, f"w{layer}", f"b{layer}"], [f"g{layer}"], transB=1)
        )
        given = f"g{layer}"
        if layer < 2:
            nodes.append(helper.make_node("Tanh", [given], [f"t{layer}"]))
            given = f"t{layer}"
    tensors.append(numpy_helper.from_array(np.array([1]), "axes"))
    nodes.append(helper.make_node("Squeeze", [given, "axes"], ["vmaf"]))
    graph = helper.make_graph(
        nodes,
        "bare",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 6])],
        [helper.make_tensor_value_info("vmaf", TensorProto.FLOAT, ["N"])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=25)
    files = {"bare mlp": bare_mlp()}
    files |= {arch: to_onnx(build(arch, CANONICAL.features, 0), {}) for arch in ARCHITECTURES}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    sessions = {
        name: onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        for name, content in files.items()
    }
    feed = {"features": np.full((1, 6), 0.5, dtype=np.float32)}
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(parser.parse_args().rounds):
        for name, session in sessions.items():
            ticks = np.empty(CALLS + 1, dtype=np.int64)
            for call in range(-CALLS // 10, CALLS + 1):
                ticks[call] = time.perf_counter_ns()
                session.run(None, feed)
            times[name].append(float(np.median(np.diff(ticks))) / 1000)
    print("| graph | p50, µs | ratio to the bare mlp |\n|---|---|---|")
    for name, medians in times.items():
        ratio = np.median(np.array(medians) / np.array(times["bare mlp"]))
        print(f"| {name} | {np.median(medians):.2f} | {ratio:.3f} |")


if __name__ == "__main__":
    main()
