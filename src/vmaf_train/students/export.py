"""A fitted student as one self-contained ONNX file, its standardisation folded into the weights.

Written by onnx.helper: opset 17, IR version 8, input `features` float32 [N, F], output `vmaf` float32 [N]; a student
that reads windows calls the first axis T, one clip's frames in order.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, cast

import numpy as np
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper

from vmaf_train.errors import VmafTrainError
from vmaf_train.features import CANONICAL, SCORE_MAX, SCORE_MIN
from vmaf_train.onnx_file.contract import INPUT, IR_VERSION, OPSET, OUTPUT
from vmaf_train.onnx_file.inference import METADATA_PREFIX, OnnxStudent
from vmaf_train.students.architectures import (
    Dense,
    Mlp,
    Polynomial,
    Student,
    SupportVectors,
    Transformer,
    monomials,
)


class _Graph:
    """Nodes in order; arrays among a node's inputs become weights of the file."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []

    def add(self, operator: str, *inputs: str | np.ndarray, **attributes: Any) -> str:
        """Add a node and return the name of what it gives."""
        names = [given if isinstance(given, str) else self._weight(given) for given in inputs]
        output = f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, names, [output], **attributes))
        return output

    def dense(self, given: str, matrix: np.ndarray, bias: np.ndarray) -> str:
        """Add a dense layer: `matrix` (outputs, inputs), `bias` (outputs,)."""
        return self.add("Gemm", given, matrix, bias, transB=1)

    def column(self, given: str) -> str:
        """Add what makes a vector [N] of a column [N, 1]."""
        return self.add("Squeeze", given, np.array([1]))

    def _weight(self, values: np.ndarray) -> str:
        name = f"weight{len(self.tensors)}"
        # Whole numbers are axes and shapes, everything else is a weight.
        kind = np.int64 if values.dtype.kind == "i" else np.float32
        self.tensors.append(numpy_helper.from_array(values.astype(kind), name))
        return name


def to_onnx(student: Student, facts: Mapping[str, object]) -> bytes:
    """Write a student as ONNX bytes; the same student and facts give the same bytes.

    Args:
        student: fitted; its buffers are folded into the weights in float64.
        facts: what else the file should know of itself (JSON values), kept in its metadata.
    """
    graph, net = _Graph(), student.net
    if isinstance(net, Polynomial):
        scores = _polynomial(graph, student, net)
    elif isinstance(net, SupportVectors):
        scores = _support_vectors(graph, net)
    elif isinstance(net, Transformer):
        scores = _transformer(graph, student, net)
    else:
        assert isinstance(net, Mlp)
        scores = (_mlp if net.window == 1 else _temporal_mlp)(graph, student, net)
    clipped = graph.add("Clip", scores, np.array(SCORE_MIN), np.array(SCORE_MAX))
    graph.nodes[-1].output[0] = OUTPUT
    assert clipped not in {name for node in graph.nodes for name in node.input}
    rows = "N" if student.architecture.window == 1 else "T"
    made = helper.make_graph(
        graph.nodes,
        "vmaf_student",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [rows, len(student.features)])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [rows])],
        graph.tensors,
    )
    model = helper.make_model(
        made,
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


def _mlp(graph: _Graph, student: Student, net: Mlp) -> str:
    layers = _folded_layers(student, net)
    mean_F, std_F = student.x_mean_F.numpy(), student.x_std_F.numpy()
    first, bias = layers[0]
    layers[0] = first / std_F, bias - first / std_F @ mean_F
    given = INPUT
    for matrix, bias in layers[:-1]:
        given = graph.add("Tanh", graph.dense(given, matrix, bias))
    return graph.column(graph.dense(given, *layers[-1]))


def _temporal_mlp(graph: _Graph, student: Student, net: Mlp) -> str:
    """Convolve over time: the first layer's kernel spans window and features, the others one frame."""
    (first, bias), *others = _folded_layers(student, net)
    reach = net.window // 2
    kernel = first.reshape(len(first), 1, net.window, -1)
    given = graph.add(
        "Conv", _standardised_picture(graph, student), kernel, bias, pads=[reach, 0, reach, 0]
    )
    for matrix, bias in others:
        given = graph.add("Conv", graph.add("Tanh", given), matrix[:, :, None, None], bias)
    return graph.add("Squeeze", given, np.array([0, 1, 3]))


def _folded_layers(student: Student, net: Mlp) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (matrix, bias) of each layer in float64, batch normalisation and the target's scale folded in."""
    layers = []
    for layer, norm in net.layers:
        matrix, bias = _arrays(layer)
        if norm:
            scale = (norm.scale / norm.deviation).detach().numpy()[0]
            matrix = matrix * scale[:, None]
            bias = norm.shift.detach().numpy()[0] + (bias - norm.mean.numpy()[0]) * scale
        layers.append((matrix, bias))
    layers[-1] = _rescaled(student, *layers[-1])
    return layers


def _polynomial(graph: _Graph, student: Student, net: Polynomial) -> str:
    """Write a polynomial as a product of two of half its degree, summed: a few small matrices, no power.

    All is built from the 28 squares of sums of two among 1 and the standardised features, which span every monomial
    of degree two: products of them with a matrix, with each other, and with an affine map of the features.
    """
    n = len(student.x_mean_F)
    weights = net.weight.detach().numpy() * float(student.y_std)
    weights[0] += float(student.y_mean)
    # Affine map from raw features to (1, standardised features).
    lift = np.vstack([np.zeros(n), np.diag(1 / student.x_std_F.numpy())])
    shift = np.concatenate([[1.0], -student.x_mean_F.numpy() / student.x_std_F.numpy()])
    # Every monomial as a product of exactly `degree` of these, 1 among them (number 0).
    whole = {
        (0,) * (net.degree - len(m)) + tuple(i + 1 for i in m): w
        for m, w in zip(net.monomials, weights, strict=True)
    }
    singles = [(i,) for i in range(n + 1)]
    if net.degree == 1:
        return graph.column(
            graph.dense(INPUT, weights[None, 1:] @ lift[1:], weights[1:] @ shift[1:] + weights[0:1])
        )
    if net.degree == 2:
        values, vectors = np.linalg.eigh(_halves(whole, singles, singles))
        squares = _square(graph, vectors.T @ lift, vectors.T @ shift)
        return graph.column(graph.dense(squares, values[None], np.zeros(1)))

    pairs = [tuple(i + 1 for i in m) for m in monomials(n, 2)]
    pairs = [(0,) * (2 - len(pair)) + pair for pair in pairs]
    sums = [(i, i) for i in range(n + 1)] + list(combinations(range(n + 1), 2))
    ends = np.array([(np.eye(n + 1)[i] + np.eye(n + 1)[j]) / 2 for i, j in sums])
    squares = _square(graph, ends @ lift, ends @ shift)
    # (a + b)^2 / 4 over these ends as sums of pairs; its inverse gives the pairs from the squares.
    spread = np.zeros((len(sums), len(pairs)))
    for row, end in zip(spread, ends, strict=True):
        for column, (i, j) in enumerate(pairs):
            row[column] = end[i] * end[j] * (1 if i == j else 2)
    back = np.linalg.inv(spread)
    if net.degree == 3:
        left = squares
        factor = back.T @ _halves(whole, pairs, singles)
        right = graph.dense(INPUT, factor @ lift, factor @ shift)
    elif net.degree == 4:
        left = squares
        right = graph.add("MatMul", squares, back.T @ _halves(whole, pairs, pairs) @ back)
    else:
        triples = [(0,) * (3 - len(m)) + tuple(i + 1 for i in m) for m in monomials(n, 3)]
        pick = np.array([[float(pair == triple[:2]) for pair in pairs] for triple in triples])
        last = np.array([triple[2] for triple in triples])
        left = graph.add(
            "Mul",
            graph.add("MatMul", squares, (pick @ back).T),
            graph.dense(INPUT, lift[last], shift[last]),
        )
        right = graph.add("MatMul", squares, (_halves(whole, triples, pairs) @ back).T)
    return graph.add("ReduceSum", graph.add("Mul", left, right), np.array([1]), keepdims=0)


def _square(graph: _Graph, matrix: np.ndarray, bias: np.ndarray) -> str:
    affine = graph.dense(INPUT, matrix, bias)
    return graph.add("Mul", affine, affine)


def _halves(
    whole: Mapping[tuple[int, ...], float],
    left: Sequence[tuple[int, ...]],
    right: Sequence[tuple[int, ...]],
) -> np.ndarray:
    """Return weights (left, right) of products of halves that sum to the whole; equal halves share its weight."""
    products = [[tuple(sorted(a + b)) for b in right] for a in left]
    ways = Counter(product for row in products for product in row)
    return np.array([[whole[product] / ways[product] for product in row] for row in products])


def _transformer(graph: _Graph, student: Student, net: Transformer) -> str:
    """Write the attention over a sliding window with convolutions that pick a neighbour each; axes are [1, *, *, T]."""
    layer = {name: _arrays(cast(Dense, module)) for name, module in net.named_children()}
    window, width = net.position.shape
    frames = _standardised_picture(graph, student)
    position = net.position.detach().numpy()
    embed, embed_bias = layer["embed"]

    def neighbours(name: str) -> str:
        """Give [1, window, width, T]: the layer's output for each frame of each window."""
        matrix, bias = layer[name]
        kernel = np.zeros((window, width, 1, window, embed.shape[1]))
        for place in range(window):
            kernel[place, :, 0, place] = matrix @ embed
        biases = (embed_bias + position) @ matrix.T + bias
        reach = window // 2
        flat = graph.add(
            "Conv",
            frames,
            kernel.reshape(-1, *kernel.shape[2:]),
            biases.reshape(-1),
            pads=[reach, 0, reach, 0],
        )
        return graph.add("Reshape", flat, np.array([1, window, width, -1]))

    def pointwise(given: str, matrix: np.ndarray, bias: np.ndarray) -> str:
        return graph.add("Conv", given, matrix[:, :, None, None], bias)

    middle = graph.add("Conv", frames, embed[:, None, None], embed_bias + position[window // 2])
    query = graph.add("Reshape", pointwise(middle, *layer["query"]), np.array([1, 1, width, -1]))
    scores = graph.add(
        "ReduceSum", graph.add("Mul", query, neighbours("key")), np.array([2]), keepdims=1
    )
    attention = graph.add("Mul", graph.add("Relu", scores), np.array(1 / window))
    mixed = graph.add(
        "ReduceSum", graph.add("Mul", attention, neighbours("value")), np.array([1]), keepdims=0
    )
    mixed = graph.add("Reshape", mixed, np.array([1, width, -1, 1]))
    hidden = graph.add("Add", middle, pointwise(mixed, *layer["mix"]))
    widened = graph.add("Tanh", pointwise(hidden, *layer["widen"]))
    hidden = graph.add("Add", hidden, pointwise(widened, *layer["narrow"]))
    return graph.add(
        "Squeeze", pointwise(hidden, *_rescaled(student, *layer["out"])), np.array([0, 1, 3])
    )


def _support_vectors(graph: _Graph, net: SupportVectors) -> str:
    """Write the teacher's kernel sum with the contract's operators: exp(-d) - 1 is -2 t / (1 + t), t = tanh(d / 2).

    The weights of a nu-SVR add up to nothing, so the 1 may be left out; what remains is small, and keeps its digits.
    """
    teacher = net.teacher
    order = [teacher.features.index(name) for name in CANONICAL.features]
    slopes, support_SF = teacher.slopes[1:][order], teacher.support_SF[:, order]
    # Half of gamma times the squared distance, as a product of (scaled - centre) with itself and with the vectors.
    centre_F = support_SF.mean(0)
    near_SF, scale = support_SF - centre_F, teacher.gamma / 2
    scaled = graph.add(
        "Add", graph.add("Mul", INPUT, slopes), teacher.intercepts[1:][order] - centre_F
    )
    norm = graph.add("ReduceSum", graph.add("Mul", scaled, scaled), np.array([1]), keepdims=1)
    cross = graph.dense(scaled, -2 * scale * near_SF, scale * (near_SF**2).sum(1))
    half = graph.add("Tanh", graph.add("Add", cross, graph.add("Mul", norm, np.array(scale))))
    kernel = graph.add("Div", half, graph.add("Add", half, np.array(1.0)))
    slope, intercept = teacher.slopes[0], teacher.intercepts[0]
    offset = (teacher.weights_S.sum() - teacher.rho - intercept) / slope
    return graph.column(
        graph.dense(kernel, -2 * teacher.weights_S[None] / slope, np.array([offset]))
    )


def _standardised_picture(graph: _Graph, student: Student) -> str:
    """Give the standardised features as a picture [1, 1, T, F]: what lies beyond its edge counts as their mean."""
    centred = graph.add("Sub", INPUT, student.x_mean_F.numpy())
    return graph.add(
        "Unsqueeze", graph.add("Div", centred, student.x_std_F.numpy()), np.array([0, 1])
    )


def _arrays(layer: Dense) -> tuple[np.ndarray, np.ndarray]:
    matrix = layer.weight.detach().numpy()
    return matrix, np.zeros(len(matrix)) if layer.bias is None else layer.bias.detach().numpy()[0]


def _rescaled(
    student: Student, matrix: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return a last layer that gives scores instead of standardised ones."""
    return matrix * float(student.y_std), bias * float(student.y_std) + float(student.y_mean)


def check_same_scores(
    exported: OnnxStudent, student: Student, x_NF: np.ndarray, tolerance: float = 1e-3
) -> float:
    """Return the largest difference between the ONNX file and the torch model on these rows, in score points.

    Both get the rows as float32. Rounding stays below 1e-4 on a real corpus and may reach it where features hardly
    vary, since large folded weights then cancel; a wrong fold is off by far more than the tolerance.

    Raises:
        VmafTrainError: it is above `tolerance`.
    """
    rows_NF = x_NF.astype(np.float32)
    with torch.inference_mode():
        difference = float(
            np.abs(exported.score(rows_NF) - student(torch.from_numpy(rows_NF)).numpy()).max()
        )
    if not difference <= tolerance:
        raise VmafTrainError(
            f"the ONNX file is {difference:.2e} score points off the torch model; report this"
        )
    return difference
