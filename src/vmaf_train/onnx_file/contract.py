"""The contract of a student's ONNX file, and the check of a file against it; without torch.

The runtime inside libvmaf that loads such files allows these operators and more. A short list keeps
exporters and readers easy to check.
"""

import onnx
from onnx import TensorProto

from vmaf_train.errors import VmafTrainError

OPSET, IR_VERSION = 17, 8
INPUT, OUTPUT = "features", "vmaf"
# Name inside the graph of the features as the teacher corrects them, where it does.
CORRECTED = "corrected"
ALLOWED_OPERATORS = frozenset(
    {"Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "Relu", "Tanh", "Clip", "Squeeze", "Unsqueeze"}
    | {"Reshape", "Concat", "Conv", "ReduceSum", "Constant", "Identity"}
)


def check_contract(content: bytes) -> None:
    """Check an ONNX file: weights inside it, IR version, opset, operators, input and output.

    Raises:
        VmafTrainError: the file is not valid ONNX, or breaks the contract; names the first fault.
    """
    try:
        model = onnx.load_model_from_string(content)
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # protobuf's and the checker's errors share no public base class
        raise VmafTrainError(f"not a valid ONNX file: {error}") from error
    for broken, fact in _parts(model):
        if broken:
            raise VmafTrainError(f"the ONNX file breaks the model contract: {fact}")


def _parts(model: onnx.ModelProto) -> list[tuple[bool, str]]:
    """Return, for each part of the contract, whether the file breaks it and a text that says so."""
    graph = model.graph
    external = [t.name for t in graph.initializer if t.data_location == TensorProto.EXTERNAL]
    opsets = [(opset.domain, opset.version) for opset in model.opset_import]
    foreign = sorted({node.op_type for node in graph.node} - ALLOWED_OPERATORS)
    shapes = [_shape_of(value) for value in (*graph.input, *graph.output)]
    # A dimension without a fixed size has the value 0.
    n_features = shapes[0][2][-1]
    wanted = [(INPUT, TensorProto.FLOAT, [0, n_features]), (OUTPUT, TensorProto.FLOAT, [0])]
    return [
        (bool(external), f"weights outside the file: {', '.join(external)}"),
        (model.ir_version != IR_VERSION, f"IR version {model.ir_version}, not {IR_VERSION}"),
        (opsets != [("", OPSET)], f"opset is not {OPSET}"),
        (bool(foreign), f"operators outside the allow-list: {', '.join(foreign)}"),
        (
            shapes != wanted,
            f"input and output are {shapes}, not {INPUT} float32 [N, F] and {OUTPUT} float32 [N]",
        ),
    ]


def _shape_of(value: onnx.ValueInfoProto) -> tuple[str, int, list[int]]:
    """Return name, element type and dimensions."""
    tensor = value.type.tensor_type
    return value.name, tensor.elem_type, [dim.dim_value for dim in tensor.shape.dim]
