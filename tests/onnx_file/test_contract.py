"""The contract of ONNX files; tests/students/test_export.py breaks it part by part."""

from pathlib import Path

import onnx
import pytest

from vmaf_train.errors import VmafTrainError
from vmaf_train.onnx_file.contract import check_contract

MODELS = Path(__file__).parents[2] / "model" / "tiny"


@pytest.mark.parametrize("path", sorted(MODELS.glob("*.onnx")), ids=lambda path: path.stem)
def test_every_shipped_model_keeps_the_contract(path):
    check_contract(path.read_bytes())


def test_another_output_name_breaks_the_contract():
    model = onnx.load_model(MODELS / "vmaf_tiny_v1.onnx")
    for node in model.graph.node:
        node.output[:] = ["score" if name == "vmaf" else name for name in node.output]
    model.graph.output[0].name = "score"
    with pytest.raises(VmafTrainError, match="breaks the model contract: input and output are"):
        check_contract(model.SerializeToString())
