"""A builder of ONNX graphs, and the parts that several writers of nets share.

"Give X" in a docstring means: add the nodes that compute X, and return the name of their output.
"""

from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from vmaf_train.onnx_file.contract import INPUT
from vmaf_train.students.architectures import Student
from vmaf_train.students.nets import Dense

# Matrix (outputs, inputs) and bias (outputs,) of a dense layer, in float64.
Layer = tuple[np.ndarray, np.ndarray]


class Graph:
    """The nodes of an ONNX graph, in order, and its weights.

    An array among a node's inputs becomes a weight of the file: int64 for integers (axes, shapes),
    float32 for all others.
    """

    def __init__(self) -> None:
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


def standardised_image(graph: Graph, student: Student) -> str:
    """Give the standardised features as an image [1, 1, T, F]; its zero padding is their mean."""
    centred = graph.add("Sub", INPUT, student.x_mean_F.numpy())
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
