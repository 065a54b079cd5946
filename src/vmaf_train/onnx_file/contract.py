"""The contract of a student's ONNX file, and the check that holds a file to it. No torch.

Source: the allow-list of operators of the runtime inside libvmaf that loads such models, as far as students need it.
"""

import onnx
from onnx import TensorProto

from vmaf_train.errors import VmafTrainError

OPSET, IR_VERSION = 17, 8
INPUT, OUTPUT = "features", "vmaf"
ALLOWED_OPERATORS = frozenset(
    {
        "Gemm",
        "MatMul",
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Relu",
        "Tanh",
        "Clip",
        "Squeeze",
        "Unsqueeze",
        "Reshape",
    }
    | {"Concat", "Conv", "ReduceSum", "Constant", "Identity"}
)


def check_contract(content: bytes) -> None:
    """Hold an ONNX file to the model contract: one file, opset, IR version, operators, input and output.

    Raises:
        VmafTrainError: names the first part of the contract that is broken.
    """
    try:
        model = onnx.load_model_from_string(content)
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # protobuf's and the checker's errors share no public base class
        raise VmafTrainError(f"not a valid ONNX file: {error}") from error
    shapes = [
        (
            value.name,
            value.type.tensor_type.elem_type,
            [dim.dim_value for dim in value.type.tensor_type.shape.dim],
        )
        for value in (*model.graph.input, *model.graph.output)
    ]
    # A dimension of any size has the value 0.
    fitting = [(INPUT, TensorProto.FLOAT, [0, shapes[0][2][-1]]), (OUTPUT, TensorProto.FLOAT, [0])]
    external = [t.name for t in model.graph.initializer if t.data_location == TensorProto.EXTERNAL]
    foreign = sorted({node.op_type for node in model.graph.node} - ALLOWED_OPERATORS)
    for fine, fact in (
        (not external, f"weights outside the file: {', '.join(external)}"),
        (model.ir_version == IR_VERSION, f"IR version {model.ir_version}, not {IR_VERSION}"),
        (
            [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)],
            f"opset is not {OPSET}",
        ),
        (not foreign, f"operators outside the allow-list: {', '.join(foreign)}"),
        (
            shapes == fitting,
            f"input and output are {shapes}, not {INPUT} float32 [N, F] and {OUTPUT} float32 [N]",
        ),
    ):
        if not fine:
            raise VmafTrainError(f"the ONNX file breaks the model contract: {fact}")
