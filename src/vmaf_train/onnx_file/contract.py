"""The contract of a student's ONNX file, and the check that holds a file to it. No torch.

The operators are our own choice: the runtime inside libvmaf that loads such files allows these and
more. A smaller list keeps exporters and readers easy to check.
"""

import onnx
from onnx import TensorProto

from vmaf_train.errors import VmafTrainError

OPSET, IR_VERSION = 17, 8
INPUT, OUTPUT = "features", "vmaf"
ALLOWED_OPERATORS = frozenset(
    {"Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "Relu", "Tanh", "Clip", "Squeeze", "Unsqueeze"}
    | {"Reshape", "Concat", "Conv", "ReduceSum", "Constant", "Identity"}
)


def check_contract(content: bytes) -> None:
    """Hold an ONNX file to the contract: one file, opset, IR version, operators, input, output.

    Raises:
        VmafTrainError: names the first part of the contract that is broken.
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
    """Return, for each part of the contract, whether it is broken and what is wrong then."""
    graph = model.graph
    external = [t.name for t in graph.initializer if t.data_location == TensorProto.EXTERNAL]
    opsets = [(opset.domain, opset.version) for opset in model.opset_import]
    foreign = sorted({node.op_type for node in graph.node} - ALLOWED_OPERATORS)
    shapes = [_shape_of(value) for value in (*graph.input, *graph.output)]
    # A dimension of any size has the value 0.
    n_features = shapes[0][2][-1]
    fitting = [(INPUT, TensorProto.FLOAT, [0, n_features]), (OUTPUT, TensorProto.FLOAT, [0])]
    return [
        (bool(external), f"weights outside the file: {', '.join(external)}"),
        (model.ir_version != IR_VERSION, f"IR version {model.ir_version}, not {IR_VERSION}"),
        (opsets != [("", OPSET)], f"opset is not {OPSET}"),
        (bool(foreign), f"operators outside the allow-list: {', '.join(foreign)}"),
        (
            shapes != fitting,
            f"input and output are {shapes}, not {INPUT} float32 [N, F] and {OUTPUT} float32 [N]",
        ),
    ]


def _shape_of(value: onnx.ValueInfoProto) -> tuple[str, int, list[int]]:
    tensor = value.type.tensor_type
    return value.name, tensor.elem_type, [dim.dim_value for dim in tensor.shape.dim]
