"""A builder of ONNX graphs, and the parts that several writers of nets share.

"Give X" in a docstring means: add the nodes that compute X, and return the name of their output.
"""

from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from vmaf_train.onnx_file.contract import CORRECTED, INPUT
from vmaf_train.students.architectures import Student
from vmaf_train.students.nets import Dense
from vmaf_train.teacher.svr import Correction

# Factor that takes every chroma that libvmaf logs and that is not 0 above 1.
PRESENT = 2e6
# Matrix (outputs, inputs) and bias (outputs,) of a dense layer, in float64.
Layer = tuple[np.ndarray, np.ndarray]


class Graph:
    """The nodes of an ONNX graph, in order, and its weights.

    An array among a node's inputs becomes a weight of the file: int64 for integers (axes, shapes),
    float32 for all others.

    Attributes:
        features: name of the features that nets read, as the teacher corrects them.
    """

    def __init__(self) -> None:
        self.features = INPUT
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []

    def add(self, operator: str, *inputs: str | np.ndarray, **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        names = [given if isinstance(given, str) else self._weight(given) for given in inputs]
        output = f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, names, [output], **attributes))
        return output

    def dense(self, given: str, matrix: np.ndarray, bias: np.ndarray) -> str:
        """Add a dense layer: `matrix` (outputs, inputs), `bias` (outputs,)."""
        return self.add("Gemm", given, matrix, bias, transB=1)

    def vector(self, given: str) -> str:
        """Turn a column [N, 1] into a vector [N]."""
        return self.add("Squeeze", given, np.array([1]))

    def _weight(self, values: np.ndarray) -> str:
        name = f"weight{len(self.tensors)}"
        kind = np.int64 if values.dtype.kind == "i" else np.float32
        self.tensors.append(numpy_helper.from_array(values.astype(kind), name))
        return name


def add_correction(graph: Graph, n_features: int, correction: Correction) -> None:
    """Add the correction of v1.

    Args:
        graph: an empty graph; the nodes after it read the corrected features.
        n_features: number of features.
        correction: the teacher's.
    """
    chroma_F = np.eye(n_features)[correction.chroma][None]
    adm3_F = np.eye(n_features)[correction.adm3][None]
    # 1 where chroma is 0, and 0 from the least value that libvmaf logs, with six decimals.
    present = graph.dense(INPUT, chroma_F * PRESENT, np.zeros(1))
    absent = graph.add("Sub", np.ones(1), graph.add("Clip", present, np.array(0.0), np.array(1.0)))
    parameter = correction.parameter
    stand_in = graph.dense(INPUT, -parameter * adm3_F, np.array([parameter]))
    added = graph.add("MatMul", graph.add("Mul", absent, stand_in), chroma_F)
    graph.add("Add", INPUT, added)
    graph.nodes[-1].output[0] = graph.features = CORRECTED


def standardised_image(graph: Graph, student: Student) -> str:
    """Give the standardised features as an image [1, 1, T, F]; its zero padding is their mean."""
    centred = graph.add("Sub", graph.features, student.x_mean_F.numpy())
    scaled = graph.add("Div", centred, student.x_std_F.numpy())
    return graph.add("Unsqueeze", scaled, np.array([0, 1]))


def layer_of(dense: Dense) -> Layer:
    """Return a dense layer's matrix and bias; a missing bias is zero."""
    matrix = dense.weight.detach().numpy()
    if dense.bias is None:
        return matrix, np.zeros(len(matrix))
    return matrix, dense.bias.detach().numpy()[0]


def rescaled(student: Student, layer: Layer) -> Layer:
    """Return a last layer that gives scores in place of standardised scores."""
    matrix, bias = layer
    scale, shift = float(student.y_std), float(student.y_mean)
    return matrix * scale, bias * scale + shift
