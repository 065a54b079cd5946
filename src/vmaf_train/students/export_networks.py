"""Writers of networks: a writer adds a net to a graph and returns the name of its unclipped scores.

Standardisation, batch normalisation and the target's scale are folded into the weights.
"""

import numpy as np

from vmaf_train.students.architectures import Student
from vmaf_train.students.graph import Graph, Layer, layer_of, rescaled, standardised_image
from vmaf_train.students.nets import Mlp, SupportVectors, TemporalMlp, Transformer


def write_mlp(graph: Graph, student: Student, net: Mlp) -> str:
    """Write dense layers with Tanh between them."""
    (matrix, bias), *others = _folded_layers(student, net)
    # W (x - m) / s + b = (W / s) x + (b - (W / s) m)
    mean_F, std_F = student.x_mean_F.numpy(), student.x_std_F.numpy()
    layers = [(matrix / std_F, bias - matrix / std_F @ mean_F), *others]

    given = graph.features
    for matrix, bias in layers[:-1]:
        given = graph.add("Tanh", graph.dense(given, matrix, bias))
    matrix, bias = layers[-1]
    return graph.vector(graph.dense(given, matrix, bias))


def write_temporal_mlp(graph: Graph, student: Student, net: TemporalMlp) -> str:
    """Write convolutions over time: the first spans the window, the others one frame."""
    (matrix, bias), *others = _folded_layers(student, net)
    reach = net.window // 2
    kernel = matrix.reshape(len(matrix), 1, net.window, -1)
    image = standardised_image(graph, student)
    given = graph.add("Conv", image, kernel, bias, pads=[reach, 0, reach, 0])
    for layer in others:
        given = _per_frame(graph, graph.add("Tanh", given), layer)
    return _frame_scores(graph, given)


def _folded_layers(student: Student, net: Mlp) -> list[Layer]:
    """Return the layers with batch normalisation and the target's scale folded in."""
    layers = []
    for dense, norm in net.layers:
        matrix, bias = layer_of(dense)
        if norm:
            # (W x + b - mean) * scale + shift, with scale = gamma / deviation
            scale = (norm.scale / norm.deviation).detach().numpy()[0]
            matrix = matrix * scale[:, None]
            bias = norm.shift.detach().numpy()[0] + (bias - norm.mean.numpy()[0]) * scale
        layers.append((matrix, bias))
    return [*layers[:-1], rescaled(student, layers[-1])]


def write_transformer(graph: Graph, student: Student, net: Transformer) -> str:
    """Write the attention over a sliding window; images are [1, channels, T, 1]."""
    window, width = net.position.shape
    embed, embed_bias = layer_of(net.embed)
    position = net.position.detach().numpy()
    frames = standardised_image(graph, student)

    # The query of each frame, which is the middle frame of its window.
    middle_bias = embed_bias + position[window // 2]
    middle = graph.add("Conv", frames, embed[:, None, None], middle_bias)
    query = _per_frame(graph, middle, layer_of(net.query))
    query = graph.add("Reshape", query, np.array([1, 1, width, -1]))

    # relu(query . key) / window, of shape [1, window, 1, T]
    product = graph.add("Mul", query, _neighbours(graph, frames, net, layer_of(net.key)))
    product = graph.add("ReduceSum", product, np.array([2]), keepdims=1)
    attention = graph.add("Mul", graph.add("Relu", product), np.array(1 / window))

    # The sum over the window of attention times value, as an image.
    weighted = graph.add("Mul", attention, _neighbours(graph, frames, net, layer_of(net.value)))
    mixed = graph.add("ReduceSum", weighted, np.array([1]), keepdims=0)
    mixed = graph.add("Reshape", mixed, np.array([1, width, -1, 1]))

    # Residual connections around attention and feed-forward.
    hidden = graph.add("Add", middle, _per_frame(graph, mixed, layer_of(net.mix)))
    widened = graph.add("Tanh", _per_frame(graph, hidden, layer_of(net.widen)))
    hidden = graph.add("Add", hidden, _per_frame(graph, widened, layer_of(net.narrow)))
    last = rescaled(student, layer_of(net.out))
    return _frame_scores(graph, _per_frame(graph, hidden, last))


def _neighbours(graph: Graph, frames: str, net: Transformer, layer: Layer) -> str:
    """Give a layer's output for each frame of each window: [1, window, width, T].

    One convolution computes it: for each offset in the window, the kernel picks that neighbour.
    """
    matrix, bias = layer
    window, width = net.position.shape
    embed, embed_bias = layer_of(net.embed)
    kernel = np.zeros((window, width, 1, window, embed.shape[1]))
    for offset in range(window):
        kernel[offset, :, 0, offset] = matrix @ embed
    biases = (embed_bias + net.position.detach().numpy()) @ matrix.T + bias

    reach = window // 2
    channels = kernel.reshape(-1, *kernel.shape[2:])
    flat = graph.add("Conv", frames, channels, biases.reshape(-1), pads=[reach, 0, reach, 0])
    return graph.add("Reshape", flat, np.array([1, window, width, -1]))


def _per_frame(graph: Graph, image: str, layer: Layer) -> str:
    """Give a dense layer's output for each frame of an image [1, channels, T, 1]."""
    matrix, bias = layer
    return graph.add("Conv", image, matrix[:, :, None, None], bias)


def _frame_scores(graph: Graph, image: str) -> str:
    """Give an image [1, 1, T, 1] as a vector [T]."""
    return graph.add("Squeeze", image, np.array([0, 1, 3]))


def write_support_vectors(graph: Graph, student: Student, net: SupportVectors) -> str:
    """Write the teacher's kernel sum, sum_s w_s exp(-gamma |x - v_s|^2), without Exp.

    With d = gamma |x - v|^2 and t = tanh(d / 2): exp(-d) = 1 - 2 t / (1 + t). The weights of a
    nu-SVR sum to zero, up to rounding, so their sum joins the constant offset.
    """
    svr = net.teacher.svr
    order = [svr.features.index(name) for name in net.teacher.features]
    slope_F, intercept_F = svr.slopes[1:][order], svr.intercepts[1:][order]
    support_SF = svr.support_SF[:, order]
    # Distances are taken from the centre of the vectors: smaller numbers keep more digits.
    centre_F = support_SF.mean(0)
    near_SF = support_SF - centre_F
    half_gamma = svr.gamma / 2

    # d / 2 = gamma / 2 (|x|^2 - 2 x . v + |v|^2)
    scaled = graph.add("Add", graph.add("Mul", graph.features, slope_F), intercept_F - centre_F)
    norm = graph.add("ReduceSum", graph.add("Mul", scaled, scaled), np.array([1]), keepdims=1)
    cross = graph.dense(scaled, -2 * half_gamma * near_SF, half_gamma * (near_SF**2).sum(1))
    norm = graph.add("Mul", norm, np.array(half_gamma))
    half = graph.add("Tanh", graph.add("Add", cross, norm))
    kernel = graph.add("Div", half, graph.add("Add", half, np.array(1.0)))

    # score = (sum_s w_s (1 - 2 kernel_s) - rho - intercept) / slope
    slope, intercept = svr.slopes[0], svr.intercepts[0]
    offset = (svr.weights_S.sum() - svr.rho - intercept) / slope
    weights = -2 * svr.weights_S[None] / slope
    score = graph.vector(graph.dense(kernel, weights, np.array([offset])))
    # p0 + s (p1 + s (p2 + ...))
    powers = svr.transform[::-1]
    total: str | np.ndarray = np.array(powers[0]) if powers else score
    for coefficient in powers[1:]:
        total = graph.add("Add", graph.add("Mul", total, score), np.array(coefficient))
    return str(total)
