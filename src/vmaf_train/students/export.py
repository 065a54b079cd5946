"""Write a fitted student as one ONNX file; standardisation is folded into the weights.

Opset 17, IR version 8; input `features` float32 [N, F], output `vmaf` float32 [N]. If the student
reads windows, the first axis is named T instead of N: the frames of one clip, in order.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from onnx import GraphProto, TensorProto, helper

from vmaf_train.errors import VmafTrainError
from vmaf_train.frames.table import FrameTable
from vmaf_train.onnx_file.contract import INPUT, IR_VERSION, OPSET, OUTPUT, check_contract
from vmaf_train.onnx_file.facts import METADATA_PREFIX
from vmaf_train.onnx_file.inference import ROWS_PER_CALL, OnnxStudent
from vmaf_train.students.architectures import Student
from vmaf_train.students.export_networks import (
    write_mlp,
    write_support_vectors,
    write_temporal_mlp,
    write_transformer,
)
from vmaf_train.students.export_polynomials import write_polynomial
from vmaf_train.students.graph import Graph, add_correction
from vmaf_train.students.nets import (
    Mlp,
    Net,
    Polynomial,
    SupportVectors,
    TemporalMlp,
    Transformer,
)

# Adds a net to a graph; returns the name of its unclipped scores.
Writer = Callable[[Graph, Student, Any], str]

WRITERS: dict[type[Net], Writer] = {
    Polynomial: write_polynomial,
    Mlp: write_mlp,
    TemporalMlp: write_temporal_mlp,
    Transformer: write_transformer,
    SupportVectors: write_support_vectors,
}


def to_onnx(student: Student, facts: Mapping[str, object]) -> bytes:
    """Write a student as ONNX bytes; the same student and facts give the same bytes.

    Args:
        student: a fitted student; its standardisation is folded into the weights in float64.
        facts: further JSON values for the file's metadata.
    """
    model = helper.make_model(
        _graph(student),
        producer_name="vmaf-train",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    known = {
        "arch": student.architecture.name,
        "features": list(student.features),
        "parameters": student.n_parameters,
        "window": student.architecture.window,
        "target_mean": float(student.y_mean),
        **facts,
    }
    helper.set_model_props(
        model, {METADATA_PREFIX + key: json.dumps(value) for key, value in known.items()}
    )
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _graph(student: Student) -> GraphProto:
    """Return the student's graph: its net, then the clip of the scores."""
    graph = Graph()
    if correction := student.teacher.correction_in(student.features):
        add_correction(graph, len(student.features), correction)
    scores = WRITERS[type(student.net)](graph, student, student.net)
    lowest, highest = student.teacher.score_range
    graph.add("Clip", scores, np.array(lowest), np.array(highest))
    graph.nodes[-1].output[0] = OUTPUT

    rows = "N" if student.architecture.window == 1 else "T"
    inputs = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [rows, len(student.features)])
    outputs = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [rows])
    return helper.make_graph(
        graph.nodes,
        name="vmaf_student",
        inputs=[inputs],
        outputs=[outputs],
        initializer=graph.tensors,
    )


def export_student(student: Student, facts: Mapping[str, object], table: FrameTable) -> OnnxStudent:
    """Write a student as an ONNX file, check it, and load it.

    Args:
        student: a fitted student.
        facts: further JSON values for the file's metadata.
        table: frames for which the file must give the scores of the torch model.

    Raises:
        VmafTrainError: the file breaks the contract, or gives other scores.
    """
    exported = OnnxStudent(to_onnx(student, facts), student.architecture.name)
    check_contract(exported.content)
    check_same_scores(exported, student, table.select(student.features).x_NF)
    return exported


def check_same_scores(
    exported: OnnxStudent, student: Student, x_NF: np.ndarray, tolerance: float = 1e-3
) -> float:
    """Compare an ONNX file with its torch model; return the largest difference, in score points.

    On a real corpus, rounding stays below 1e-4. It can reach 1e-4 where features hardly vary, since
    large weights then cancel. If the weights are folded wrongly, the difference is far above the
    tolerance.

    Args:
        exported: the file.
        student: the torch model.
        x_NF: float of shape (frames, features); both get it as float32.
        tolerance: largest difference that is allowed, in score points.

    Raises:
        VmafTrainError: the difference is above `tolerance`.
    """
    rows_NF = x_NF.astype(np.float32)
    with torch.inference_mode():
        # In parts, to bound memory; a windowed student reads neighbours, which parts would cut off.
        size = ROWS_PER_CALL if exported.window == 1 else max(1, len(rows_NF))
        expected_N = np.concatenate(
            [
                student(torch.from_numpy(rows_NF[start : start + size])).numpy()
                for start in range(0, len(rows_NF), size)
            ]
        )
    difference = float(np.abs(exported.score(rows_NF) - expected_N).max())
    # Not >, since NaN must be refused too.
    if not difference <= tolerance:
        raise VmafTrainError(
            f"the ONNX file is {difference:.2e} score points off the torch model; report this"
        )
    return difference
