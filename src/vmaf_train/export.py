"""A fitted student as one self-contained ONNX file, its standardisation folded into the weights.

Written by onnx.helper: opset 17, IR version 8, input `features` float32 [N, F], output `vmaf` float32 [N].
"""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from vmaf_train.contract import INPUT, IR_VERSION, OPSET, OUTPUT
from vmaf_train.errors import VmafTrainError
from vmaf_train.features import SCORE_MAX, SCORE_MIN
from vmaf_train.inference import METADATA_PREFIX, OnnxStudent
from vmaf_train.models import Student


def to_onnx(student: Student, features: Sequence[str], facts: Mapping[str, object]) -> bytes:
    """Write a student as ONNX bytes; the same student and facts give the same bytes.

    Args:
        student: fitted; its buffers are folded into the first and the last layer in float64.
        features: names of the input's columns, in order; kept in the file's metadata.
        facts: what else the file should know of itself (JSON values), kept in its metadata.
    """
    dense = [layer for layer in student.layers if isinstance(layer, nn.Linear)]
    weights = [[p.detach().double().numpy().copy() for p in (layer.weight, layer.bias)] for layer in dense]
    mean_F, std_F = student.x_mean_F.numpy(), student.x_std_F.numpy()
    weights[0][0] /= std_F
    weights[0][1] -= weights[0][0] @ mean_F
    weights[-1][0] *= float(student.y_std)
    weights[-1][1] = weights[-1][1] * float(student.y_std) + float(student.y_mean)

    nodes, tensors, last = [], [], INPUT
    for index, (matrix, bias) in enumerate(weights):
        tensors += [_tensor(f"weight{index}", matrix), _tensor(f"bias{index}", bias)]
        nodes.append(helper.make_node("Gemm", [last, f"weight{index}", f"bias{index}"], [f"dense{index}"], transB=1))
        last = f"dense{index}"
        if index < len(weights) - 1:
            nodes.append(helper.make_node("Tanh", [last], [f"tanh{index}"]))
            last = f"tanh{index}"
    tensors += [
        numpy_helper.from_array(np.array([1], dtype=np.int64), "last_axis"),
        _tensor("lowest", np.array(SCORE_MIN)),
        _tensor("highest", np.array(SCORE_MAX)),
    ]
    nodes.append(helper.make_node("Squeeze", [last, "last_axis"], ["unclipped"]))
    nodes.append(helper.make_node("Clip", ["unclipped", "lowest", "highest"], [OUTPUT]))
    graph = helper.make_graph(
        nodes,
        "vmaf_student",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", len(features)])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N"])],
        tensors,
    )
    model = helper.make_model(
        graph, producer_name="vmaf-train", opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    known = {
        "arch": student.architecture.name,
        "features": list(features),
        "parameters": student.n_parameters,
        "target_mean": float(student.y_mean),
        **facts,
    }
    helper.set_model_props(model, {METADATA_PREFIX + key: json.dumps(value) for key, value in known.items()})
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def check_same_scores(exported: OnnxStudent, student: Student, x_NF: np.ndarray, tolerance: float = 1e-3) -> float:
    """Return the largest difference between the ONNX file and the torch model on these rows, in score points.

    Both get the rows as float32. Rounding stays below 1e-4 on a real corpus and may reach it where features hardly
    vary, since large folded weights then cancel; a wrong fold is off by far more than the tolerance.

    Raises:
        VmafTrainError: it is above `tolerance`.
    """
    rows_NF = x_NF.astype(np.float32)
    with torch.inference_mode():
        difference = float(np.abs(exported.score(rows_NF) - student(torch.from_numpy(rows_NF)).numpy()).max())
    if not difference <= tolerance:
        raise VmafTrainError(f"the ONNX file is {difference:.2e} score points off the torch model; report this")
    return difference


def _tensor(name: str, values: np.ndarray) -> TensorProto:
    return numpy_helper.from_array(values.astype(np.float32), name)
